package chef

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Converge runs chef-solo once on a release and says what became of it. A
// failed converge is a Verdict, not an error. Errors: *BusyError when another
// run holds Chef's lock, *StartError when chef-solo could not run at all;
// both with Transient. With ctx's end or the timeout chef-solo is stopped,
// with the commands it runs; what Chef started as a service stays.
func Converge(ctx context.Context, o Options) (Verdict, error) {
	if o.Config == "" {
		o.Config = "solo.rb"
	}
	if err := o.check(); err != nil {
		return Verdict{}, &StartError{Err: err}
	}
	if err := ctx.Err(); err != nil {
		return Verdict{Interrupted: true, Why: "interrupted before chef-solo began"}, nil
	}
	s, nonce := state{o.State}, rand.Text()
	// Chef would say so itself, but two seconds later, and from a state
	// directory that was cleared under the run that has it.
	if pid, held := s.held(); held {
		busy := &BusyError{PID: pid, Lock: s.lock()}
		return Verdict{Busy: true, BusyPID: pid, Why: busy.Error()}, busy
	}
	if err := s.prepare(o, nonce); err != nil {
		return Verdict{}, &StartError{Err: err}
	}
	out, err := openOutput(o.Output, o.Append, o.MaxOutput)
	if err != nil {
		return Verdict{}, &StartError{Err: err}
	}
	defer out.Close()

	p, err := start(o, arguments(o, s), out.file)
	if err != nil {
		return Verdict{}, &StartError{Err: fmt.Errorf("start chef-solo: %w", err), wait: shortage(err)}
	}
	began := time.Now()
	end := p.watch(ctx, o, func() {
		if err := out.bound(); err != nil {
			o.Log.Warn().Err(err).Msg("chef-solo's output can't be rotated")
		}
		if progress, ok := s.readProgress(nonce); ok && o.OnProgress != nil {
			o.OnProgress(progress)
		}
	})
	text, err := out.tail()
	if err != nil {
		o.Log.Warn().Err(err).Msg("chef-solo's output can't be read")
	}
	v := judge(evidence{exit: end, report: s.readReport(nonce), text: text, took: time.Since(began), timeout: o.Timeout})
	if v.Busy {
		return v, &BusyError{PID: v.BusyPID, Lock: s.lock()}
	}
	return v, nil
}

// check finds what chef-solo would pass over in silence, or misread.
func (o Options) check() error {
	for _, p := range []struct{ name, path string }{{"release", o.Release}, {"state", o.State}, {"node JSON", o.JSON}, {"output", o.Output}} {
		if !filepath.IsAbs(p.path) {
			return fmt.Errorf("chef-solo's %s path %q is not absolute", p.name, p.path)
		}
	}
	if !filepath.IsLocal(o.Config) {
		return fmt.Errorf("chef.config %q is not inside the release", o.Config)
	}
	if o.Node == "" || strings.ContainsAny(o.Node, "/\x00") || o.Node == "." || o.Node == ".." {
		return fmt.Errorf("%q is no name for a Chef node", o.Node)
	}
	// Without it Chef only warns, and takes cookbooks from elsewhere.
	config := filepath.Join(o.Release, o.Config)
	switch info, err := os.Stat(config); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the release has no %s: %w", o.Config, err)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", config)
	}
	if _, err := os.Stat(o.JSON); err != nil {
		return err
	}
	return nil
}

// arguments are chef-solo's, each with its reason. Never --fork: it turns 35
// into 1 and leaves the worker behind when it is stopped.
func arguments(o Options, s state) []string {
	args := []string{
		"-c", s.wrapper(),
		"-j", o.JSON,
		"-N", o.Node, // the default came out as "localhost"
		"--no-color",
		"--lockfile", s.lock(), // one lock for all releases, not one beside each solo.rb
		"--run-lock-timeout", "0", // the caller waits, and says so; Chef would wait for ever
		"--config-option", "node_path=" + yamlString(s.nodes()), // else R/nodes/<node>.json is overwritten
		"--config-option", "file_cache_path=" + yamlString(s.cache()),
		"--config-option", "file_backup_path=" + yamlString(s.backup()),
		"--config-option", "chef_guid_path=" + yamlString(s.guid()),
	}
	if o.Environment != "" {
		args = append(args, "-E", o.Environment)
	}
	if len(o.RunList) > 0 {
		args = append(args, "-o", strings.Join(o.RunList, ","))
	}
	if o.LogLevel != "" {
		args = append(args, "-l", o.LogLevel)
	}
	if o.WhyRun {
		args = append(args, "-W")
	}
	return args
}

// yamlString is s as Chef reads it from a --config-option, which is YAML: there
// " #" begins a comment and ": " a mapping. What YAML leaves alone stays as it
// is; all else goes in double quotes, with escapes for what YAML forbids or
// folds.
func yamlString(s string) string {
	ordinary := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("/._-+", r))
	}
	if !utf8.ValidString(s) || !strings.ContainsFunc(s, func(r rune) bool { return !ordinary(r) }) {
		return s // bytes that are no text can't be told in YAML
	}
	return strconv.QuoteToASCII(s) // Go's escapes are YAML's, too
}

func environment(o Options) []string {
	env := append(os.Environ(), o.Env...)
	if o.License != "" {
		env = append(env, "CHEF_LICENSE="+o.License)
	}
	return env
}
