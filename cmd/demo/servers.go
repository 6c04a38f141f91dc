package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rs/zerolog"

	"gurney/consul"
	"gurney/consul/embedded"
)

// The operator's words.
const (
	app    = "chef"
	bucket = "acme"
	target = "s3://" + bucket + "/" + app + "/"
	reason = "disk swap"
)

// serverNode carries the Consul server, and no Gurney: it is where the
// operator's commands ask.
const serverNode = "consul-1"

// servers are what the fleet shares, in this process.
type servers struct {
	consul *embedded.Cluster
	client *consul.Client // the demo's own look into the store
	s3     string         // http://host:port
	web    *http.Server
}

func startServers(nodes []string) (*servers, error) {
	cluster, err := embedded.Start(embedded.Options{Nodes: nodes, ServerNode: serverNode, Log: zerolog.Nop()})
	if err != nil {
		return nil, err
	}
	s := &servers{consul: cluster}
	if err := s.connect(); err != nil {
		_ = s.close()
		return nil, err
	}
	return s, nil
}

func (s *servers) connect() (err error) {
	// With its scheme, whatever CONSUL_HTTP_SSL says.
	if s.client, err = consul.New(consul.Config{Address: "http://" + s.consul.Addr(serverNode), Log: zerolog.Nop()}); err != nil {
		return err
	}
	store := s3mem.New()
	if err := store.CreateBucket(bucket); err != nil {
		return fmt.Errorf("make bucket %s: %w", bucket, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.s3 = "http://" + l.Addr().String()
	s.web = &http.Server{
		Handler:           gofakes3.New(store, gofakes3.WithLogger(gofakes3.DiscardLog())).Server(),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = s.web.Serve(l) }() // ends with close
	return nil
}

func (s *servers) close() error {
	if s.web != nil {
		_ = s.web.Close()
	}
	return s.consul.Close()
}

// put asks Consul by PUT, as `consul maint` does.
func put(url string) error {
	q, err := http.NewRequest(http.MethodPut, url, http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 10 * time.Second}
	r, err := client.Do(q)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10))
		return fmt.Errorf("PUT %s: %s: %s", url, r.Status, said)
	}
	return nil
}
