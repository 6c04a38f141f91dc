package kin

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Leave is for a program that is to outlive a run which may have started it,
// as Chef does where no systemd restarts the agent for it: it leaves the run's
// cgroup, and is executed again where its environment bears the mark, for
// /proc tells what a process was started with. It returns only where there
// was nothing to leave, or with an error.
func Leave() error {
	if path, err := own(); err == nil && strings.Contains(path, "/"+prefix) {
		unit := path
		for strings.Contains(unit, "/"+prefix) {
			unit = filepath.Dir(unit)
		}
		if err := os.WriteFile(filepath.Join(unit, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return fmt.Errorf("leave the cgroup of the run that started this: %w", err)
		}
	}
	if _, marked := os.LookupEnv(Variable); !marked {
		return nil
	}
	if err := os.Unsetenv(Variable); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	return fmt.Errorf("execute this program again: %w", syscall.Exec(self, os.Args, os.Environ()))
}
