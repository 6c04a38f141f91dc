package chef

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Choice is the node JSON that a host takes, and how it came to that.
type Choice struct {
	JSON string `json:"json"` // path of the file
	Stem string `json:"stem"` // "web" for nodes/web.json
	How  string `json:"how"`  // for a person: `HOSTNAME_PREFIX=web (from /etc/prefix)`
}

// candidatesShown bounds the list in an error.
const candidatesShown = 20

// Resolve picks the node JSON in dir for h. A prefix, from the file or else
// the variable, names its JSON exactly. Without one it is the longest stem
// that equals a name of the host or is followed in it by '-' or '.'. Host
// names know no case; of two stems that differ in case alone the one spelled
// as the host name wins.
func Resolve(dir string, h Host) (Choice, error) {
	prefix, from := "", ""
	if h.PrefixFile != "" {
		p, err := readPrefixFile(h.PrefixFile)
		if err != nil {
			return Choice{}, err
		}
		prefix, from = p, h.PrefixFile
	}
	if prefix == "" && h.Prefix != "" {
		prefix, from = h.Prefix, "the environment"
	}
	stems, err := stems(dir)
	if err != nil {
		return Choice{}, err
	}
	if len(stems) == 0 {
		return Choice{}, fmt.Errorf("there is no *.json in %s: it must be the folder of the node JSON files", dir)
	}
	if prefix != "" {
		return byPrefix(dir, stems, prefix, from)
	}
	best, name := "", ""
	for _, n := range h.names() {
		for _, s := range stems {
			if leads(s, n) && (len(s) > len(best) || len(s) == len(best) && strings.HasPrefix(n, s)) {
				best, name = s, n
			}
		}
	}
	if best == "" {
		return Choice{}, fmt.Errorf("no node JSON in %s for host %s: %s; name it by %s or hostname_prefix_file",
			dir, strings.Join(uniq(h.names()), ", "), list(stems), prefixVariable)
	}
	how := "host name " + name
	if h.PrefixFile != "" {
		how += fmt.Sprintf(" (%s sets no %s)", h.PrefixFile, prefixVariable)
	}
	return Choice{JSON: filepath.Join(dir, best+".json"), Stem: best, How: how}, nil
}

func byPrefix(dir string, stems []string, prefix, from string) (Choice, error) {
	how := fmt.Sprintf("%s=%s (from %s)", prefixVariable, prefix, from)
	if strings.ContainsAny(prefix, "/\\\x00") || strings.Contains(prefix, "..") {
		return Choice{}, fmt.Errorf("%s=%q (from %s): a prefix is the name of a file, without '/' or '..'", prefixVariable, prefix, from)
	}
	for _, s := range stems {
		if s == prefix {
			return Choice{JSON: filepath.Join(dir, s+".json"), Stem: s, How: how}, nil
		}
	}
	return Choice{}, fmt.Errorf("%s: no %s.json in %s: %s", how, prefix, dir, list(stems))
}

// leads says whether name is stem, or goes on after it with '-' or '.'.
func leads(stem, name string) bool {
	if len(name) < len(stem) || !strings.EqualFold(name[:len(stem)], stem) {
		return false
	}
	return len(name) == len(stem) || name[len(stem)] == '-' || name[len(stem)] == '.'
}

// stems lists the node JSONs of dir by name. Dangling links and directories
// that happen to end in .json are none.
func stems(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the release has no directory of node JSON files: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("list node JSON files: %w", err)
	}
	var out []string
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || stem == "" {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err != nil || !info.Mode().IsRegular() {
			continue
		}
		out = append(out, stem)
	}
	sort.Strings(out)
	return out, nil
}

func list(stems []string) string {
	if n := len(stems); n > candidatesShown {
		return fmt.Sprintf("there are %s and %d more", strings.Join(stems[:candidatesShown], ", "), n-candidatesShown)
	}
	return "there are " + strings.Join(stems, ", ")
}

func uniq(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			out = append(out, n)
		}
		seen[n] = true
	}
	return out
}
