package main

import (
	"context"
	"fmt"
	"os"

	"nas-target/internal/load"
	"nas-target/test/peers"
)

const groupCommit = "durable writes, 4x32 against 1x1, IOPS"

var durable = scene{
	title: "On the disk",
	note: "A file in the temporary directory instead of one in memory. A durable write is answered once it is on stable " +
		"storage; writers that wait at the same time share a flush.",
	columns: []string{"", "IOPS", "p50 µs", "p99 µs", "target CPU µs/IO"},
	play:    func(ctx context.Context, s *stage) ([][]string, error) { return s.durablePlay(ctx) },
}

func (s *stage) durablePlay(ctx context.Context) ([][]string, error) {
	dir, err := os.MkdirTemp("", "nas-target-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	disks, err := s.disks(dir, 4, 128)
	if err != nil {
		return nil, err
	}
	ways := []struct {
		name string
		kind peers.Kind
		disk peers.Disk
		fua  bool
		read bool
	}{
		{"nas-target, FUA", peers.NAS, peers.Disk{Path: disks[0]}, true, false},
		{"tgt, FUA", peers.TGT, peers.Disk{Path: disks[1]}, true, false},
		{"nas-target, write-through", peers.NAS, peers.Disk{Path: disks[2], NoWriteCache: true}, false, false},
		{"nas-target, O_DIRECT", peers.NAS, peers.Disk{Path: disks[3], Direct: true}, false, true},
	}
	var lines [][]string
	for _, w := range ways {
		t, _, err := s.start(ctx, w.kind, w.disk)
		if err != nil {
			return lines, err
		}
		first := 0.0
		for _, shape := range [][2]int{{1, 1}, {1, 32}, {4, 32}} {
			kinds := []load.Kind{load.Write}
			if w.read {
				kinds = append(kinds, load.Read)
			}
			for _, kind := range kinds {
				before, err := peers.UsageOf(t.PID())
				if err != nil {
					return lines, err
				}
				r, err := s.workload(t, t.LUN, load.Workload{Kind: kind, Random: true, Block: 4 * k, Sessions: shape[0], Depth: shape[1], FUA: w.fua})(ctx)
				if err != nil {
					return lines, err
				}
				after, err := peers.UsageOf(t.PID())
				if err != nil {
					return lines, err
				}
				if first == 0 {
					first = r.IOPS
				}
				if w.fua && w.kind.Name == peers.NAS.Name && shape[0] == 4 {
					s.seen[groupCommit] = r.IOPS / first
				}
				fmt.Fprintf(s.progress, "%s %v %v: %.0f IOPS\n", w.name, kind, shape, r.IOPS)
				lines = append(lines, []string{fmt.Sprintf("%s, 4k random %s %dx%d", w.name, kind, shape[0], shape[1]),
					f0(r.IOPS), f0(r.Latency.P50), f0(r.Latency.P99), fmt.Sprintf("%.1f", us(after.CPU-before.CPU)/float64(max(r.IOs, 1)))})
			}
		}
		t.Kill()
	}
	return lines, nil
}
