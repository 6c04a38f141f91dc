package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// A line that hangs, and what it started, end with the time that they have, and
// the error says which time that is.
func TestLineThatHangs(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	hang := "sleep 600 & echo $! > " + pid + ".new; mv " + pid + ".new " + pid + "; wait"
	var (
		limit = 2 * time.Second
		text  []byte
		err   error
	)
	for ; ; limit *= 4 {
		err = tellOutcome(t.Context(), zerolog.Nop(), limit, "on_ready", []string{"true", hang, "touch " + pid + ".after"})
		var missing error
		if text, missing = os.ReadFile(pid); missing == nil {
			break
		}
		if limit > time.Minute {
			t.Fatal("the line never began: ", missing, err)
		}
	}
	if err == nil || !strings.HasPrefix(err.Error(), "bootstrap.on_ready 2 of 3 (sleep 600") || !strings.HasSuffix(err.Error(), ": not done after "+limit.String()+" (bootstrap.timeout)") {
		t.Errorf("it ended with %v", err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !errors.Is(syscall.Kill(child, 0), syscall.ESRCH) && !zombie(child); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("its child %d goes on", child)
		}
	}
	if _, err := os.Stat(pid + ".after"); err == nil {
		t.Error("the next line ran")
	}
}

// zombie says whether the process is dead, and only not waited for: its new
// parent may be no init.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}
