package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"nas-target/internal/initiator"
	"nas-target/internal/load"
	"nas-target/test/peers"
)

const mixedTail = "4k reads beside writes of 1 MiB and reservation commands: p99.9 / p50"

var mixed = scene{
	title: "Mixed load",
	note: "Files in memory: random reads of 4 KiB, four outstanding, of one session, while others stream and fence. " +
		"The bare protocol beside a stream of its own shows how much of the tail is the machine's. GC pauses and goroutines " +
		"are nas-target's in the whole scene.",
	columns: []string{"", "IOPS", "p50 µs", "p99 µs", "p99.9 µs", "max µs"},
	play:    func(ctx context.Context, s *stage) ([][]string, error) { return s.mixedPlay(ctx) },
}

func (s *stage) mixedPlay(ctx context.Context) ([][]string, error) {
	disks, err := s.disks(s.dir, 2, 128)
	if err != nil {
		return nil, err
	}
	t, dir, err := s.start(ctx, peers.NAS, peers.Disk{Path: disks[0], Beside: disks[1:]})
	if err != nil {
		return nil, err
	}
	reads := s.workload(t, 1, load.Workload{Kind: load.Read, Random: true, Block: 4 * k, Sessions: 1, Depth: 4})
	stream := load.Workload{Kind: load.Write, Block: m, Sessions: 1, Depth: 2}
	beside := func(others ...func(context.Context) error) func(context.Context) (load.Result, error) {
		return func(ctx context.Context) (load.Result, error) { return besideOthers(ctx, reads, others) }
	}
	writes := func(ctx context.Context) error {
		w := s.workload(t, 2, stream)
		for ctx.Err() == nil {
			if _, err := w(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	}
	fences := func(ctx context.Context) error { return fenceAlways(ctx, t) }
	names := []string{"alone", "beside writes of 1 MiB", "beside writes of 1 MiB and reservation commands"}
	results, err := s.compare(ctx, []func(context.Context) (load.Result, error){reads, beside(writes), beside(writes, fences)})
	if err != nil {
		return nil, err
	}
	var lines [][]string
	for i, r := range results {
		l := r.Latency
		lines = append(lines, []string{names[i], f0(r.IOPS), f0(l.P50), f0(l.P99), f0(l.P999), f0(l.Max)})
	}
	s.seen[mixedTail] = results[2].Latency.P999 / results[2].Latency.P50
	bare, err := s.mixedBare(ctx)
	if err != nil {
		return lines, err
	}
	lines = append(lines, bare...)
	figures, err := metricsOf(ctx, filepath.Join(dir, "data", "admin.sock"))
	if err != nil {
		return lines, err
	}
	lines = append(lines, []string{fmt.Sprintf("GC: %s runs, longest pause %s s; goroutines: %s",
		figures["go_gc_duration_seconds_count"], figures[`go_gc_duration_seconds{quantile="1"}`], figures["go_goroutines"])})
	return lines, nil
}

// mixedBare is the same without iSCSI and without storage: what is left of the
// tail then belongs to the machine, whose processors all of this shares.
func (s *stage) mixedBare(ctx context.Context) ([][]string, error) {
	b := &bare{}
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	defer b.stop()
	reads, writes := row{4 * k, false, true, 1, 4, false}, row{m, true, false, 1, 2, false}
	var lines [][]string
	for _, stream := range []bool{false, true} {
		name, streamed := "bare, alone", make(chan error, 1)
		if stream {
			name = "bare, beside requests of 1 MiB"
			go func() {
				_, err := b.load(ctx, writes, s.time+2*settle)
				streamed <- err
			}()
			time.Sleep(settle)
		} else {
			streamed <- nil
		}
		r, err := b.load(ctx, reads, s.time)
		if other := <-streamed; err == nil {
			err = other
		}
		if err != nil {
			return lines, err
		}
		lines = append(lines, []string{name, f0(float64(r.IOs) / r.Took.Seconds()), f0(us(r.P50)), f0(us(r.P99)), f0(us(r.P999)), f0(us(r.Max))})
	}
	return lines, nil
}

// besideOthers runs reads while the others go on.
func besideOthers(ctx context.Context, reads func(context.Context) (load.Result, error), others []func(context.Context) error) (load.Result, error) {
	during, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(others))
	var wg sync.WaitGroup
	for i, o := range others {
		wg.Go(func() { errs[i] = o(during) })
	}
	time.Sleep(settle) // until all of them are under way
	r, err := reads(ctx)
	stop()
	wg.Wait()
	for _, e := range errs {
		if err == nil {
			err = e
		}
	}
	return r, err
}

// fenceAlways registers, reserves and clears on the LUN that is read.
func fenceAlways(ctx context.Context, t *peers.Target) error {
	s, err := initiator.Dial(ctx, login(t))
	if err != nil {
		return err
	}
	defer s.Close()
	u := s.Unit(1)
	if _, err := u.DrainUA(ctx); err != nil {
		return err
	}
	const key = 0x6e6173
	through := context.WithoutCancel(ctx) // nothing of a round is left behind for the next one
	for ctx.Err() == nil {
		for _, f := range []func() error{
			func() error { return u.Register(through, 0, key) },
			func() error { return u.Reserve(through, key, initiator.WriteExclusive) },
			func() error { return u.Clear(through, key) },
		} {
			if err := f(); err != nil {
				return err
			}
		}
	}
	return nil
}

// metricsOf reads what the daemon behind an admin socket exposes.
func metricsOf(ctx context.Context, sock string) (map[string]string, error) {
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", sock)
	}}}
	defer c.CloseIdleConnections()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nas-target/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	all := map[string]string{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
			all[name] = value
		}
	}
	return all, nil
}
