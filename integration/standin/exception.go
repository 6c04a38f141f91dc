package standin

import "fmt"

// Exit codes, as Chef's RFC 062 has them where it has them.
const (
	exitFailed   = 1
	exitInt      = 2
	exitTerm     = 3
	exitReboot   = 35
	exitPending  = 37
	exitNoReboot = 41
	exitConfig   = 43
	exitLicense  = 172
	exitUpgraded = 213
)

// exits are the exceptions that end Chef with a code of their own.
var exits = map[string]int{
	"Chef::Exceptions::Reboot":         exitReboot,
	"Chef::Exceptions::RebootPending":  exitPending,
	"Chef::Exceptions::RebootFailed":   exitNoReboot,
	"Chef::Exceptions::ClientUpgraded": exitUpgraded,
}

// exception is a Ruby exception as the outside sees it: the class, the words,
// and what chef-solo ends with; 0 is what the class says, or the usual 1.
// Without a class it is a message of Chef's own.
type exception struct {
	class, message string
	exit           int
}

func (e *exception) Error() string {
	if e.class == "" {
		return e.message
	}
	return e.class + ": " + e.message
}

func (e *exception) code() int {
	switch {
	case e.exit != 0:
		return e.exit
	case exits[e.class] != 0:
		return exits[e.class]
	}
	return exitFailed
}

func raise(class, format string, args ...any) *exception {
	return &exception{class: class, message: fmt.Sprintf(format, args...)}
}

// unknown is raised for Ruby that is beyond the stand-in. It says so: nobody
// shall look for a mistake in their cookbook.
func unknown(format string, args ...any) *exception {
	return raise("NotImplementedError", "gurney's chef-solo stand-in doesn't know "+format, args...)
}
