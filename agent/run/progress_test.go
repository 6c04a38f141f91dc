package run

import (
	"testing"

	"gurney/chef"
)

func TestProgress(t *testing.T) {
	for want, p := range map[string]chef.Progress{
		"0 of ~1 resource":    {Done: 0, Total: 1},
		"1 of ~1 resource":    {Done: 1, Total: 1},
		"41 of ~63 resources": {Done: 41, Total: 63},
	} {
		if got := progress(p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
