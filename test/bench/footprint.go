package main

import (
	"context"
	"fmt"
	"time"

	"nas-target/internal/load"
	"nas-target/test/peers"
)

// Figures that goals look at.
const (
	rssIdle = "RSS after the start, MiB"
	rssBusy = "RSS with 128 busy sessions, MiB"
	cpuIdle = "CPU with 128 idle sessions, % of a core"
)

// settle is how long sessions have been idle before anything is counted.
const settle = 500 * time.Millisecond

var footprint = scene{
	title:   "Footprint",
	note:    "A fresh process each; then 128 sessions that do nothing; then 128 sessions with 4 random reads of 4 KiB each outstanding.",
	columns: []string{"", "RSS MiB idle", "CPU % of a core, 128 idle sessions", "RSS MiB, 128 busy sessions", "p50 µs", "p99 µs", "slowest session's share of the fastest's I/Os"},
	play: func(ctx context.Context, s *stage) ([][]string, error) {
		var lines [][]string
		for _, kind := range s.kinds {
			line, err := s.footprint(ctx, kind)
			if err != nil {
				line = []string{kind.Name, "failed: " + oneLine(err.Error())}
			}
			lines = append(lines, line)
		}
		return lines, nil
	},
}

func (s *stage) footprint(ctx context.Context, kind peers.Kind) ([]string, error) {
	disk, err := s.disks(s.dir, 1, 64)
	if err != nil {
		return nil, err
	}
	t, _, err := s.start(ctx, kind, peers.Disk{Path: disk[0]})
	if err != nil {
		return nil, err
	}
	defer t.Kill()
	time.Sleep(settle)
	fresh, err := peers.UsageOf(t.PID())
	if err != nil {
		return nil, err
	}
	leave, err := idlers(ctx, t, 128)
	if err != nil {
		return nil, err
	}
	time.Sleep(settle)
	before, err := peers.UsageOf(t.PID())
	if err != nil {
		return nil, err
	}
	const watched = 6 * time.Second // longer than the interval of pings
	time.Sleep(watched)
	after, err := peers.UsageOf(t.PID())
	if err != nil {
		return nil, err
	}
	idle := 100 * (after.CPU - before.CPU).Seconds() / watched.Seconds()
	leave()
	r, err := s.workload(t, t.LUN, load.Workload{Kind: load.Read, Random: true, Block: 4 * k, Sessions: 128, Depth: 4})(ctx)
	if err != nil {
		return nil, err
	}
	busy, err := peers.UsageOf(t.PID())
	if err != nil {
		return nil, err
	}
	if kind.Name == peers.NAS.Name {
		s.seen[rssIdle], s.seen[rssBusy], s.seen[cpuIdle] = mib(fresh.RSS), mib(busy.RSS), idle
	}
	share := 100 * float64(r.Fairness.Min) / float64(max(r.Fairness.Max, 1))
	return []string{kind.Name, f0(mib(fresh.RSS)), fmt.Sprintf("%.2f", idle), f0(mib(busy.RSS)),
		f0(r.Latency.P50), f0(r.Latency.P99), fmt.Sprintf("%.0f %%", share)}, nil
}
