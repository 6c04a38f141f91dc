package event

import (
	"fmt"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func TestNodeFilter(t *testing.T) {
	var hundred []string
	for i := range 100 {
		hundred = append(hundred, fmt.Sprintf("web-i-%02d.eu.acme.test", i))
	}
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, `^$`},
		{[]string{"web-1"}, `^web-1$`},
		{[]string{"web-1", "web-1"}, `^web-1$`},
		{[]string{"web-3", "web-1", "web-2"}, `^web-[1-3]$`},
		{[]string{"web-1", "db-1"}, `^(?:d|we)b-1$`},
		{[]string{"a", "b.c"}, `^(?:a|b\.c)$`},
		{[]string{"web", "web-1"}, `^web(?:-1)?$`},
		{[]string{"db-1", "web-1", "web-10", "web-2", "web-20"}, `^(?:db-1|web-[12]0?)$`},
		{[]string{"web-1.eu.acme.test", "web-2.eu.acme.test", "db-1.eu.acme.test"}, `^(?:db-1|web-[12])\.eu\.acme\.test$`},
		{[]string{"b-1", "db-1"}, `^d?b-1$`}, // another order without their end
		{[]string{"x]", "x^", "x-", `x\`, "xa"}, `^x[\-\\-\^a]$`},
		{[]string{"müller-1", "müller-2"}, `^müller-[12]$`},
		{hundred, `^web-i-[0-9][0-9]\.eu\.acme\.test$`},
	} {
		if got := NodeFilter(c.names); got != c.want {
			t.Errorf("%.5q\ngot  %s\nwant %s", c.names, got, c.want)
		}
	}
}

// It matches the names, no other, and is never longer than the plain list.
func TestNodeFilterProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few letters, so that names begin and end alike; and what a fleet has.
		name := rapid.OneOf(
			rapid.StringMatching(`[ab.-]{1,6}`),
			rapid.StringMatching(`(web|db)-[0-9]{1,2}(\.(eu|us)\.acme\.test)?`),
			rapid.StringN(1, 8, -1),
		)
		names := rapid.SliceOfN(name, 1, 30).Draw(t, "names")
		filter := NodeFilter(names)
		re, err := regexp.Compile(filter)
		if err != nil {
			t.Fatal(err)
		}
		in := map[string]bool{}
		for _, n := range names {
			in[n] = true
			if !re.MatchString(n) {
				t.Fatalf("%s does not match %q", filter, n)
			}
		}
		others := append(rapid.SliceOfN(name, 1, 30).Draw(t, "others"), "")
		for _, n := range names {
			r := []rune(n)
			others = append(others, n+"0", "x"+n, string(r[:len(r)-1]), string(r[1:]), n+"\n", n+n)
		}
		for _, n := range others {
			if !in[n] && re.MatchString(n) {
				t.Fatalf("%s matches %q too", filter, n)
			}
		}
		if plain := plain(names); len(filter) > len(plain) {
			t.Fatalf("%s is longer than %s", filter, plain)
		}
	})
}

// plain is the alternation that anybody would write.
func plain(names []string) string {
	seen, out := map[string]bool{}, ""
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out += "|" + regexp.QuoteMeta(n)
		}
	}
	if len(seen) == 1 {
		return "^" + out[1:] + "$"
	}
	return "^(?:" + out[1:] + ")$"
}
