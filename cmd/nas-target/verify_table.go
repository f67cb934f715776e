package main

import (
	"fmt"
	"io"
	"strings"

	"nas-target/internal/plain"
	"nas-target/internal/verify"
)

// listedCase is a case of --list.
type listedCase struct {
	ID          string       `json:"id"`
	Title       string       `json:"title"`
	Clause      string       `json:"clause"`
	Demand      string       `json:"demand"`
	Level       verify.Level `json:"level"`
	Destructive bool         `json:"destructive"`
	Nexuses     int          `json:"nexuses"`
	Ports       int          `json:"ports,omitempty"`
	Restart     bool         `json:"restart,omitempty"`
}

func listedCases(cases []verify.Case) []listedCase {
	list := []listedCase{}
	for _, c := range cases {
		list = append(list, listedCase{c.ID, c.Title, c.Clause, c.Demand, c.Level, c.Destructive, c.Nexuses, c.Ports, c.Restart})
	}
	return list
}

func caseTable(w io.Writer, list []listedCase) {
	t := newTable([]string{"CASE", "LEVEL", "CHANGES", "CLAUSE"}, "CLAUSE")
	for _, c := range list {
		changes := "-"
		if c.Destructive {
			changes = "yes"
		}
		t.row(c.ID, string(c.Level), changes, c.Clause)
	}
	t.print(w, "")
}

// verifyTable sums up, and explains what did not pass.
func verifyTable(w io.Writer, r *verify.Report, verbose bool) {
	wrap(w, "target  ", strings.Join(r.Target.URLs, " "))
	wrap(w, "unit    ", fmt.Sprintf("%s %s %s, %s", r.Target.Vendor, r.Target.Product, r.Target.Revision, size(int64(r.Target.Blocks)*int64(r.Target.BlockSize))))
	for _, d := range r.Target.Designators {
		wrap(w, "name    ", d)
	}
	if r.Range != "" {
		wrap(w, "written ", r.Range+", and put back")
	}
	for _, n := range r.Notes {
		wrap(w, "note    ", n)
	}
	fmt.Fprintln(w)
	suiteTable(w, r)
	for _, c := range r.Cases {
		if verbose || c.Verdict == verify.Fail || c.Verdict == verify.Errored {
			explainCase(w, c, verbose)
		}
	}
	skippedTable(w, r, verbose)
	fmt.Fprintln(w)
	fmt.Fprintln(w, conclusion(r))
}

func suiteTable(w io.Writer, r *verify.Report) {
	t := newTable([]string{"SUITE", "PASS", "FAIL", "NOT JUDGED", "SKIPPED"})
	seen := map[string]bool{}
	for _, c := range r.Cases {
		if !seen[c.Suite] {
			seen[c.Suite] = true
			n := r.Suites[c.Suite]
			t.row(c.Suite, fmt.Sprint(n.Pass), fmt.Sprint(n.Fail), fmt.Sprint(n.Error), fmt.Sprint(n.Skipped))
		}
	}
	t.print(w, "")
}

// explainCase says what the clause demands and what came instead.
func explainCase(w io.Writer, c verify.Result, steps bool) {
	fmt.Fprintln(w)
	wrap(w, fmt.Sprintf("%-5s  ", c.Verdict), fmt.Sprintf("%s (%s): %s", c.ID, c.Level, c.Title))
	wrap(w, "       ", c.Clause)
	wrap(w, "       must: ", c.Expected)
	if c.Reason != "" {
		wrap(w, "       was:  ", c.Reason)
	}
	if !steps || c.Verdict == verify.Pass || c.Verdict == verify.Skipped {
		return
	}
	for _, s := range c.Steps {
		line := plain.Line(s.Line())
		wrap(w, "         "+line[:2], line[2:])
	}
}

// skippedTable names the reasons for which cases were skipped, and their number.
func skippedTable(w io.Writer, r *verify.Report, verbose bool) {
	var reasons []string
	of := map[string]int{}
	for _, c := range r.Cases {
		if c.Verdict != verify.Skipped || verbose {
			continue
		}
		if of[c.Reason] == 0 {
			reasons = append(reasons, c.Reason)
		}
		of[c.Reason]++
	}
	if len(reasons) == 0 {
		return
	}
	fmt.Fprintln(w)
	for _, reason := range reasons {
		wrap(w, fmt.Sprintf("skipped %3d: ", of[reason]), reason)
	}
}

func conclusion(r *verify.Report) string {
	sum := fmt.Sprintf("required: %d passed, %d failed, %d not judged, %d skipped\nothers:   %d passed, %d failed, %d not judged, %d skipped",
		r.Required.Pass, r.Required.Fail, r.Required.Error, r.Required.Skipped, r.Rest.Pass, r.Rest.Fail, r.Rest.Error, r.Rest.Skipped)
	if r.Stopped != "" {
		sum += "\nstopped " + plain.Line(r.Stopped)
	}
	return sum
}
