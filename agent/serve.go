package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gurney/agent/state"
)

// server is one listener with its handler.
type server struct {
	listener net.Listener
	http     *http.Server
}

func newServer(l net.Listener, h http.Handler) *server {
	return &server{l, &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}}
}

// serve ends with ctx, and gives requests that go on a second.
func (s *server) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.http.Shutdown(short) != nil {
			_ = s.http.Close()
		}
	})
	defer stop()
	err := s.http.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return ctx.Err()
	}
	return err
}

func (s *server) close() { _ = s.listener.Close() }

// maxSocketPath is what sun_path holds beside its NUL, in bytes (unix(7)).
const maxSocketPath = 107

// control listens on the socket by which commands on this node, and nobody
// else, tell the agent something: POST /wake makes it look at everything
// again, POST /converge makes it run what it should past maintenance and tells
// how that ended, GET /status shows the journals.
func (a *Agent) control() (*server, error) {
	path := a.o.Dir.Socket()
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("control socket %s: its path has %d bytes, and a socket's may have %d: take a shorter state_dir", path, len(path), maxSocketPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// The state directory is the owner's alone, so there is no moment in
	// which others could reach the socket.
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /wake", func(w http.ResponseWriter, _ *http.Request) {
		a.poke()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /converge", a.serveConverge)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { a.serveStatus(w) })
	return newServer(l, mux), nil
}

// serveStatus shows what stands on disk: the loop needs not be asked.
func (a *Agent) serveStatus(w http.ResponseWriter) {
	out := struct {
		Node    string           `json:"node"`
		Version string           `json:"version"`
		Apps    []*state.Journal `json:"apps"`
	}{Node: a.o.Node, Version: a.o.Version}
	for _, name := range a.o.Apps {
		j, err := a.o.Dir.Journal(name)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if j.Event != nil {
			j.Event.URL = "" // may hold secrets
		}
		if j.Work != nil {
			j.Work.URL = ""
		}
		out.Apps = append(out.Apps, j)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

// listen serves /metrics and /healthz, and nothing else, to the network.
func (a *Agent) listen() (*server, error) {
	l, err := net.Listen("tcp", a.o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	return newServer(l, mux), nil
}
