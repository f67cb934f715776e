package main

import (
	"fmt"

	"nas-target/internal/plain"
	"nas-target/internal/verify"
)

// verifyProgress shows which case runs: on a terminal the one that does, and
// those that did not pass; elsewhere a line for each.
type verifyProgress struct{ liveLine }

func (p verifyProgress) began(c verify.Case, index, of int) {
	if p.terminal {
		p.show(fmt.Sprintf("%d/%d  %s", index+1, of, c.ID))
	}
}

func (p verifyProgress) ended(r verify.Result) {
	switch {
	case !p.terminal:
		p.show(fmt.Sprintf("%-7s  %s", r.Verdict, r.ID))
	case r.Verdict == verify.Fail || r.Verdict == verify.Errored:
		p.end()
		fmt.Fprintf(p.w, "%-7s  %s  %s\n", r.Verdict, r.ID, shorten(plain.Line(r.Reason), max(8, width-11-len(r.ID))))
	}
}
