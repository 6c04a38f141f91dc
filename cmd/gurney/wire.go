package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"gurney/agent/state"
	"gurney/artifact"
	"gurney/artifact/s3"
	"gurney/config"
	"gurney/consul"
	"gurney/kv"
	"gurney/rollout"
	"gurney/screen"
	"gurney/strictyaml"
)

// defaultConfigFile is read where it exists and -c names no other.
const defaultConfigFile = "/etc/gurney/gurney.yml"

// configuration loads the file that -c names, else the default one where it
// is there. path is "" where no file was read.
func (c *cli) configuration(p *process) (cfg *config.Config, path string, err error) {
	path = c.Config
	if path == "" {
		if _, err := os.Stat(defaultConfigFile); err == nil {
			path = defaultConfigFile
		}
	}
	if cfg, err = config.Load(path, p.Env); err != nil {
		return nil, "", &exitError{Code: exitUsage, Err: err}
	}
	return cfg, path, nil
}

// logger writes to stderr: for people on a terminal, as JSON elsewhere.
func logger(p *process, c config.Log) zerolog.Logger {
	console := c.Format == "console" || c.Format == "" && terminal(p.Stderr)
	var l zerolog.Logger
	if console {
		l = zerolog.New(zerolog.ConsoleWriter{Out: p.Stderr, NoColor: !colour(p, p.Stderr), TimeFormat: time.RFC3339})
	} else {
		l = zerolog.New(p.Stderr)
	}
	return l.Level(logLevel(c)).With().Timestamp().Logger()
}

func logLevel(c config.Log) zerolog.Level {
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil || c.Level == "" {
		return zerolog.InfoLevel
	}
	return level
}

// quiet is the logger of commands that show something: warnings and worse, in
// words.
func quiet(p *process) zerolog.Logger {
	w := zerolog.ConsoleWriter{Out: p.Stderr, NoColor: !colour(p, p.Stderr), PartsExclude: []string{zerolog.TimestampFieldName}}
	return zerolog.New(w).Level(zerolog.WarnLevel)
}

func terminal(f *os.File) bool { return isatty.IsTerminal(f.Fd()) }

// colour honours https://no-color.org.
func colour(p *process, f *os.File) bool {
	return terminal(f) && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"
}

// put writes text behind lead, its further lines indented by so many columns:
// folded on a terminal, to be read there, and unbroken elsewhere.
func put(p *process, lead string, indent int, text string) error {
	out := lead + strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", indent)) + "\n"
	if columns := screen.Columns(p.Stdout); columns > 0 {
		out = screen.Fold(columns, lead, indent, text)
	}
	_, err := io.WriteString(p.Stdout, out)
	return err
}

// allowed is the configuration's sources; without any everything is allowed,
// which only commands that a person runs accept.
func allowed(cfg *config.Config) (artifact.Allowlist, error) {
	if len(cfg.Sources) == 0 {
		return artifact.AllowAll(), nil
	}
	return artifact.ParseAllowlist(cfg.Sources)
}

// newFetcher makes a fetcher with every source.
func newFetcher(ctx context.Context, cfg *config.Config, log zerolog.Logger) (*artifact.Fetcher, artifact.Allowlist, *s3.Store, error) {
	allow, err := allowed(cfg)
	if err != nil {
		return nil, artifact.Allowlist{}, nil, &exitError{Code: exitUsage, Err: err}
	}
	store, err := s3.New(ctx, s3.Options{Endpoint: cfg.S3.Endpoint, Region: cfg.S3.Region, PathStyle: cfg.S3.PathStyle})
	if err != nil {
		return nil, artifact.Allowlist{}, nil, &exitError{Code: exitUsage, Err: err}
	}
	web := artifact.NewHTTP(allow, cfg.HTTP.Headers)
	return &artifact.Fetcher{
		Sources: map[string]artifact.Source{"s3": store, "http": web, "https": web, "gs": artifact.NewGS(), "file": artifact.File{}},
		Limits:  artifact.Limits{Files: int64(cfg.Limits.Files), Bytes: cfg.Limits.Bytes},
		Log:     log,
	}, allow, store, nil
}

func newConsul(cfg *config.Config, log zerolog.Logger) (*consul.Client, error) {
	c := cfg.Consul
	client, err := consul.New(consul.Config{
		Address: c.Address, Token: c.Token, TokenFile: c.TokenFile, Prefix: c.Prefix, DC: c.DC,
		CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, Log: log,
	})
	if err != nil {
		return nil, &exitError{Code: exitUsage, Err: err}
	}
	return client, nil
}

// driver is what the fleet's commands work with.
func (c *cli) driver(p *process) (*rollout.Driver, *config.Config, error) {
	cfg, _, err := c.configuration(p)
	if err != nil {
		return nil, nil, err
	}
	log := quiet(p)
	client, err := newConsul(cfg, log)
	if err != nil {
		return nil, nil, err
	}
	return &rollout.Driver{Store: client, Fleet: client, Log: log}, cfg, nil
}

// client is what this node's own commands work with.
func (c *cli) client(p *process) (*consul.Client, *config.Config, error) {
	cfg, _, err := c.configuration(p)
	if err != nil {
		return nil, nil, err
	}
	client, err := newConsul(cfg, quiet(p))
	return client, cfg, err
}

// node is the client as an agent uses it.
type node struct{ *consul.Client }

func (n node) Maintenance(ctx context.Context) (on bool, reason string, err error) {
	m, err := n.Client.Maintenance(ctx)
	return m.On, m.Reason, err
}

func (n node) Register(ctx context.Context, apps []string, name, version string, ttl time.Duration) error {
	return n.Client.Register(ctx, consul.Registration{Apps: apps, Node: name, Version: version, TTL: ttl})
}

func (n node) Heartbeat(ctx context.Context, warn bool, note string) error {
	status := consul.Pass
	if warn {
		status = consul.Warn
	}
	return n.Client.Heartbeat(ctx, status, note)
}

// readFile reads a file that the command line names: one that can't be read is
// wrong usage.
func readFile(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, &exitError{Code: exitUsage, Err: err}
	}
	return data, nil
}

// exitStatus is the status that an error ends the program with.
func exitStatus(err error) int {
	var own *exitError
	var refused *rollout.RefusedError
	var held *consul.HeldError
	var source *artifact.SourceError
	var denied *artifact.NotAllowedError
	var busy *state.BusyError
	var problems strictyaml.Problems
	switch {
	case errors.As(err, &own):
		return own.Code
	case errors.As(err, &refused), errors.As(err, &held), errors.As(err, &busy), errors.As(err, &denied),
		errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrForbidden):
		return exitRefused
	case errors.Is(err, kv.ErrUnreachable):
		return exitUnreachable
	case errors.As(err, &source):
		return sourceStatus(source)
	case errors.As(err, &problems):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// sourceStatus is the status of a command that could not read, or write, what
// a URL names. No node failed: it is the world, a role's rights, or the URL.
func sourceStatus(e *artifact.SourceError) int {
	switch {
	case e.Transient():
		return exitUnreachable
	case e.Status == http.StatusForbidden, e.Status == http.StatusUnauthorized:
		return exitRefused
	}
	return exitUsage
}

// runStatus is the exit status of one run on this machine.
func runStatus(e runEnding) int {
	switch {
	case e.ok():
		return exitOK
	case e.refused():
		return exitRefused
	case e.interrupted():
		return exitInterrupted
	case e.unreachable():
		return exitUnreachable
	}
	return exitFailed
}
