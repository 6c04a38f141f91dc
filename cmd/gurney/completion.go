package main

import (
	"context"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
)

// completionCmd prints the line that makes a shell ask gurney itself for
// completions.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCmd) Run(ctx context.Context, kctx *kong.Context) error {
	return (&kongcompletion.Completion{Shell: c.Shell, Code: true}).Run(kctx)
}

// complete answers a shell that asks what could come next: it calls gurney
// with the line so far in COMP_LINE, and without arguments of its own.
func complete(parser *kong.Kong, p process) {
	if _, asked := p.Env("COMP_LINE"); asked {
		kongcompletion.Register(parser) // leaves by parser.Exit
	}
}
