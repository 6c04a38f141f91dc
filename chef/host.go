package chef

import (
	"context"
	"net"
	"os"
	"strings"
	"time"
)

// Host is what Resolve needs to know about a machine.
type Host struct {
	Name       string // as os.Hostname has it, short or full
	FQDN       string // full name, where known
	PrefixFile string // hostname_prefix_file of the configuration; "": none
	Prefix     string // value of the environment variable HOSTNAME_PREFIX; "": not set
}

// ThisHost describes the machine it runs on. The full name comes from the
// resolver, which gets two seconds; without an answer it stays empty.
func ThisHost(ctx context.Context, prefixFile string) (Host, error) {
	name, err := os.Hostname()
	if err != nil {
		return Host{}, err
	}
	h := Host{Name: name, PrefixFile: prefixFile, Prefix: os.Getenv(prefixVariable)}
	if strings.Contains(name, ".") {
		h.FQDN = name
		return h, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if full, err := net.DefaultResolver.LookupCNAME(ctx, name); err == nil {
		if full = strings.TrimSuffix(full, "."); strings.HasPrefix(strings.ToLower(full), strings.ToLower(name)+".") {
			h.FQDN = full
		}
	}
	return h, nil
}

// names are all names of the machine, the fullest first.
func (h Host) names() []string {
	var out []string
	for _, n := range []string{h.FQDN, h.Name} {
		n = strings.TrimSuffix(n, ".")
		if n == "" {
			continue
		}
		out = append(out, n)
		if short, _, dotted := strings.Cut(n, "."); dotted && short != "" {
			out = append(out, short)
		}
	}
	return out
}
