package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"gurney/kv"
)

// Letter is one transaction that Consul has not taken yet.
type Letter struct {
	Name string    `json:"name"` // <app>@<id>@<what it tells>: a second one of that name is the same again
	At   time.Time `json:"at"`
	Ops  []kv.Op   `json:"ops"`

	file string
}

// Post puts a letter behind those that wait. Where the last that waits on the
// same subject has the same name it is left as it is: that is what a crash
// between a letter and the journal makes come again.
func (d Dir) Post(l Letter) error {
	waiting, err := d.Outbox()
	if err != nil {
		return err
	}
	n, last := 1, ""
	for _, w := range waiting {
		if w.subject() == l.subject() {
			last = w.Name
		}
		n = w.number() + 1
	}
	if last == l.Name {
		return nil
	}
	path := d.join("outbox", fmt.Sprintf("%09d-%s.json", n, l.Name))
	if err := write(path, l); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// Outbox returns the letters that wait, in their order.
func (d Dir) Outbox() ([]Letter, error) {
	entries, err := os.ReadDir(d.join("outbox"))
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	var out []Letter
	for _, name := range names {
		var l Letter
		found, err := read(d.join("outbox", name), &l)
		if err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		if found {
			l.file = name
			out = append(out, l)
		}
	}
	return out, nil
}

// Sent removes a letter that Consul took, where it was written down.
func (d Dir) Sent(l Letter) error {
	if l.file == "" {
		return nil
	}
	err := os.Remove(d.join("outbox", l.file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// Refuse puts a letter aside that Consul will never take, so that it does not
// hold up the others: its file, where it has one, stays for people.
func (d Dir) Refuse(l Letter) error {
	if l.file == "" {
		return nil
	}
	path := d.join("outbox", l.file)
	if err := os.Rename(path, path+".refused"); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// Posted says whether a letter about the deployment waits, or was refused; what
// a broken one told is to be told again.
func (d Dir) Posted(app, id string) (bool, error) {
	entries, err := os.ReadDir(d.join("outbox"))
	if err != nil {
		return false, fmt.Errorf("outbox: %w", err)
	}
	about := fmt.Sprintf("-%s@%s@", app, id)
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		_, rest, _ := strings.Cut(e.Name(), "-")
		return strings.HasPrefix("-"+rest, about) && !strings.HasSuffix(rest, broken)
	}), nil
}

// subject is what the letter is about: its name without the last part.
func (l Letter) subject() string { return l.Name[:max(0, strings.LastIndexByte(l.Name, '@'))] }

// Final says whether it tells a final result.
func (l Letter) Final() bool {
	return strings.HasPrefix(l.Name[strings.LastIndexByte(l.Name, '@')+1:], "final")
}

func (l Letter) number() int {
	digits, _, _ := strings.Cut(l.file, "-")
	n, _ := strconv.Atoi(digits)
	return n
}
