package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"nas-target/internal/admin"
)

// waiting shows how far the daemon is with what takes long: a bar on a terminal,
// a line every few seconds elsewhere.
type waiting struct {
	liveLine
	ask   time.Duration // between two questions
	every time.Duration // between two lines
	shown time.Time
}

func newWaiting(w io.Writer) *waiting {
	x := &waiting{liveLine: newLiveLine(w), ask: 500 * time.Millisecond, every: 5 * time.Second}
	if x.terminal {
		x.every = 0
	}
	return x
}

// while runs do, and asks the daemon meanwhile.
func (x *waiting) while(ctx context.Context, work func(context.Context) ([]admin.Work, error), do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(x.ask)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if !x.shown.IsZero() {
				x.end()
			}
			return err
		case now := <-tick.C:
			if all, err := work(ctx); err == nil && len(all) > 0 && now.Sub(x.shown) >= x.every {
				x.work(all[0])
				x.shown = now
			}
		}
	}
}

func (x *waiting) work(w admin.Work) {
	part := float64(w.Done) / float64(max(1, w.Total))
	line := fmt.Sprintf("%3.0f%%  %s of %s for %s", 100*part, size(w.Done), size(w.Total), w.LUN)
	if x.terminal {
		const cells = 30
		full := int(part * cells)
		x.show(fmt.Sprintf("[%s%s] %s", strings.Repeat("=", full), strings.Repeat(" ", cells-full), line))
		return
	}
	x.show("preallocating " + line)
}

// workOf asks for what the daemon has under way.
func workOf(client *admin.Client) func(context.Context) ([]admin.Work, error) {
	return func(ctx context.Context) ([]admin.Work, error) {
		o, err := client.Overview(ctx)
		return o.Work, err
	}
}
