package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
)

// completionCmd prints the line that makes a shell ask gurney itself for
// completions.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCmd) Run(ctx context.Context, p *process, kctx *kong.Context) error {
	if c.Shell == "fish" {
		bin, err := os.Executable()
		if err == nil {
			_, err = fmt.Fprintf(p.Stdout, fishScript, fishQuote.Replace(bin))
		}
		return err
	}
	return (&kongcompletion.Completion{Shell: c.Shell, Code: true}).Run(kctx)
}

var fishQuote = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// fishScript is kong-completion's, and offers files where gurney has nothing to
// say, as bash and zsh do by their own.
const fishScript = `function __complete_gurney
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    set -l found ('%[1]s')
    if test (count $found) -gt 0
        printf '%%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -f -c gurney -a "(__complete_gurney)"
`

// complete answers a shell that asks what could come next: it calls gurney
// with the line so far in COMP_LINE, and without arguments of its own.
func complete(parser *kong.Kong, p process) {
	if _, asked := p.Env("COMP_LINE"); asked {
		kongcompletion.Register(parser) // leaves by parser.Exit
	}
}
