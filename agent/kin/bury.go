package kin

import (
	"context"
	"syscall"

	"github.com/rs/zerolog"

	"gurney/agent/state"
)

// Bury ends what is left of a run that left no result: it was killed, and
// Chef goes on without it. Chef obeys SIGINT alone while it converges, and
// ends its own command by it. A run that still goes on must not be named.
func Bury(ctx context.Context, dir state.RunDir, log zerolog.Logger) {
	if e, err := dir.Ending(); err == nil && e != nil {
		return
	}
	status, err := dir.Status()
	if err != nil || status == nil || status.Mark == "" {
		return // nothing was started
	}
	k := Of(status.Mark, status.Cgroup)
	defer k.Close()
	found, err := k.Sweep(ctx, syscall.SIGINT, syscall.SIGTERM)
	if found > 0 {
		log.Warn().Str("run", dir.Name).Int("processes", found).Msg("ended what a run that was killed had left behind")
	}
	if err != nil && ctx.Err() == nil {
		log.Error().Err(err).Str("run", dir.Name).Msg("a run that was killed leaves something behind")
	}
}

// BuryAll buries every run of home but the one named. Whoever holds the lock
// of the one run may call it: none of them goes on.
func BuryAll(ctx context.Context, home state.Dir, not string, log zerolog.Logger) {
	runs, err := home.Runs("")
	if err != nil {
		log.Warn().Err(err).Msg("runs that were killed can't be looked for")
	}
	for _, r := range runs {
		if r.Name != not {
			Bury(ctx, r, log)
		}
	}
}
