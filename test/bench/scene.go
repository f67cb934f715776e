package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nas-target/internal/initiator"
	"nas-target/internal/load"
	"nas-target/test/peers"
)

// A scene is a measurement that one workload on one disk does not show. It
// starts the targets it needs itself.
type scene struct {
	title, note string
	columns     []string
	play        func(context.Context, *stage) ([][]string, error)
}

var scenes = []scene{others, footprint, durable, wide, mixed}

// sceneSpace is what the scenes' disks take in memory, in MiB.
const sceneSpace = 1024

// stage is where scenes play.
type stage struct {
	dir      string // for disks in memory, and for targets
	time     time.Duration
	rounds   int
	kinds    []peers.Kind
	progress io.Writer
	seen     map[string]float64 // figures that goals look at
	started  int
	running  []*peers.Target
}

// play runs a scene; what goes wrong stands in its table.
func (s *stage) play(ctx context.Context, c scene) table {
	t := table{Title: c.title, Note: c.note, Columns: c.columns}
	if ctx.Err() != nil {
		return t
	}
	began := time.Now()
	lines, err := c.play(ctx, s)
	for _, r := range s.running {
		r.Kill()
	}
	s.running = nil
	if t.Lines = lines; err != nil {
		t.Lines = append(t.Lines, []string{"failed: " + oneLine(err.Error())})
	}
	fmt.Fprintf(s.progress, "scene %-40s %v\n", c.title, time.Since(began).Round(time.Second))
	return t
}

// start runs a target with a disk of its own, in dir; it ends with the scene.
func (s *stage) start(ctx context.Context, kind peers.Kind, d peers.Disk) (*peers.Target, string, error) {
	s.started++
	dir := filepath.Join(s.dir, fmt.Sprintf("scene%d-%s", s.started, kind.Name))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	t, err := kind.Start(ctx, dir, d)
	if err == nil {
		s.running = append(s.running, t)
	}
	return t, dir, err
}

// disks makes n files of so many MiB in dir.
func (s *stage) disks(dir string, n int, size int64) ([]string, error) {
	s.started++
	var all []string
	for i := range n {
		path, err := makeDisk(dir, fmt.Sprintf("scene%d-%d", s.started, i), size<<20)
		if err != nil {
			return nil, err
		}
		all = append(all, path)
	}
	return all, nil
}

// idlers logs n sessions in that then do nothing; leave ends them.
func idlers(ctx context.Context, t *peers.Target, n int) (leave func(), err error) {
	var all []*initiator.Session
	leave = func() {
		for _, s := range all {
			s.Close()
		}
	}
	for range n {
		s, err := initiator.Dial(ctx, login(t))
		if err != nil {
			leave()
			return nil, err
		}
		all = append(all, s)
	}
	return leave, nil
}

// compare runs each workload rounds times, interleaved, and returns the run
// with the median IOPS of each.
func (s *stage) compare(ctx context.Context, runs []func(context.Context) (load.Result, error)) ([]load.Result, error) {
	all := make([][]load.Result, len(runs))
	for range s.rounds {
		for i, run := range runs {
			r, err := run(ctx)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], r)
		}
	}
	var out []load.Result
	for _, of := range all {
		slices.SortFunc(of, func(a, b load.Result) int { return int(a.IOPS - b.IOPS) })
		out = append(out, of[len(of)/2])
	}
	return out, nil
}

// workload is a run against one LUN of t.
func (s *stage) workload(t *peers.Target, lun int, w load.Workload) func(context.Context) (load.Result, error) {
	w.Duration, w.Warmup, w.Seed = s.time, 100*time.Millisecond, 1
	return func(ctx context.Context) (load.Result, error) {
		return load.Run(ctx, load.Options{Target: login(t), LUN: uint16(lun), Workload: w})
	}
}

func f0(x float64) string { return fmt.Sprintf("%.0f", x) }

func mib(n int64) float64 { return float64(n) / (1 << 20) }
