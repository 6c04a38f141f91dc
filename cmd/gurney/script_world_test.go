package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rs/zerolog"

	"gurney/consul/embedded"
)

type worldKey struct{}

// world is what one script has around it.
type world struct {
	cluster   *embedded.Cluster
	processes map[string]*background
	s3        *httptest.Server
	mu        sync.Mutex
	denied    []*regexp.Regexp // paths that S3 refuses
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// environ is the script's environment as it is now, which testscript tells to
// nobody but the commands that it runs.
func environ(ts *testscript.TestScript) []string {
	ts.Check(ts.Exec("env", "-0"))
	return strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\x00"), "\x00")
}

// consulCommand is
//
//	consul start NODE…          CONSUL_HTTP_ADDR is the first node's, NODE_CONSUL that of each
//	consul leader up|down
//	consul maint NODE [REASON]  without a reason it ends
//	consul deny RULE…           a token that lacks rights: event:write, key:write/gurney/apps, all
func consulCommand(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	switch {
	case neg || len(args) < 2:
		ts.Fatalf("usage: consul start|leader|maint|deny …")
	case args[0] == "start":
		c, err := embedded.Start(embedded.Options{Nodes: args[1:], Log: zerolog.Nop()})
		ts.Check(err)
		ts.Defer(func() { _ = c.Close() })
		w.cluster = c
		ts.Setenv("CONSUL_HTTP_ADDR", c.Addr(args[1]))
	case args[0] == "leader":
		w.cluster.SetLeader(args[1] == "up")
	case args[0] == "maint":
		q := url.Values{"enable": {fmt.Sprint(len(args) > 2)}, "reason": {strings.Join(args[2:], " ")}}
		r, err := http.NewRequest(http.MethodPut, "http://"+w.cluster.Addr(args[1])+"/v1/agent/maintenance?"+q.Encode(), http.NoBody)
		ts.Check(err)
		resp, err := http.DefaultClient.Do(r)
		ts.Check(err)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			ts.Fatalf("maintenance: %s", resp.Status)
		}
	case args[0] == "deny":
		to := &url.URL{Scheme: "http", Host: ts.Getenv("CONSUL_HTTP_ADDR")}
		s := httptest.NewServer(lacking(args[1:], httputil.NewSingleHostReverseProxy(to)))
		ts.Defer(s.Close)
		ts.Setenv("CONSUL_HTTP_ADDR", s.Listener.Addr().String())
	default:
		ts.Fatalf("consul %s: no such command", args[0])
	}
}

// lacking stands before Consul and answers as it does to a token without the
// rights named; the embedded server knows no ACLs.
func lacking(rights []string, consul http.Handler) http.Handler {
	paths := map[string]string{ // of what needs the right
		"event:write": "/v1/event/fire/", "key:write": "/v1/txn", "key:read": "/v1/kv/", "session:write": "/v1/session/create",
		"agent:read": "/v1/agent/self",
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/internal/acl/authorize" {
			var asked []struct{ Resource, Access, Segment string }
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			answers := []map[string]any{}
			for _, q := range asked {
				answers = append(answers, map[string]any{"Allow": !slices.Contains(rights, q.Resource+":"+q.Access)})
			}
			_ = writeJSON(w, answers)
			return
		}
		for _, right := range rights {
			if p := paths[right]; p != "" && strings.HasPrefix(r.URL.Path, p) {
				http.Error(w, fmt.Sprintf("Permission denied: token with AccessorID '00000000-0000-0000-0000-000000000002' lacks permission '%s'", right), http.StatusForbidden)
				return
			}
		}
		consul.ServeHTTP(w, r)
	})
}

// s3Command is
//
//	s3 start BUCKET…
//	s3 put FILE BUCKET/KEY
//	s3 get BUCKET/KEY FILE    with ! it must not be there
//	s3 deny REGEXP…   answers 403 where /bucket/key matches; none: allows all again
//	s3 stop
func s3Command(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	switch {
	case len(args) == 0 || neg && args[0] != "get":
		ts.Fatalf("usage: s3 start|put|get|deny|stop …")
	case args[0] == "start":
		store := s3mem.New()
		for _, b := range args[1:] {
			ts.Check(store.CreateBucket(b))
		}
		w.s3 = httptest.NewServer(w.guarded(gofakes3.New(store, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()))
		ts.Defer(w.s3.Close)
		ts.Setenv("GURNEY_S3_ENDPOINT", w.s3.URL)
	case args[0] == "put" && len(args) == 3:
		data := ts.ReadFile(args[1])
		r, err := http.NewRequest(http.MethodPut, w.s3.URL+"/"+args[2], strings.NewReader(data))
		ts.Check(err)
		resp, err := http.DefaultClient.Do(r)
		ts.Check(err)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			ts.Fatalf("put %s: %s", args[2], resp.Status)
		}
	case args[0] == "get" && len(args) == 3:
		resp, err := http.Get(w.s3.URL + "/" + args[1])
		ts.Check(err)
		data, err := io.ReadAll(resp.Body)
		ts.Check(err)
		_ = resp.Body.Close()
		if (resp.StatusCode == http.StatusOK) == neg {
			ts.Fatalf("get %s: %s", args[1], resp.Status)
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), data, 0o600))
	case args[0] == "deny":
		w.mu.Lock()
		w.denied = nil
		for _, expr := range args[1:] {
			w.denied = append(w.denied, regexp.MustCompile(expr))
		}
		w.mu.Unlock()
	case args[0] == "stop":
		w.s3.Close()
	default:
		ts.Fatalf("s3 %s: no such command", strings.Join(args, " "))
	}
}

// guarded answers as S3 does to a role without rights.
func (w *world) guarded(s3 http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		no := slices.ContainsFunc(w.denied, func(p *regexp.Regexp) bool { return p.MatchString(r.URL.Path) })
		w.mu.Unlock()
		if no {
			rw.Header().Set("Content-Type", "application/xml")
			rw.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(rw, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
			return
		}
		s3.ServeHTTP(rw, r)
	})
}

// webCommand serves a directory over HTTP at $WEB. /latest/ there is the
// metadata of a machine without a role: 403.
func webCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: web DIR")
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	mux.HandleFunc("/latest/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no role", http.StatusForbidden)
	})
	s := httptest.NewServer(mux)
	ts.Defer(s.Close)
	ts.Setenv("WEB", s.URL)
}

// agentCommand starts an agent on a node of Consul's, and waits until the
// fleet sees it: agent NAME APP…. Its configuration is NAME.yml; one that is
// there is taken as it is.
func agentCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: agent NAME APP…")
	}
	w, name := worldOf(ts), args[0]
	dir := ts.MkAbs(name)
	if _, err := os.Stat(dir + ".yml"); err != nil {
		doc := fmt.Sprintf("apps: [%s]\nsources: [s3://acme/, file:///]\nstate_dir: %s/state\nlisten: ''\nlog: {format: json}\nconsul: {address: %s}\n",
			strings.Join(args[1:], ", "), dir, w.cluster.Addr(name))
		ts.Check(os.WriteFile(dir+".yml", []byte(doc), 0o600))
	}
	env := slices.DeleteFunc(environ(ts), func(v string) bool { return strings.HasPrefix(v, "GURNEY_STATE_DIR=") })
	launch(ts, name, append(env, "NODE="+name), []string{"gurney", "-c", dir + ".yml", "agent"})
	until(ts, false, []string{`"node": "` + name + `",[^{}]*"alive": true`, "gurney", "nodes", "-o", "json"})
}
