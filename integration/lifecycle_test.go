package integration_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"gurney/integration/fleet"
)

// The example's lifecycle script answers the group where it asks, in the
// machine's own region, and is no failure where nobody asks: on_ready that fails
// at the first boot keeps a machine that was made by hand in maintenance for ever.
func TestLifecycleOfTheExample(t *testing.T) {
	top, err := fleet.Root()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(top, "examples/cloud-init/user-data.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var user struct {
		Files []struct{ Path, Content string } `yaml:"write_files"`
	}
	if err := yaml.Unmarshal(data, &user); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{
		"curl": "#!/bin/sh\ncase $* in *region*) echo eu-west-1 ;; *) echo i-0a1b ;; esac\n",
		"aws":  "#!/bin/sh\necho \"${AWS_DEFAULT_REGION-nowhere} $*\" >> \"$CALLS\"\ncase $* in *describe*) echo \"$STATE\" ;; esac\n",
	}
	for _, f := range user.Files {
		if filepath.Base(f.Path) == "lifecycle" {
			files["lifecycle"] = f.Content
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for state, asked := range map[string]bool{"Pending:Wait": true, "Pending": true, "Warmed:Pending:Wait": true, "InService": false, "None": false} {
		calls := filepath.Join(t.TempDir(), "calls")
		cmd := exec.Command(filepath.Join(dir, "lifecycle"), "CONTINUE")
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "CALLS="+calls, "STATE="+state)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", state, err, out)
		}
		called, _ := os.ReadFile(calls)
		const answer = "eu-west-1 autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE --instance-id i-0a1b "
		if strings.Contains(string(called), answer) != asked {
			t.Errorf("%s: it called aws with\n%s", state, called)
		}
	}
}
