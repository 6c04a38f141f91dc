package standin

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// signals are those that Chef traps: TERM, which a converge ignores, and INT,
// which ends it. Trapped rather than ignored, they mean to the commands that
// a recipe runs what they always mean.
type signals struct {
	interrupt chan os.Signal // INT, twice at most
	term      chan os.Signal
}

// boot takes CHEF_STANDIN_BOOT, a duration, for what Ruby takes to start: TERM
// still kills then.
func boot() {
	if d, err := time.ParseDuration(os.Getenv("CHEF_STANDIN_BOOT")); err == nil {
		time.Sleep(d)
	}
}

func trap() signals {
	s := signals{interrupt: make(chan os.Signal, 2), term: make(chan os.Signal, 1)}
	signal.Notify(s.interrupt, syscall.SIGINT)
	signal.Notify(s.term, syscall.SIGTERM)
	// A write into a closed pipe is an exception in Ruby, not the end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return s
}

// interrupted logs as Chef's trap does; what unwinds the run then is an exit.
func (c *run) interrupted() *exception {
	c.out.log("FATAL", "SIGINT received, stopping")
	return &exception{class: "SystemExit", message: "exit", exit: exitInt}
}

// stopped looks between two resources for what ends a run.
func (c *run) stopped() *exception {
	select {
	case <-c.signals.interrupt:
		return c.interrupted()
	default:
		return c.out.broken()
	}
}

// sleep is Ruby's, which signals cut short.
func (c *run) sleep(d time.Duration) *exception {
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-c.signals.interrupt:
		return c.interrupted()
	case <-over.C:
		return nil
	}
}
