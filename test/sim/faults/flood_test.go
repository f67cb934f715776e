package faults

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
	"nas-target/test/sim"
)

// withCHAP makes the target ask for the secret of alice.
func withCHAP(_ *iscsi.Options, n *iscsi.Node) {
	n.Authorize = func(iscsi.InitiatorInfo) (*iscsi.Auth, *iscsi.LoginError) {
		return &iscsi.Auth{Secret: func(user string) (iscsi.Secret, bool) { return "a secret of alice", user == "alice" }}, nil
	}
}

// TestLoginFlood: wrong secrets, 200 a second, from one address and from 64.
// Each address is turned away after its failures, and who has the secret gets
// in at once. F5.
func TestLoginFlood(t *testing.T) {
	flood := time.Duration(sim.Size(t, "FLOOD_SECONDS", 1)) * time.Second
	for name, sources := range map[string]int{"one address": 1, "64 addresses": 64} {
		t.Run(name, func(t *testing.T) {
			var guesses atomic.Int64
			bed := onWire(t, func(o *iscsi.Options, n *iscsi.Node) {
				withCHAP(o, n)
				auth, _ := n.Authorize(iscsi.InitiatorInfo{})
				secret := auth.Secret
				auth.Secret = func(user string) (iscsi.Secret, bool) {
					if user == "mallory" {
						guesses.Add(1)
					}
					return secret(user)
				}
				n.Authorize = func(iscsi.InitiatorInfo) (*iscsi.Auth, *iscsi.LoginError) { return auth, nil }
			})
			ctx, cancel := soon()
			defer cancel()
			over, end := context.WithTimeout(ctx, flood)
			defer end()
			var wg sync.WaitGroup
			var tried, in atomic.Int64
			wg.Go(func() {
				tick := time.NewTicker(time.Second / 200)
				defer tick.Stop()
				for n := 0; over.Err() == nil; n++ {
					<-tick.C
					wg.Go(func() {
						tried.Add(1)
						s, err := initiator.Dial(ctx, config(bed, "mallory", from(neighbour(n%sources)), func(c *initiator.Config) {
							c.CHAP = &initiator.CHAP{User: "mallory", Secret: "is this the secret?"}
						}))
						if err == nil {
							in.Add(1)
							s.Close()
						}
					})
				}
			})
			var logins times
			for over.Err() == nil {
				logins = append(logins, clock(1, func() {
					s, err := initiator.Dial(ctx, config(bed, "host", func(c *initiator.Config) {
						c.CHAP = &initiator.CHAP{User: "alice", Secret: "a secret of alice"}
					}))
					require.NoError(t, err)
					require.NoError(t, s.Logout(ctx))
				})...)
			}
			wg.Wait()
			t.Logf("%d logins with wrong secrets, %d of them got so far as to guess; the right ones: %d, p99 %v",
				tried.Load(), guesses.Load(), len(logins), logins.p99())
			require.Zero(t, in.Load())
			// Ten failures a minute, and what was under way when they were had.
			require.LessOrEqual(t, guesses.Load(), int64(sources*(10+16)))
			require.Less(t, logins.p99(), sim.Limit(time.Second))
		})
	}
}

// TestConnectionFlood: connections that say nothing, as many as there are
// descriptors for. They cost little, and neither the sessions there are nor new
// ones suffer. F6.
func TestConnectionFlood(t *testing.T) {
	conns := sim.Size(t, "FLOOD_CONNECTIONS", 1500)
	bed := onWire(t, nil)
	_, u := login(t, config(bed, "host"))
	ctx, cancel := soon()
	defer cancel()
	read := func() {
		_, err := u.Read(ctx, 0, 8)
		require.NoError(t, err)
	}
	alone := clock(500, read).p99()
	before := heap()
	var all []net.Conn
	defer func() {
		for _, nc := range all {
			nc.Close()
		}
	}()
	for range conns {
		nc, err := dialFrom(ctx, neighbour(0), bed.Portal(0))
		require.NoError(t, err)
		all = append(all, nc)
	}
	beside := clock(500, read).p99()
	logins := clock(20, func() {
		s, err := initiator.Dial(ctx, config(bed, "new"))
		require.NoError(t, err)
		require.NoError(t, s.Logout(ctx))
	})
	cost := heap() - before
	t.Logf("%d connections cost %d KiB, their own side included; p99 of a read %v, before %v; of a login %v",
		conns, cost>>10, beside, alone, logins.p99())
	require.Less(t, cost, int64(32<<20))
	require.Less(t, beside, sim.Limit(max(alone*3/2, 2*time.Millisecond)))
	require.Less(t, logins.p99(), sim.Limit(time.Second))
}

// TestEverybodyAtOnce: a rack behind one address comes back after an outage;
// nobody has to try twice.
func TestEverybodyAtOnce(t *testing.T) {
	const hosts = 64
	bed := onWire(t, withCHAP)
	ctx, cancel := soon()
	defer cancel()
	var wg sync.WaitGroup
	gate := make(chan struct{})
	var failed atomic.Int64
	for n := range hosts {
		wg.Go(func() {
			<-gate
			s, err := initiator.Dial(ctx, config(bed, "host", func(c *initiator.Config) {
				c.ISID = sim.ISID(byte(n))
				c.CHAP = &initiator.CHAP{User: "alice", Secret: "a secret of alice"}
			}))
			if err != nil {
				t.Log(err)
				failed.Add(1)
				return
			}
			s.Close()
		})
	}
	close(gate)
	wg.Wait()
	require.Zero(t, failed.Load())
}
