package manifest

import (
	"fmt"
	"strings"
	"testing"
)

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestRender(t *testing.T) {
	env := lookup(map[string]string{"STAGE": "prod", "EMPTY": "", "LINES": "a\nb"})
	tests := []struct{ doc, want string }{
		{`a: {{ env "STAGE" "dev" }}`, "a: prod"},
		{"a: {{env `NONE` `dev`}}", "a: dev"},
		{`a: {{ env "EMPTY" "dev" }}`, "a: dev"},
		{`a: {{ env "NONE" "STAGE" "dev" }}`, "a: prod"},
		{`a: {{ env "NONE" }}`, "a: NONE"}, // as Stretcher does
		{`a: "{{must_env "STAGE"}}-{{ must_env "EMPTY" }}"`, `a: "prod-"`},
		{"a: x \n {{- env \"STAGE\" -}} \n y", "a: xprody"},
		{`a: {{ env "NONE" "say \"hi\"" }}`, `a: say "hi"`},
		{"a: docker inspect -f '{{.State.Running}}' {{ .Env }}", "a: docker inspect -f '{{.State.Running}}' {{ .Env }}"},
		{`a: {{ env "STAGE" | upper }} {{ environ "STAGE" }} {{ must_env "STAGE" "x" }}`, `a: {{ env "STAGE" | upper }} {{ environ "STAGE" }} {{ must_env "STAGE" "x" }}`},
		{`a: {{ env "bad \q" }}`, `a: {{ env "bad \q" }}`},
	}
	for _, tt := range tests {
		if got := render([]byte(tt.doc), env, false); string(got.text) != tt.want || got.unset != nil {
			t.Errorf("%s\ngot  %s, unset %v\nwant %s", tt.doc, got.text, got.unset, tt.want)
		}
	}
}

// A value of several lines and an action over several must not move the lines
// that problems name.
func TestRenderKeepsLines(t *testing.T) {
	doc := "commands:\n  pre:\n  - {{ env\n \"LINES\" }}\n  post:\n  - {{ env \"LINES\" }}\nkeep: 1\n"
	env := lookup(map[string]string{"LINES": "echo\n  - a\n  - b"})
	_, _, err := Parse("m.yml", []byte(doc), ParseOptions{Env: env})
	if want := "m.yml:7:7: keep: must be at least 2, got 1"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestMustEnv(t *testing.T) {
	doc := "src: s3://b/{{ must_env \"A\" }}\nchecksum: {{ must_env \"B\" }}\ndest: /srv/x\nkeep: {{ env \"KEEP\" }}\ncommands:\n  pre: {{ must_env \"C\" }}\n"
	_, _, err := Parse("m.yml", []byte(doc), ParseOptions{})
	want := "m.yml:1:13: must_env: A is not set in the environment\n" +
		"m.yml:2:11: must_env: B is not set in the environment\n" +
		"m.yml:6:8: must_env: C is not set in the environment"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	m, _, err := Parse("m.yml", []byte(doc), ParseOptions{TolerateEnv: true})
	if err != nil || m.Keep != 5 || m.Src != "s3://b/‹A›" {
		t.Errorf("tolerated: got %+v, %v", m, err)
	}
	_, _, err = Parse("m.yml", []byte(strings.Replace(doc, "/srv/x", "x", 1)), ParseOptions{TolerateEnv: true})
	if err == nil || err.Error() != "m.yml:3:7: dest: must be an absolute path" {
		t.Errorf("what does not wait for a variable is judged: got %v", err)
	}
	m, _, err = Parse("m.yml", []byte("dest: /x\nsrc: s3://b/{{ must_env \"A\" }}\nchecksum: "+sum), ParseOptions{Env: lookup(map[string]string{"A": "k"})})
	if err != nil || m.Src != "s3://b/k" {
		t.Error(fmt.Sprint(m, err))
	}
}
