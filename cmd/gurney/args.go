package main

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/alecthomas/kong"

	"gurney/event"
	"gurney/strictyaml"
)

// appArg is the app that a command is about. Kong calls AfterApply: what is
// wrong with arguments is said before anybody is asked anything.
type appArg struct {
	App string `arg:"" help:"The app."`
}

// AfterApply checks the name, which becomes a part of keys and paths.
func (a appArg) AfterApply() error { return validApp(a.App) }

func validApp(name string) error {
	if !event.ValidApp(name) {
		return fmt.Errorf("app %q: 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first", name)
	}
	return nil
}

// filled is a flag's value that is something where the flag is given: an empty
// one is mostly a script's variable that was not set, and would mean every node,
// or no lock.
type filled string

// UnmarshalText implements encoding.TextUnmarshaler, for kong.
func (f *filled) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("must not be empty: leave the flag out where it is not meant")
	}
	*f = filled(text)
	return nil
}

// duration reads a flag as the configuration reads its values: a number without
// a unit is told which to write. 0 needs none, as ever in a flag.
func duration(ctx *kong.DecodeContext, target reflect.Value) error {
	t, err := ctx.Scan.PopValue("duration")
	if err != nil {
		return err
	}
	var d time.Duration
	if text := t.String(); text != "0" {
		if d, err = strictyaml.ParseDuration(text); err != nil {
			return err
		}
	}
	target.SetInt(int64(d))
	return nil
}

func notNegative(flag string, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s: must not be negative, got %s", flag, d)
	}
	return nil
}
