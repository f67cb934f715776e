package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nas-target/internal/initiator"
	"nas-target/test/peers"
)

type generator func(ctx context.Context, t *peers.Target, r row, d time.Duration) (load, error)

// generate drives a target with our own initiator.
func generate(ctx context.Context, t *peers.Target, r row, d time.Duration) (load, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		times []time.Duration
		first error
		start = make(chan struct{})
		end   atomic.Int64
	)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
			cancel()
		}
	}
	for i := range r.Sessions {
		s, err := initiator.Dial(ctx, initiator.Config{
			Addr: t.Addr, Target: t.IQN, Tolerant: true,
			InitiatorName: fmt.Sprintf("iqn.2026-11.test.bench:%d", i),
		})
		if err != nil {
			return load{}, err
		}
		defer s.Close()
		u := s.Unit(uint16(t.LUN))
		if _, err := u.DrainUA(ctx); err != nil {
			return load{}, err
		}
		blocks, err := u.LoadCapacity(ctx)
		if err != nil {
			return load{}, err
		}
		per := uint64(r.Block / u.BlockSize)
		slots := blocks / per
		var next atomic.Uint64
		next.Store(slots / uint64(r.Sessions) * uint64(i))
		for range r.Depth {
			wg.Go(func() {
				data := make([]byte, r.Block)
				var mine []time.Duration
				<-start
				for ctx.Err() == nil && time.Now().UnixNano() < end.Load() {
					slot := next.Add(1) % slots
					if r.Random {
						slot = rand.Uint64N(slots)
					}
					begin := time.Now()
					var err error
					if r.Write {
						err = u.Write(ctx, slot*per, data)
					} else {
						_, err = u.Read(ctx, slot*per, uint32(per))
					}
					if err != nil {
						fail(err)
						return
					}
					mine = append(mine, time.Since(begin))
				}
				mu.Lock()
				times = append(times, mine...)
				mu.Unlock()
			})
		}
	}
	begin := time.Now()
	end.Store(begin.Add(d).UnixNano())
	close(start)
	wg.Wait()
	took := time.Since(begin)
	if first != nil {
		return load{}, first
	}
	slices.Sort(times)
	n := len(times)
	if n == 0 {
		return load{}, nil
	}
	return load{IOs: int64(n), Took: took, P50: times[n/2], P99: times[n*99/100]}, nil
}
