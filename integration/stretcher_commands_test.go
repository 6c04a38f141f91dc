package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"gurney/report"
)

// Download, pre, unpack, sync, post, then success or failure: each list in its
// order, to its first failure, and null items do nothing.
func TestStretcherOrder(t *testing.T) {
	eachWay(t, func(y *yard) {
		dest, order := filepath.Join(y.Root, "app"), filepath.Join(y.Root, "order")
		y.write(dest, "REVISION", "old")
		say := func(word string) string {
			return "- echo " + word + " $(cat " + dest + "/REVISION) >> " + order + "\n  "
		}
		manifest := func(more string) string {
			return y.archive("app/app.tgz", y.tarball("REVISION", "brand new")) + "dest: " + dest + "\ncommands:\n  pre:\n  - \n  " +
				say("pre1") + say("pre2") + "post:\n  " + say("post1") + more + say("post2") + "success:\n  " + say("success") + "failure:\n  " + say("failure") + "\n"
		}
		y.delivered(manifest(""))
		want := "pre1 old\npre2 old\npost1 brand new\npost2 brand new\nsuccess brand new\n"
		if got := y.read(order); got != want {
			y.Errorf("the order was\n%s, wanted\n%s", got, want)
		}
		y.write(y.Root, "order", "")
		c := y.deliver(manifest("- sh -c 'echo no luck; exit 7'\n  "))
		if c.State != report.Failed || c.Phase != report.PhasePost || c.Exit != 7 || !strings.Contains(c.Tail, "no luck") {
			y.Errorf("%+v", c.Result)
		}
		want = "pre1 brand new\npre2 brand new\npost1 brand new\nfailure brand new\n"
		if got := y.read(order); got != want {
			y.Errorf("the order was\n%s, wanted\n%s", got, want)
		}
	})
}

// A failed pre leaves dest as it was: nothing is unpacked.
func TestStretcherPreFails(t *testing.T) {
	eachWay(t, func(y *yard) {
		dest := filepath.Join(y.Root, "app")
		y.write(dest, "REVISION", "old")
		c := y.deliver(y.archive("app/app.tgz", y.tarball("REVISION", "new one")) + "dest: " + dest + "\ncommands:\n  pre: ['false', 'touch " + y.Root + "/second']\n")
		if c.State != report.Failed || c.Phase != report.PhasePre {
			y.Errorf("%+v", c.Result)
		}
		if y.read(filepath.Join(dest, "REVISION")) != "old" || exists(filepath.Join(y.Root, "second")) {
			y.Error("something went on after pre had failed")
		}
	})
}

// success and failure commands get the run's log on standard input, output of
// the commands before them and all; each of them the whole.
func TestStretcherOutcomeReadsTheLog(t *testing.T) {
	eachWay(t, func(y *yard) {
		manifest := func(post string) string {
			return "commands:\n  post:\n  - printf 'said without an end'\n  - " + post + "\n" +
				"  success:\n  - cat > " + y.Root + "/success1\n  - cat > " + y.Root + "/success2\n" +
				"  failure:\n  - cat > " + y.Root + "/failure1\n  - cat > " + y.Root + "/failure2\n"
		}
		y.delivered(manifest("'true'"))
		if c := y.deliver(manifest("sh -c 'echo broken >&2; false'")); c.State != report.Failed {
			y.Errorf("%+v", c.Result)
		}
		for name, wants := range map[string][]string{
			"success1": {"said without an end"}, "success2": {"said without an end", "success1"},
			"failure1": {"said without an end", "broken", "post command 2 of 2"}, "failure2": {"broken"},
		} {
			got := y.read(filepath.Join(y.Root, name))
			for _, want := range wants {
				if !strings.Contains(got, want) {
					y.Errorf("%s was not told %q:\n%s", name, want, got)
				}
			}
		}
	})
}

// Commands without src; their environment is the node's with commands.env over
// it, and a fault of success commands changes no result.
func TestStretcherCommandsOnly(t *testing.T) {
	eachWay(t, func(y *yard) {
		y.Host.Env = append(y.Host.Env, "STAGE=staging")
		y.delivered(`commands:
  env:
    STAGE: production
    GREETING: "good day, all"
    COUNT: 3
  pre:
  - printf '%s %s %s %s' "$STAGE" "$GREETING" "$COUNT" "${HOST:+and the node's own}" > ` + y.Root + `/pre
  post:
  - cp ` + y.Root + `/pre ` + y.Root + `/post
  success:
  - touch ` + y.Root + `/success; false
`)
		if got := y.read(filepath.Join(y.Root, "post")); got != "production good day, all 3 and the node's own" {
			y.Errorf("the environment was %q", got)
		}
		if !exists(filepath.Join(y.Root, "success")) {
			y.Error("success commands did not run")
		}
	})
}
