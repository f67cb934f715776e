package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// liveLine shows how something goes: a line that rewrites itself on a terminal,
// lines one below the other elsewhere.
type liveLine struct {
	w        io.Writer
	terminal bool
}

func newLiveLine(w io.Writer) liveLine {
	f, ok := w.(*os.File)
	return liveLine{w: w, terminal: ok && isTerminal(f)}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func (l liveLine) show(line string) {
	if l.terminal {
		fmt.Fprint(l.w, clearLine, line)
	} else {
		fmt.Fprintln(l.w, line)
	}
}

// end takes the line away; what was printed as lines stays.
func (l liveLine) end() {
	if l.terminal {
		fmt.Fprint(l.w, clearLine)
	}
}

const clearLine = "\r\x1b[K"
