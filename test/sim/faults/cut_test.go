package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// TestCutsAtPDUBoundaries: a connection breaks at a PDU boundary of a write, or
// one byte before or behind it. Unless all of the write was sent none of it is
// applied; otherwise all or none. The same nexus is back at once. F1.
func TestCutsAtPDUBoundaries(t *testing.T) {
	const blocks = 64
	cuts := sim.Size(t, "FAULT_CUTS", 120)
	r := sim.Rand(sim.Seed(t), 0)
	bed := onWire(t, nil)
	// One write as it goes over the wire: the command with what may come
	// unasked, and the answer to each R2T.
	pieces := func(unasked, burst int) (at []int64) {
		n := int64(48 + unasked)
		at = append(at, 48, n)
		for left := blocks*sim.BlockSize - unasked; left > 0; left -= burst {
			at = append(at, n+48, n+48+int64(min(left, burst)))
			n += 48 + int64(min(left, burst))
		}
		return at
	}
	var logins times
	applied := 0
	for n := range cuts {
		begin := time.Now()
		s, u := briefly(t, config(bed, "cut", func(c *initiator.Config) {
			c.Keys = initiator.Keys{{Name: "MaxBurstLength", Value: "16384"}, {Name: "FirstBurstLength", Value: "8192"}}
		}))
		if n > 0 {
			logins = append(logins, time.Since(begin))
		}
		before := bed.Content(0, blocks)
		data := sim.Stamp{Host: 1, Epoch: uint32(n + 1)}.Blocks(blocks)
		c := initiator.Write10(0, data, sim.BlockSize, 0)
		unasked := 8192
		if r.IntN(2) == 0 {
			c.NoUnsolicited, unasked = true, 0
		}
		all := pieces(unasked, 16384)
		total := all[len(all)-1]
		at := max(1, min(total, all[r.IntN(len(all))]+int64(r.IntN(3)-1)))
		s.Conns()[0].NetConn().CutAfter(at)
		ctx, cancel := soon()
		answered := false
		if task, err := u.Start(ctx, c); err == nil {
			// The answer may be faster than the cut behind the last byte.
			_, err = task.Wait(ctx)
			answered = err == nil
		}
		s.Close()
		// Who is in after it finds it decided.
		s, u = briefly(t, config(bed, "cut"))
		after, err := u.Read(ctx, 0, blocks)
		require.NoError(t, err)
		switch string(after) {
		case string(before):
			require.False(t, answered, "an answer to what was not done")
		case string(data):
			require.Equal(t, total, at, "applied although %d of %d bytes were sent", at, total)
			applied++
		default:
			t.Fatalf("a write that was cut at %d of %d bytes is there in part", at, total)
		}
		require.Equal(t, string(after), string(bed.Content(0, blocks)))
		s.Close()
		cancel()
	}
	require.Less(t, logins.p99(), sim.Limit(time.Second), "the nexus comes back at once")
	t.Logf("%d writes were applied, login after a cut: p99 %v", applied, logins.p99())
	sim.Bound(t, "cuts", cuts)
}

// TestHalfOpenPeer: a host is gone and its connection does not say so. It is
// found out, and until then it locks nobody out: neither itself, with the same
// ISID, nor those who take its reservation. F2.
func TestHalfOpenPeer(t *testing.T) {
	const key, other = 0xa1, 0xb2
	for _, then := range []string{"found out", "logs in again", "is preempted"} {
		t.Run(then, func(t *testing.T) {
			bed := onWire(t, quickPings)
			dead, u := login(t, config(bed, "dead", func(c *initiator.Config) { c.IgnoreNOPIn = then == "found out" }))
			ctx, cancel := soon()
			defer cancel()
			do := func(u *initiator.Unit, c initiator.Cmd) {
				t.Helper()
				a, err := u.Run(ctx, c)
				require.NoError(t, err)
				require.Equal(t, initiator.Good, a.Status)
			}
			do(u, sim.Join(key))
			do(u, sim.PR(initiator.PRReserve, initiator.WriteExclusiveRegistrantsOnly, key, 0))
			c := initiator.Write10(8, make([]byte, 8*sim.BlockSize), sim.BlockSize, 0)
			c.HoldData, c.NoUnsolicited = true, true
			held, err := u.Start(ctx, c)
			require.NoError(t, err)
			_, err = held.AwaitR2T(ctx)
			require.NoError(t, err)
			begin := time.Now()
			switch then {
			case "found out":
				<-dead.Conns()[0].Done()
				require.Less(t, time.Since(begin), sim.Limit(2*pingTime+time.Second))
				require.Eventually(t, func() bool { return len(bed.Server().Sessions()) == 0 }, time.Minute, time.Millisecond)
			case "logs in again":
				_, again := login(t, config(bed, "dead"))
				require.Less(t, time.Since(begin), sim.Limit(time.Second))
				do(again, initiator.Write10(8, sim.Stamp{Host: 1, LBA: 8}.Blocks(8), sim.BlockSize, 0))
			case "is preempted":
				_, next := login(t, config(bed, "next"))
				do(next, sim.Join(other))
				do(next, sim.PR(initiator.PRPreemptAndAbort, initiator.WriteExclusiveRegistrantsOnly, other, key))
				require.Less(t, time.Since(begin), sim.Limit(time.Second))
				do(next, initiator.Write10(8, sim.Stamp{Host: 2, LBA: 8}.Blocks(8), sim.BlockSize, 0))
			}
			content := bed.Content(8, 8)
			held.Release() // too late, whatever happened
			if then != "found out" {
				_, watch := login(t, config(bed, "watch"))
				got, err := watch.Read(ctx, 8, 8)
				require.NoError(t, err)
				require.Equal(t, content, got)
			}
			dead.Reset()
		})
	}
}
