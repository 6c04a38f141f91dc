package consul

import (
	"context"
	"io"
	"net/http"
	"time"
)

// answerTime is how long Consul may take over a question that it need not think
// about. It holds one itself for 7 s while the servers elect a leader
// (rpc_hold_timeout).
const answerTime = 30 * time.Second

// patient ends what is not answered in time: an agent whose process stands still
// takes connections, and says nothing. Blocking queries say themselves how long
// they wait.
type patient struct {
	next http.RoundTripper
	most time.Duration
}

func (p patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if q := r.URL.Query(); q.Has("index") || q.Has("wait") {
		return p.next.RoundTrip(r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), p.most)
	resp, err := p.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = bounded{resp.Body, cancel}
	return resp, nil
}

// bounded is an answer whose time ends with it.
type bounded struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b bounded) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
