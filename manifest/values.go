package manifest

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gurney/strictyaml"
)

var appName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func name(v *strictyaml.Value, to *string) {
	if v.String(to) && !appName.MatchString(*to) {
		v.Problemf("must be 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first")
	}
}

// oneOf reads one of words; the empty string leaves the default.
func oneOf(v *strictyaml.Value, to *string, words ...string) {
	var s string
	if !v.String(&s) {
		return
	}
	if s != "" && !slices.Contains(words, s) {
		v.Problemf("must be one of %s; got %q", strings.Join(words, ", "), s)
		return
	}
	*to = s
}

func positive(v *strictyaml.Value, to *time.Duration) {
	if v.Duration(to) && *to <= 0 {
		v.Problemf("must be positive, got %s", *to)
	}
}

// optional reads what a configuration may say too: nil where it is not said.
func optional[T any](v *strictyaml.Value, read func(*T) bool) *T {
	var to T
	if v.Null() || !read(&to) {
		return nil
	}
	return &to
}

func notNegative(v *strictyaml.Value, d *time.Duration) {
	if d != nil && *d < 0 {
		v.Problemf("must not be negative, got %s", *d)
	}
}

func atLeast(v *strictyaml.Value, to *int, least int) {
	if v.Int(to) && *to < least {
		v.Problemf("must be at least %d, got %d", least, *to)
	}
}

// local reads a path inside the release.
func local(v *strictyaml.Value, to *string) {
	if v.String(to) && *to != "" && !filepath.IsLocal(*to) {
		v.Problemf("must be a path inside the archive, without a leading / and without ..; got %q", *to)
	}
}

// nonEmpty reads a list of strings and drops the empty ones, which do nothing.
func nonEmpty(v *strictyaml.Value, to *[]string) {
	if v.Strings(to) {
		*to = slices.DeleteFunc(*to, func(s string) bool { return strings.TrimSpace(s) == "" })
	}
}

// mode reads permission bits as YAML 1.1 does: a leading 0 is octal, and a
// bare 493 is decimal for 0755. A string is octal always. Bits beyond 0777
// are taken and dropped, for Stretcher never set them.
func mode(v *strictyaml.Value, to *uint32) {
	var s string
	if !v.String(&s) {
		return
	}
	base, digits := 0, s
	if v.Quoted() {
		base, digits = 8, strings.TrimPrefix(s, "0o")
	}
	n, err := strconv.ParseUint(digits, base, 32)
	switch {
	case err != nil || n > 0o7777:
		v.Problemf("must be an octal mode such as 0755")
	case n > 0o777 && base == 0 && s[0] != '0':
		v.Problemf("%s is decimal, mode %#o; write %s", s, n, octalOf(s))
	default:
		*to = uint32(n) & 0o777
	}
}

// octalOf is what a person who wrote decimal digits meant.
func octalOf(s string) string {
	if n, err := strconv.ParseUint(s, 8, 32); err == nil && n <= 0o777 {
		return fmt.Sprintf("%#o", n)
	}
	return "an octal mode such as 0755"
}
