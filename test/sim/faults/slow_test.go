package faults

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
	"nas-target/test/sim"
)

// pingTime is the interval and the timeout of pings where a test waits for them.
const pingTime = time.Second

func quickPings(o *iscsi.Options, _ *iscsi.Node) { o.PingInterval, o.PingTimeout = pingTime, pingTime }

// TestSlowReader: a host asks for much and does not read it. It costs what a
// session may cost, others do not notice, and it is cut. F3.
func TestSlowReader(t *testing.T) {
	const reads, each = 64, 1 << 20
	bed := onWire(t, func(o *iscsi.Options, n *iscsi.Node) {
		o.WriteStall = 2 * time.Second
		o.SessionBytes = 8 << 20
	})
	_, u := login(t, config(bed, "other"))
	ctx, cancel := soon()
	defer cancel()
	read := func() {
		_, err := u.Read(ctx, 0, 8)
		require.NoError(t, err)
	}
	alone := clock(200, read).p99()
	slow, su := login(t, config(bed, "slow"))
	before := heap()
	slow.Conns()[0].Pause()
	for range reads {
		_, err := su.Start(ctx, initiator.Read10(0, each/sim.BlockSize, sim.BlockSize, 0))
		require.NoError(t, err)
	}
	beside := clock(200, read).p99()
	cost := heap() - before
	require.Eventually(t, func() bool { return len(bed.Server().Sessions()) == 1 }, time.Minute, time.Millisecond, "it is cut")
	slow.Conns()[0].Resume()
	t.Logf("p99 of a read beside it: %v, without it %v; it cost %d KiB", beside, alone, cost>>10)
	require.Less(t, beside, sim.Limit(max(2*alone, 5*time.Millisecond)))
	// The bed is one process: the answers are given a place on our side, too.
	require.Less(t, cost, int64(reads*each+16<<20))
}

// TestSlowLogins: peers that send a login one byte after the other, from many
// addresses, keep nobody out. F4.
func TestSlowLogins(t *testing.T) {
	const sources, each = 12, 16
	bed := onWire(t, nil)
	ctx, cancel := soon()
	defer cancel()
	var drip sync.WaitGroup
	stop := make(chan struct{})
	for n := range sources * each {
		nc, err := dialFrom(ctx, neighbour(n/each), bed.Portal(0))
		require.NoError(t, err)
		drip.Go(func() {
			defer nc.Close()
			for _, b := range make([]byte, 48) {
				if _, err := nc.Write([]byte{0x43 + b}); err != nil {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
				}
			}
		})
	}
	logins := clock(100, func() {
		s, err := initiator.Dial(ctx, config(bed, "host"))
		require.NoError(t, err)
		require.NoError(t, s.Logout(ctx))
	})
	t.Logf("login beside %d slow ones: p99 %v", sources*each, logins.p99())
	require.Less(t, logins.p99(), sim.Limit(time.Second))
	close(stop)
	drip.Wait()
}

// TestSilentLogin: who connects and says nothing is gone after the time for a
// header, who says half a header as well. F4.
func TestSilentLogin(t *testing.T) {
	bed := onWire(t, func(o *iscsi.Options, _ *iscsi.Node) { o.HeaderTimeout = time.Second })
	ctx, cancel := soon()
	defer cancel()
	for _, said := range [][]byte{nil, make([]byte, 20)} {
		nc, err := dialFrom(ctx, neighbour(0), bed.Portal(0))
		require.NoError(t, err)
		_, err = nc.Write(said)
		require.NoError(t, err)
		begin := time.Now()
		_, err = io.ReadAll(nc)
		_ = err // closed or reset, both will do
		require.Less(t, time.Since(begin), sim.Limit(2*time.Second))
		nc.Close()
	}
}
