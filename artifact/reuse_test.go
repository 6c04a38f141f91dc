package artifact

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// TestConnectionsAreUsedAgain: an object of many parts is read over a few
// connections, not over one for each part. (A worker may find none free while
// one is on its way back, and dial.)
func TestConnectionsAreUsedAgain(t *testing.T) {
	o := newOrigin(t, []byte(noise(1<<20)))
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(o)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	o.URL = server.URL
	f := webFetcher(t)
	f.Part, f.Workers = 4<<10, 4
	must(t, f.Spool(t.Context(), o.parsed("/x"), sumOf("sha256", o.content), filepath.Join(t.TempDir(), "spool")))
	if parts := o.asked(); parts != 256 {
		t.Errorf("%d requests", parts)
	}
	if n := opened.Load(); n > 2*4 {
		t.Errorf("%d connections for 4 workers", n)
	}
}
