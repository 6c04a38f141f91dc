package consul

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gurney/kv"

	"github.com/hashicorp/consul/api"
)

// filteredHeader tells of an answer that ACLs have made incomplete. Consul
// leaves out what a token may not see, with status 200.
const filteredHeader = "X-Consul-Results-Filtered-By-Acls"

// whole turns an incomplete answer into an error. Half of an answer looks like
// all of one: a node in service, a breaker that did not trip, a deployment that
// is complete.
func (c *Client) whole(filtered bool, op, need string) error {
	if !filtered {
		return nil
	}
	return &Error{Op: op, Addr: c.addr, Status: http.StatusOK, kind: kv.ErrForbidden, err: errors.New("part of the answer is hidden; needed: " + need)}
}

// do sends one request that the library can't: it takes no context there, no
// such parameters, or drops the headers. in is sent as JSON unless it is nil,
// and the answer decoded into out unless that is.
func (c *Client) do(ctx context.Context, method, path string, params url.Values, in, out any) (http.Header, error) {
	host := c.conf.Address
	if strings.HasPrefix(host, "/") { // a unix socket
		host = "localhost"
	}
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return nil, err
		}
	}
	u := url.URL{Scheme: c.conf.Scheme, Host: host, Path: c.conf.PathPrefix + path, RawQuery: params.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), &body)
	if err != nil {
		return nil, err
	}
	if c.conf.Token != "" {
		req.Header.Set("X-Consul-Token", c.conf.Token)
	}
	if a := c.conf.HttpAuth; a != nil {
		req.SetBasicAuth(a.Username, a.Password)
	}
	resp, err := c.conf.HttpClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, api.StatusError{Code: resp.StatusCode, Body: strings.TrimSpace(string(text))}
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body) // so that the connection is used again
		return resp.Header, err
	}
	return resp.Header, json.NewDecoder(resp.Body).Decode(out)
}
