package main

import (
	"fmt"
	"io"
	"time"

	"nas-target/internal/load"
)

// progress shows how a run goes, elsewhere than on a terminal every few seconds.
type progress struct {
	liveLine
	every time.Duration
	last  load.Sample
}

func newProgress(w io.Writer) *progress {
	p := &progress{liveLine: newLiveLine(w), every: 5 * time.Second}
	if p.terminal {
		p.every = 200 * time.Millisecond
	}
	return p
}

func (p *progress) begin(r benchRun, round, rounds int) {
	p.last = load.Sample{}
	fmt.Fprintf(p.w, "%s  %s\n", r.name, describe(r.options.Workload))
	if rounds > 1 {
		fmt.Fprintf(p.w, "round %d of %d\n", round, rounds)
	}
}

func describe(w load.Workload) string {
	way := "sequential"
	if w.Random {
		way = "random"
	}
	if w.Kind == load.NoData {
		return fmt.Sprintf("TEST UNIT READY, %d×%d, %v", w.Sessions, w.Depth, w.Duration)
	}
	return fmt.Sprintf("%s %s %s, %d×%d, %v", size(int64(w.Block)), way, w.Kind, w.Sessions, w.Depth, w.Duration)
}

func (p *progress) sample(s load.Sample) {
	over := (s.Elapsed - p.last.Elapsed).Seconds()
	if over <= 0 {
		return
	}
	phase := ""
	if s.Warmup {
		phase = "  (warming up)"
	}
	line := fmt.Sprintf("%5.1fs  %8.0f IOPS  %8.1f MB/s%s", s.Elapsed.Seconds(),
		float64(s.IOs-p.last.IOs)/over, float64(s.Bytes-p.last.Bytes)/over/1e6, phase)
	p.last = s
	p.show(line)
}
