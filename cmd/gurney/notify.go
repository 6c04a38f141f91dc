package main

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// managerVariables are what a service manager tells this process alone
// (sd_notify(3), sd_watchdog_enabled(3)). What Chef starts must not speak for
// the agent: a daemon that says READY=1 or STOPPING=1 would.
var managerVariables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

// serviceManager is how the agent tells systemd, or who speaks as it does, how
// it is; nil where nobody asked. watchdog is how often it wants to hear.
func serviceManager(p *process, log zerolog.Logger) (notify func(string), watchdog time.Duration) {
	if p.getenv("NOTIFY_SOCKET") == "" {
		return nil, 0
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("no watchdog")
	}
	return func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn().Err(err).Str("state", state).Msg("the service manager can't be told")
		}
	}, watchdog
}

// runEnviron is the environment of runs: this process's, without what is
// between it and its service manager.
func runEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(managerVariables, name)
	})
}
