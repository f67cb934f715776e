package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Run logs in, generates the load and measures it. When ctx ends the run stops
// early and what was measured until then is returned with ctx's error. On another
// error the result holds what was counted before it.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	sessions, err := openAll(ctx, &o)
	if err != nil {
		return Result{}, err
	}
	return drive(ctx, &o, sessions)
}

func openAll(ctx context.Context, o *Options) ([]*session, error) {
	var unit unitInfo
	sessions := make([]*session, 0, o.Sessions)
	for i := range o.Sessions {
		s, err := open(ctx, o, i, &unit)
		if err != nil {
			for _, s := range sessions {
				unix.Close(s.fd)
			}
			return nil, fmt.Errorf("session %d: %w", i, err)
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

// drive shares the sessions out to workers and waits for them.
func drive(ctx context.Context, o *Options, sessions []*session) (Result, error) {
	var stop atomic.Bool
	release := watch(ctx, &stop)
	defer release()
	began := time.Now()
	total := o.Warmup + o.Duration
	workers, err := hire(o, sessions, began, total, &stop)
	if err != nil {
		return Result{}, err
	}
	payload := noise(o)
	for _, s := range sessions {
		s.shared = payload
		s.count = span{o.Warmup, total}
	}

	user, system := cpuTime()
	ticks := make(chan struct{})
	var progress sync.WaitGroup
	if o.Progress != nil {
		progress.Go(func() { report(o, workers, began, ticks) })
	}
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		wg.Go(func() {
			if errs[i] = w.run(); errs[i] != nil {
				stop.Store(true)
			}
		})
	}
	wg.Wait()
	close(ticks)
	progress.Wait()
	u, s := cpuTime()
	var finished time.Duration
	for _, w := range workers {
		w.close()
		finished = max(finished, w.finished)
	}

	r := collect(o.Workload, max(finished-o.Warmup, 0), sessions)
	r.Client = CPU{User: u - user, System: s - system}
	var ios uint64
	for _, s := range sessions {
		ios += s.stats.ios
	}
	if used := r.Client.User + r.Client.System; ios > 0 {
		r.Client.PerIO = micros(used) / float64(ios)
		r.Client.Cores = used.Seconds() / time.Since(began).Seconds()
	}
	return r, errors.Join(append(errs, ctx.Err())...)
}

func hire(o *Options, sessions []*session, began time.Time, end time.Duration, stop *atomic.Bool) ([]*worker, error) {
	workers := make([]*worker, o.Workers)
	for i := range workers {
		p, err := newPoller((len(sessions) + o.Workers - 1) / o.Workers)
		if err != nil {
			for _, w := range workers[:i] {
				w.poller.close()
			}
			for _, s := range sessions {
				unix.Close(s.fd)
			}
			return nil, err
		}
		workers[i] = &worker{poller: p, buf: make([]byte, readBuffer), began: began, end: end, poll: o.Poll, stop: stop}
	}
	for i, s := range sessions {
		w := workers[i%len(workers)]
		w.sessions = append(w.sessions, s)
	}
	return workers, nil
}

// noise is the payload of plain writes: it neither compresses nor deduplicates
// within itself.
func noise(o *Options) []byte {
	b := make([]byte, o.Block)
	r := rng(o.Seed)
	for i := range b {
		b[i] = byte(r.next())
	}
	return b
}

// report calls Progress until the run is over.
func report(o *Options, workers []*worker, began time.Time, over <-chan struct{}) {
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	var last Sample
	var lastLatency uint64
	lastAt := began
	for {
		var now time.Time
		select {
		case now = <-tick.C:
		case <-over:
			return
		}
		s := Sample{Elapsed: now.Sub(began)}
		s.Warmup = s.Elapsed < o.Warmup
		var latency uint64
		for _, w := range workers {
			s.IOs += w.ios.Load()
			s.Bytes += w.bytes.Load()
			latency += w.latency.Load()
		}
		if seconds := now.Sub(lastAt).Seconds(); seconds > 0 {
			s.IOPS = float64(s.IOs-last.IOs) / seconds
			s.MBps = float64(s.Bytes-last.Bytes) / seconds / 1e6
		}
		if n := s.IOs - last.IOs; n > 0 {
			s.Mean = float64(latency-lastLatency) / float64(n) / 1e3
		}
		last, lastLatency, lastAt = s, latency, now
		o.Progress(s)
	}
}
