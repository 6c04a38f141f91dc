package run

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"gurney/agent/state"
)

// Log takes what a run says and what its commands print: into the run's
// run.log and, for who looks on, to a console. Secrets that it was told are
// masked; it works line by line, so that none slips through in two parts.
type Log struct {
	mu      sync.Mutex
	file    *os.File
	path    string    // of file
	size    int64     // of file
	most    int64     // where file becomes file.1, and another is begun; 0: never
	console io.Writer // nil: none
	tail    *tail     // nil, or takes what is written too
	partial []byte
	masker  *strings.Replacer
	longest int   // of the values that are masked
	lost    error // the first that kept something out of the file
}

// maxLine is where a line without an end is written all the same, in bytes.
const maxLine = 64 << 10

// mostLog is where a run.log is put aside as run.log.1, in bytes: a command that
// prints without end fills no disk.
const mostLog = 64 << 20

// OpenLog begins the log of the run in dir. console may be nil.
func OpenLog(dir state.RunDir, console io.Writer) (*Log, error) {
	f, err := os.OpenFile(dir.Path(state.RunLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Log{file: f, path: f.Name(), size: info.Size(), most: mostLog, console: console}, nil
}

// Logger writes to the log in words for people.
func (l *Log) Logger() zerolog.Logger {
	w := zerolog.ConsoleWriter{Out: l, NoColor: true, TimeFormat: time.RFC3339}
	return zerolog.New(w).With().Timestamp().Logger()
}

// shortest is the least length of a value that is masked: shorter ones would
// tear holes into every line, and are no secrets.
const shortest = 4

// Mask makes *** of the values from now on.
func (l *Log) Mask(secrets map[string]string) {
	var values []string
	for _, v := range secrets {
		for line := range strings.SplitSeq(v, "\n") {
			if line = strings.TrimSpace(line); len(line) >= shortest {
				values = append(values, line)
			}
		}
	}
	// The longest first: one may contain another.
	sort.Slice(values, func(i, j int) bool { return len(values[i]) > len(values[j]) })
	var pairs []string
	for _, v := range values {
		pairs = append(pairs, v, "***")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.masker, l.longest = strings.NewReplacer(pairs...), 0
	if len(values) > 0 {
		l.longest = len(values[0])
	}
}

func (l *Log) mask(s string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.masked(s)
}

func (l *Log) masked(s string) string {
	if l.masker == nil {
		return s
	}
	return l.masker.Replace(s)
}

// Write takes whole lines and keeps the rest until its line ends. It never
// fails: a command whose output nobody takes any more is killed by that (SIGPIPE),
// and a full disk under the log is no fault of what is deployed. What the log had
// no room for, Close tells.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	if end := bytes.LastIndexByte(l.partial, '\n') + 1; end > 0 {
		l.flush(end)
	} else if over := len(l.partial) - maxLine; over > 0 {
		// What stays may be the beginning of a secret.
		l.partial = []byte(l.masked(string(l.partial)))
		l.flush(max(0, len(l.partial)-l.longest))
	}
	return len(p), nil
}

// follow gives what is written from now on, masked, to t; nil ends it.
func (l *Log) follow(t *tail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush(len(l.partial)) // it is of before, or the end without a line's
	l.tail = t
}

func (l *Log) flush(end int) {
	text := l.masked(string(l.partial[:end]))
	l.partial = append(l.partial[:0], l.partial[end:]...)
	if l.tail != nil {
		l.tail.add(text)
	}
	if l.console != nil {
		_, _ = io.WriteString(l.console, text)
	}
	n, err := io.WriteString(l.file, text)
	if err != nil && l.lost == nil {
		l.lost = err
	}
	if l.size += int64(n); l.most > 0 && l.size >= l.most {
		l.turn()
	}
}

// turn begins the file anew; where it can't, it goes on with the one it has.
func (l *Log) turn() {
	l.size = 0 // not again for as long
	f, err := os.OpenFile(l.path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	if os.Rename(l.path, l.path+".1") != nil || os.Rename(l.path+".new", l.path) != nil {
		_ = f.Close()
		return
	}
	if err := l.file.Close(); err != nil && l.lost == nil {
		l.lost = err
	}
	l.file = f
}

// Close writes what is left and closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush(len(l.partial))
	return errors.Join(l.lost, l.file.Close())
}

// tailBytes is how much of a command's output goes into a failure's result.
const tailBytes = 1 << 10

// tail keeps the last bytes of a text from which secrets are gone: cut first,
// a half of one would be left.
type tail struct {
	buf   []byte
	limit int
}

func newTail(limit int) *tail { return &tail{limit: limit} }

func (t *tail) add(text string) {
	t.buf = append(t.buf, text...)
	if over := len(t.buf) - 2*t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-t.limit:]...)
	}
}

func (t *tail) String() string {
	if len(t.buf) > t.limit {
		return string(t.buf[len(t.buf)-t.limit:])
	}
	return string(t.buf)
}
