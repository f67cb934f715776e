package main

import (
	"context"
	"fmt"
	"sync"

	"nas-target/internal/initiator"
	"nas-target/internal/load"
	"nas-target/test/peers"
)

const reserved = "reads while another nexus holds every LUN, % of those without reservations"

// luns is how many there are in this scene, idle how many sessions do nothing.
const (
	luns = 16
	idle = 1020
)

var wide = scene{
	title: "Many LUNs, sessions and reservations",
	note: "nas-target alone, files in memory, random reads of 4 KiB. A reservation is Write Exclusive, held on every LUN by " +
		"a nexus that does no I/O.",
	columns: []string{"", "IOPS", "p50 µs", "p99 µs"},
	play:    func(ctx context.Context, s *stage) ([][]string, error) { return s.widePlay(ctx) },
}

func (s *stage) widePlay(ctx context.Context) ([][]string, error) {
	disks, err := s.disks(s.dir, luns, 16)
	if err != nil {
		return nil, err
	}
	t, _, err := s.start(ctx, peers.NAS, peers.Disk{Path: disks[0], Beside: disks[1:]})
	if err != nil {
		return nil, err
	}
	four := load.Workload{Kind: load.Read, Random: true, Block: 4 * k, Sessions: 4, Depth: 32}
	each := load.Workload{Kind: load.Read, Random: true, Block: 4 * k, Sessions: 1, Depth: 8}
	same := each
	same.Sessions = luns
	one := s.workload(t, 1, four)
	all := func(ctx context.Context) (load.Result, error) { return s.everyLUN(ctx, t, each) }
	held := func(ctx context.Context) (r load.Result, err error) {
		err = s.reserveAll(ctx, t, func() { r, err = one(ctx) })
		return r, err
	}
	crowd := func(ctx context.Context) (load.Result, error) {
		leave, err := idlers(ctx, t, idle)
		if err != nil {
			return load.Result{}, err
		}
		defer leave()
		return one(ctx)
	}
	names := []string{"4x32 on one LUN", "4x32, every LUN reserved by another nexus", fmt.Sprintf("4x32 beside %d idle sessions", idle),
		fmt.Sprintf("%dx8 on one LUN", luns), fmt.Sprintf("1x8 on each of %d LUNs", luns)}
	results, err := s.compare(ctx, []func(context.Context) (load.Result, error){one, held, crowd, s.workload(t, 1, same), all})
	if err != nil {
		return nil, err
	}
	var lines [][]string
	for i, r := range results {
		lines = append(lines, []string{names[i], f0(r.IOPS), f0(r.Latency.P50), f0(r.Latency.P99)})
	}
	s.seen[reserved] = 100 * results[1].IOPS / results[0].IOPS
	return lines, nil
}

// everyLUN runs w on all LUNs at once. Latencies are those of the slowest.
func (s *stage) everyLUN(ctx context.Context, t *peers.Target, w load.Workload) (sum load.Result, first error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for lun := 1; lun <= luns; lun++ {
		wg.Go(func() {
			r, err := s.workload(t, lun, w)(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && first == nil {
				first = err
			}
			sum.IOPS += r.IOPS
			sum.IOs += r.IOs
			sum.Latency.P50 = max(sum.Latency.P50, r.Latency.P50)
			sum.Latency.P99 = max(sum.Latency.P99, r.Latency.P99)
		})
	}
	wg.Wait()
	return sum, first
}

// reserveAll calls f while a nexus holds Write Exclusive on every LUN.
func (s *stage) reserveAll(ctx context.Context, t *peers.Target, f func()) error {
	holder, err := initiator.Dial(ctx, login(t))
	if err != nil {
		return err
	}
	defer holder.Close()
	const key = 0x6e6173
	for lun := range uint16(luns) {
		u := holder.Unit(lun + 1)
		if _, err := u.DrainUA(ctx); err != nil {
			return err
		}
		if err := u.Register(ctx, 0, key); err != nil {
			return err
		}
		if err := u.Reserve(ctx, key, initiator.WriteExclusive); err != nil {
			return err
		}
	}
	f()
	for lun := range uint16(luns) {
		if err := holder.Unit(lun+1).Clear(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
