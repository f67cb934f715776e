package main

import (
	"fmt"
	"io"
	"os"

	"nas-target/internal/plain"
	"nas-target/internal/verify"
)

// verifyProgress shows which case runs: a line that rewrites itself on a
// terminal, a line for each case elsewhere.
type verifyProgress struct {
	w        io.Writer
	terminal bool
}

func newVerifyProgress(w io.Writer) *verifyProgress {
	f, ok := w.(*os.File)
	return &verifyProgress{w: w, terminal: ok && isTerminal(f)}
}

func (p *verifyProgress) began(c verify.Case, index, of int) {
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%d/%d  %s", index+1, of, c.ID)
	}
}

func (p *verifyProgress) ended(r verify.Result) {
	switch {
	case !p.terminal:
		fmt.Fprintf(p.w, "%-7s  %s\n", r.Verdict, r.ID)
	case r.Verdict == verify.Fail || r.Verdict == verify.Errored:
		fmt.Fprintf(p.w, "\r\x1b[K%-7s  %s  %s\n", r.Verdict, r.ID, shorten(plain.Line(r.Reason), max(8, width-11-len(r.ID))))
	}
}

func (p *verifyProgress) end() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
