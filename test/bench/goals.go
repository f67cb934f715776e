package main

import "fmt"

// A goal is what a figure of ours shall reach.
type goal struct {
	what string // a row's name, or a figure that a scene noted
	kind goalKind
	want float64
}

type goalKind uint8

const (
	ratio     goalKind = iota // IOPS against tgt, at least
	targetCPU                 // µs per I/O, at most
	spread                    // p99 / p50, at most
	digests                   // IOPS in percent of the row without digests, at least
	atMost                    // a noted figure
	atLeast                   // a noted figure
	ratioSeen                 // a noted ratio to tgt, at least
)

var goals = append([]goal{
	{"4k random read 1x1", ratio, 2.2},
	{"4k random read 1x4", ratio, 6},
	{"4k random read 1x32", ratio, 5},
	{"4k random read 4x32", ratio, 5.5},
	{"4k random read 16x4", ratio, 5},
	{"4k random read 128x4", ratio, 6.5},
	{"4k random write 1x1", ratio, 3},
	{"4k random write 1x32", ratio, 3.4},
	{"4k random write 4x32", ratio, 6},
	{"256k sequential read 1x8", ratio, 2},
	{"256k sequential write 1x8", ratio, 2.5},
	{"1M sequential read 1x8", ratio, 2.2},
	{"1M sequential write 1x8", ratio, 3},
	{"4k random read 4x32", targetCPU, 5},
	{"4k random read 128x4", spread, 10},
	{"4k random read 4x32 digests", digests, 85},
	{"256k sequential read 1x8 digests", digests, 85},
	{"256k sequential write 1x8 digests", digests, 85},
	{rssIdle, atMost, 30},
	{rssBusy, atMost, 100},
	{cpuIdle, atMost, 0.5},
	{groupCommit, atLeast, 4},
	{reserved, atLeast, 95},
	{mixedTail, atMost, 10},
}, goalsOfOthers()...)

// goalsOfOthers are the same ratios, seen by clients like those that the goals
// were set with.
func goalsOfOthers() []goal {
	var all []goal
	for _, b := range byOthers {
		all = append(all, goal{b.name(), ratioSeen, b.goal})
	}
	return all
}

// judge compares the goals with the medians and with what scenes noted. What
// was not measured is left out.
func judge(of map[string]map[string]sample, seen map[string]float64) table {
	t := table{Title: "Goals", Note: "What this server shall reach, and what this run says.", Columns: []string{"", "goal", "measured", "reached"}}
	for _, g := range goals {
		label, got, ok := g.measure(of, seen)
		if !ok {
			continue
		}
		sign, reached := "≥", got >= g.want
		if g.kind == targetCPU || g.kind == spread || g.kind == atMost {
			sign, reached = "≤", got <= g.want
		}
		verdict := "no"
		if reached {
			verdict = "yes"
		}
		t.Lines = append(t.Lines, []string{label, fmt.Sprintf("%s %.4g", sign, g.want), fmt.Sprintf("%.3g", got), verdict})
	}
	return t
}

func (g goal) measure(of map[string]map[string]sample, seen map[string]float64) (label string, got float64, ok bool) {
	ours, there := of[g.what]["nas-target"]
	there = there && ours.Error == ""
	switch g.kind {
	case ratio:
		base, ok := of[g.what][baseline]
		return g.what + ": IOPS against tgt", ours.IOPS / base.IOPS, there && ok && base.IOPS > 0
	case targetCPU:
		return g.what + ": target CPU, µs per I/O", ours.CPU, there
	case spread:
		return g.what + ": p99 / p50", ours.P99 / ours.P50, there && ours.P50 > 0
	case digests:
		plain := of[g.what[:len(g.what)-len(" digests")]]["nas-target"]
		return g.what + ": % of IOPS without", 100 * ours.IOPS / plain.IOPS, there && plain.IOPS > 0
	}
	got, ok = seen[g.what]
	if g.kind == ratioSeen {
		return g.what + ": IOPS against tgt", got, ok
	}
	return g.what, got, ok
}
