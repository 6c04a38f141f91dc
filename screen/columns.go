package screen

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The size of a terminal that does not tell its own.
const (
	usualColumns = 80
	usualRows    = 24
)

// Columns is how wide the terminal is that w writes to, 80 where it does not
// say, and 0 where w is none: nothing is cut there.
func Columns(w io.Writer) int {
	columns, _ := size(w)
	return columns
}

// size is a terminal's columns and rows, 0 for what is none.
func size(w io.Writer) (columns, rows int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	columns, rows = int(ws.Col), int(ws.Row)
	if columns == 0 {
		columns = usualColumns
	}
	if rows == 0 {
		rows = usualRows
	}
	return columns, rows
}

// drawn is the size in which lines are drawn anew in place: one column less
// than there are, for some terminals wrap at the last.
func drawn(w io.Writer) (columns, rows int) {
	columns, rows = size(w)
	if columns == 0 {
		columns, rows = usualColumns, usualRows
	}
	return columns - 1, rows
}
