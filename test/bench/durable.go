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
	columns: []string{"", "IOPS", "p50 µs", "p99 µs", "target CPU µs/IO", "IOPS against tgt's FUA"},
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
	ways := []way{
		{name: "nas-target, FUA", kind: peers.NAS, disk: peers.Disk{Path: disks[0]}, fua: true},
		{name: "tgt, FUA", kind: peers.TGT, disk: peers.Disk{Path: disks[1]}, fua: true},
		{name: "nas-target, write-through", kind: peers.NAS, disk: peers.Disk{Path: disks[2], NoWriteCache: true}},
		{name: "nas-target, O_DIRECT", kind: peers.NAS, disk: peers.Disk{Path: disks[3], Direct: true}, read: true},
	}
	for i := range ways {
		w := &ways[i]
		if w.t, _, err = s.start(ctx, w.kind, w.disk); err != nil {
			return nil, err
		}
	}
	var lines [][]string
	alone := 0.0
	for _, shape := range [][2]int{{1, 1}, {1, 32}, {4, 32}} {
		results, err := s.durableRounds(ctx, ways, shape)
		if err != nil {
			return lines, err
		}
		ours, theirs := results[0].iops, results[1].iops
		if alone == 0 {
			alone = ours
		}
		s.seen[groupCommit] = ours / alone // the last shape's stays
		for _, r := range results {
			against := "-"
			if r.durable {
				against = fmt.Sprintf("%.2f", r.iops/theirs)
			}
			lines = append(lines, []string{r.name, f0(r.iops), f0(r.p50), f0(r.p99), fmt.Sprintf("%.1f", r.cpu), against})
		}
	}
	return lines, nil
}

// way is a target on a disk, and what is asked of it.
type way struct {
	name string
	kind peers.Kind
	disk peers.Disk
	fua  bool
	read bool // also
	t    *peers.Target
}

// written is the median of one way and shape.
type written struct {
	name                string
	durable             bool
	iops, p50, p99, cpu float64
}

// durableRounds measures all ways in turns: what a disk does changes from
// second to second.
func (s *stage) durableRounds(ctx context.Context, ways []way, shape [2]int) ([]written, error) {
	type figures struct{ iops, p50, p99, cpu []float64 }
	all := map[string]*figures{}
	var out []written
	for round := range s.rounds {
		for _, w := range ways {
			kinds := []load.Kind{load.Write}
			if w.read {
				kinds = append(kinds, load.Read)
			}
			for _, kind := range kinds {
				name := fmt.Sprintf("%s, 4k random %s %dx%d", w.name, kind, shape[0], shape[1])
				if round == 0 {
					all[name] = &figures{}
					out = append(out, written{name: name, durable: !w.read})
				}
				before, err := peers.UsageOf(w.t.PID())
				if err != nil {
					return nil, err
				}
				r, err := s.workload(w.t, w.t.LUN, load.Workload{Kind: kind, Random: true, Block: 4 * k, Sessions: shape[0], Depth: shape[1], FUA: w.fua})(ctx)
				if err != nil {
					return nil, err
				}
				after, err := peers.UsageOf(w.t.PID())
				if err != nil {
					return nil, err
				}
				fmt.Fprintf(s.progress, "%s: %.0f IOPS\n", name, r.IOPS)
				f := all[name]
				f.iops, f.p50, f.p99 = append(f.iops, r.IOPS), append(f.p50, r.Latency.P50), append(f.p99, r.Latency.P99)
				f.cpu = append(f.cpu, us(after.CPU-before.CPU)/float64(max(r.IOs, 1)))
			}
		}
	}
	for i := range out {
		f, o := all[out[i].name], &out[i]
		o.iops, o.p50, o.p99, o.cpu = median(f.iops), median(f.p50), median(f.p99), median(f.cpu)
	}
	return out, nil
}
