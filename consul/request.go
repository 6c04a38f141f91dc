package consul

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"
)

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
