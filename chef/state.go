package chef

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/google/renameio/v2"
	"github.com/rs/zerolog"
)

//go:embed wrapper.rb
var wrapperBody string

// seedMax bounds a node JSON that is copied for the recipes' search, in bytes.
const seedMax = 16 << 20

// state is the directory S: what Chef keeps between runs, and what one run
// says to us.
type state struct{ dir string }

func (s state) nodes() string    { return filepath.Join(s.dir, "nodes") }
func (s state) cache() string    { return filepath.Join(s.dir, "cache") }
func (s state) backup() string   { return filepath.Join(s.dir, "backup") }
func (s state) guid() string     { return filepath.Join(s.dir, "guid") }
func (s state) lock() string     { return filepath.Join(s.dir, "lock") }
func (s state) wrapper() string  { return filepath.Join(s.dir, "wrapper.rb") }
func (s state) report() string   { return filepath.Join(s.dir, "report.json") }
func (s state) progress() string { return filepath.Join(s.dir, "progress.json") }

// held says whether a Chef that runs has the lock, and its pid where it told.
// Only Chef takes it for a run: here it is free again at once.
func (s state) held() (pid int, held bool) {
	f, err := os.Open(s.lock())
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if !errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		return 0, false
	}
	data, err := io.ReadAll(io.LimitReader(f, 32))
	if err == nil {
		pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	return pid, true
}

// prepare makes S ready for one run: nothing of a former run is left that
// could speak for this one. Lock, cache, backups and guid stay.
func (s state) prepare(o Options, nonce string) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make chef-solo's state directory: %w", err)
	}
	// A run that was killed while it wrote its wrapper left that on its way.
	left, err := filepath.Glob(filepath.Join(s.dir, ".wrapper.rb*"))
	if err != nil {
		return fmt.Errorf("look for a former run's wrapper: %w", err)
	}
	for _, old := range append(left, s.report(), s.progress(), s.report()+".tmp", s.progress()+".tmp") {
		if err := os.Remove(old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a former run's report: %w", err)
		}
	}
	if err := s.seed(filepath.Dir(o.JSON), o.Node, o.Log); err != nil {
		return err
	}
	// Beside its place: renameio would try $TMPDIR first, and a kill leave it there.
	if err := renameio.WriteFile(s.wrapper(), []byte(s.wrap(o, nonce)), 0o600, renameio.WithTempDir(s.dir)); err != nil {
		return fmt.Errorf("write chef-solo's wrapper configuration: %w", err)
	}
	return nil
}

// seed empties S/nodes, so that no attribute of a former run survives, and
// fills it with the release's node JSONs for recipes that search(:node). One
// that is no JSON object would break every such search, and is left out. So
// is one with this node's own name: Chef would take it for its saved node.
func (s state) seed(from, node string, log zerolog.Logger) error {
	if err := os.RemoveAll(s.nodes()); err != nil {
		return fmt.Errorf("empty chef-solo's nodes: %w", err)
	}
	if err := os.Mkdir(s.nodes(), 0o700); err != nil {
		return fmt.Errorf("make chef-solo's nodes: %w", err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("read the release's node JSONs: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") || e.Name() == node+".json" {
			continue
		}
		data, err := readNode(filepath.Join(from, e.Name()))
		if err != nil {
			log.Warn().Str("file", e.Name()).Err(err).Msg("node JSON left out of the recipes' search")
			continue
		}
		if err := os.WriteFile(filepath.Join(s.nodes(), e.Name()), data, 0o600); err != nil {
			return fmt.Errorf("seed chef-solo's nodes: %w", err)
		}
	}
	return nil
}

func readNode(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, seedMax+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > seedMax:
		return nil, fmt.Errorf("over %d MiB", seedMax>>20)
	case !json.Valid(data) || !utf8.Valid(data) || !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")):
		return nil, errors.New("not a JSON object")
	}
	return data, nil
}

// wrap is the configuration that chef-solo gets: a head that says where
// things are in this run, and wrapper.rb. Head and key order are a contract
// with the stand-in, which can't run Ruby. To Ruby, "coding" is an order: a
// service has no LANG, and a path may be no ASCII.
func (s state) wrap(o Options, nonce string) string {
	var b strings.Builder
	b.WriteString("# gurney wrapper 1: written anew for every run; changes are lost. coding: utf-8\ngurney = {\n")
	for _, kv := range [][2]string{
		{"release", o.Release}, {"config", filepath.Join(o.Release, o.Config)}, {"state", s.dir},
		{"report", s.report()}, {"progress", s.progress()}, {"nonce", nonce},
	} {
		fmt.Fprintf(&b, "  :%s => %s,\n", kv[0], rubyString(kv[1]))
	}
	b.WriteString("}\n")
	b.WriteString(wrapperBody)
	return b.String()
}

// rubyString quotes s in a way that leaves nothing for Ruby to expand.
func rubyString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// handled is the report of the handler in wrapper.rb.
type handled struct {
	Nonce     string   `json:"nonce"`
	Completed bool     `json:"completed"` // the converge itself succeeded, whatever came after
	Success   bool     `json:"success"`
	Elapsed   float64  `json:"elapsed"` // seconds
	Updated   int      `json:"updated"`
	Total     int      `json:"total"`
	Exception string   `json:"exception"`
	Message   string   `json:"message"`
	RunID     string   `json:"run_id"`
	Roles     []string `json:"roles"`
}

// readReport returns the report of the run with that nonce, nil when there is
// none: a report of another run is none.
func (s state) readReport(nonce string) *handled {
	var h handled
	if !readJSON(s.report(), &h) || h.Nonce != nonce {
		return nil
	}
	return &h
}

func (s state) readProgress(nonce string) (Progress, bool) {
	var p struct {
		Progress
		Nonce string `json:"nonce"`
	}
	if !readJSON(s.progress(), &p) || p.Nonce != nonce {
		return Progress{}, false
	}
	return p.Progress, true
}

// readJSON reads what the wrapper wrote; a recipe runs as the same user, so
// its size is not taken on trust.
func readJSON(path string, into any) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return json.NewDecoder(io.LimitReader(f, 1<<20)).Decode(into) == nil
}
