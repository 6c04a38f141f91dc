package consul

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"gurney/kv"
)

// A Consul that takes connections and says nothing is out of reach after a
// while, in whatever way it is asked; one that is asked to wait may.
func TestAConsulThatSaysNothing(t *testing.T) {
	wait := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("wait") {
			time.Sleep(300 * time.Millisecond)
			_, _ = rw.Write([]byte("[]"))
			return
		}
		<-wait
	}))
	defer server.Close()
	defer close(wait)
	c, err := New(Config{Address: server.Listener.Addr().String(), Log: zerolog.Nop(), Transport: patient{http.DefaultTransport, 50 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func(context.Context) error{
		"kv":          func(ctx context.Context) error { _, err := c.Get(ctx, "x", kv.Default); return err },
		"txn":         func(ctx context.Context) error { return c.Txn(ctx, kv.Op{Verb: kv.Set, Key: "x"}) },
		"maintenance": func(ctx context.Context) error { _, err := c.Maintenance(ctx); return err },
	} {
		if err := ask(t.Context()); !errors.Is(err, kv.ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := c.ListIndexed(t.Context(), "x", 1, time.Second); err != nil {
		t.Errorf("a blocking query: %v", err)
	}
	own, err := New(Config{Address: server.Listener.Addr().String(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	if p, is := own.conf.HttpClient.Transport.(patient); !is || p.most != answerTime {
		t.Errorf("a client's transport is %T", own.conf.HttpClient.Transport)
	}
}
