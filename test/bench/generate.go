package main

import (
	"context"
	"fmt"
	"time"

	"nas-target/internal/initiator"
	"nas-target/internal/load"
	"nas-target/test/peers"
)

type generator func(ctx context.Context, t *peers.Target, r row, d time.Duration) (measured, error)

// generate drives a target with package load, which costs less CPU per I/O than
// any target here.
func generate(ctx context.Context, t *peers.Target, r row, d time.Duration) (measured, error) {
	w := load.Workload{
		Kind: load.Read, Random: r.Random, Block: r.Block, Depth: r.Depth, Sessions: r.Sessions, Duration: d,
		Seed: 1, // every target gets the same addresses
	}
	if r.Write {
		w.Kind = load.Write
	}
	o := load.Options{Target: login(t), LUN: uint16(t.LUN), Workload: w}
	if r.Digests {
		o.Target.HeaderDigest, o.Target.DataDigest = "CRC32C", "CRC32C"
	}
	if r.Block < 64*k && r.Sessions*r.Depth <= few {
		o.Poll = patient
	}
	res, err := load.Run(ctx, o)
	if err != nil {
		return measured{}, err
	}
	if res.Busy > 0 {
		return measured{}, fmt.Errorf("answered BUSY or TASK SET FULL %d times", res.Busy)
	}
	return measured{
		IOs: int64(res.IOs), Took: res.Elapsed,
		P50: micros(res.Latency.P50), P99: micros(res.Latency.P99),
	}, nil
}

// With few commands out the generator would mostly measure how long its own
// processor takes to wake up. So it looks for as long as the slowest target
// takes before it sleeps.
const (
	few     = 8
	patient = 200 * time.Microsecond
)

func login(t *peers.Target) initiator.Config {
	return initiator.Config{Addr: t.Addr, Target: t.IQN, Tolerant: true}
}

func micros(us float64) time.Duration { return time.Duration(us * float64(time.Microsecond)) }
