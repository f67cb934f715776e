package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"nas-target/internal/load"
)

// progress shows how a run goes: a line that rewrites itself on a terminal, a
// line every few seconds elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration
	last     load.Sample
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, every: 5 * time.Second}
	if f, ok := w.(*os.File); ok && isTerminal(f) {
		p.terminal, p.every = true, 200*time.Millisecond
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

func (p *progress) show(s load.Sample) {
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
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
