package kill

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
	"nas-target/test/sim/linear"
	"nas-target/test/sim/rules"
)

// TestAcknowledgedReservationsSurviveKill: several initiators load the daemon
// with reservation commands, reads and writes; it is killed and started again;
// they go on. What they saw before and after must have an order in which every
// acknowledged command took effect, and every other one at most before the
// kill. F11, L7, G17, G2, I6, I7, I8, I12.
func TestAcknowledgedReservationsSurviveKill(t *testing.T) {
	kills := sim.Size(t, "KILLS", 120)
	seed := sim.Seed(t)
	d := newDaemon(t)
	d.start()
	var sum struct{ commands, unknown, undecided int }
	var slowest time.Duration
	for k := 0; k < kills; {
		r := linear.NewRecorder(func(n rules.Nexus) (sim.Host, error) {
			return d.remote.Login(sim.Member(n.Initiator(), n.Port()))
		})
		from := d.blank(t)
		// A few kills make one history.
		rng := sim.Rand(seed, k)
		clients := d.crowd(t, r, rng)
		for range 3 {
			var wg sync.WaitGroup
			for _, c := range clients {
				wg.Add(1)
				go func() {
					defer wg.Done()
					if err := c.Run(1 << 20); err != linear.ErrGone {
						t.Error(err)
					}
				}()
			}
			time.Sleep(time.Duration(2+rng.IntN(40)) * time.Millisecond)
			d.kill()
			wg.Wait()
			r.Dead()
			begin := time.Now()
			d.start()
			for _, c := range clients {
				require.NoError(t, c.Reconnect())
			}
			slowest = max(slowest, time.Since(begin))
			for _, c := range clients {
				c.Look()
			}
			k++
		}
		h, _ := r.History()
		for _, o := range h {
			sum.commands++
			if linear.Unknown(o) {
				sum.unknown++
			}
		}
		result, why := linear.Check(from, h, 30*time.Second)
		require.NotEqual(t, porcupine.Illegal, result, "after %d kills:\n%s", k, why)
		if result == porcupine.Unknown {
			sum.undecided++
		}
		for _, c := range clients {
			c.Host.Logout()
		}
	}
	require.Empty(t, d.remote.Violations())
	t.Logf("%d commands, %d without an answer; %d histories undecided; slowest return to service %v", sum.commands, sum.unknown, sum.undecided, slowest)
	require.LessOrEqual(t, float64(sum.undecided), 0.01*float64(kills)+1)
	require.Greater(t, sum.unknown, kills/2, "the kills met nothing under way")
	require.Less(t, slowest, sim.Limit(2*time.Second))
	sim.Bound(t, "kills", kills)
}

// blank leaves no registration and zeros in the blocks, and returns that state.
func (d *daemon) blank(t *testing.T) linear.Unit {
	h, err := d.remote.Login(sim.Who{Node: "cleaner"})
	require.NoError(t, err)
	defer h.Logout()
	sim.Must(h, sim.Join(1))
	sim.Must(h, sim.PR(initiator.PRClear, 0, 1, 0))
	sim.Must(h, initiator.Write16(0, make([]byte, linear.Blocks*sim.BlockSize), sim.BlockSize, 0))
	full, err := initiator.DecodeFullStatus(sim.Must(h, initiator.PRIn(initiator.PRReadFullStatus, 4096)).Data)
	require.NoError(t, err)
	require.Empty(t, full.Registrants)
	u := linear.Unit{State: rules.New()}
	u.Gen = full.Generation
	return u
}

// crowd logs five nexuses in.
func (d *daemon) crowd(t *testing.T, r *linear.Recorder, rng *rand.Rand) (all []*linear.Client) {
	for i := range 5 {
		c, err := r.Client(i, rules.Nexus((i*3+rng.IntN(2))%rules.Nexuses), rand.New(rand.NewPCG(rng.Uint64(), 0)))
		require.NoError(t, err)
		all = append(all, c)
	}
	return all
}

// TestFencedStaysFenced: a node that was fenced writes as soon as the daemon is
// back, over and over. Not one block changes. I1, I8, I12, G17.
func TestFencedStaysFenced(t *testing.T) {
	kills := sim.Size(t, "FENCED_KILLS", 40)
	rng := sim.Rand(sim.Seed(t), 0)
	d := newDaemon(t)
	d.start()
	survivor, victim := d.login(t, "survivor"), d.login(t, "victim")
	const survivorKey, victimKey = 1, 2
	const area, areaBlocks = 1024, 64
	refused, applied := 0, 0
	for k := range kills {
		sim.Must(survivor, sim.PR(initiator.PRRegisterAndIgnore, 0, 0, survivorKey))
		sim.Must(victim, sim.PR(initiator.PRRegisterAndIgnore, 0, 0, victimKey))
		// With and without APTPL: a restart of the daemon is no loss of power.
		sim.Must(survivor, initiator.PROut(initiator.PRRegisterAndIgnore, 0, 0, initiator.PRParams{ServiceKey: survivorKey, APTPL: k%2 == 0}.Marshal()))
		if k == 0 {
			sim.Must(survivor, sim.PR(initiator.PRReserve, initiator.WriteExclusiveRegistrantsOnly, survivorKey, 0))
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			a, r := flood(victim, area, areaBlocks, uint32(k), stop)
			applied, refused = applied+a, refused+r
		}()
		time.Sleep(time.Duration(rng.IntN(5)) * time.Millisecond)
		sa := []initiator.PROutAction{initiator.PRPreemptAndAbort, initiator.PRPreempt}[rng.IntN(2)]
		sim.Must(survivor, sim.PR(sa, initiator.WriteExclusiveRegistrantsOnly, survivorKey, victimKey))
		before := sim.Must(survivor, initiator.Read16(area, areaBlocks, sim.BlockSize, 0)).Data
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		d.kill()
		close(stop)
		victim.Settle()
		wg.Wait()

		d.start()
		survivor, victim = d.login(t, "survivor"), d.login(t, "victim")
		for i := range 5 {
			a := sim.Retry(victim, initiator.Write16(uint64(area+i), sim.Stamp{Host: 9, LBA: uint32(area + i)}.Blocks(1), sim.BlockSize, 0))
			require.True(t, a.Conflict(), "after kill %d the fenced node wrote: %v", k, a)
		}
		after := sim.Must(survivor, initiator.Read16(area, areaBlocks, sim.BlockSize, 0)).Data
		require.Equal(t, before, after, "kill %d: the medium changed after the fence", k)
	}
	t.Logf("the victim wrote %d times and was refused %d times", applied, refused)
	require.NotZero(t, applied)
	sim.Bound(t, "fences with a kill behind them", kills)
}

// flood writes until stop or until the path is gone.
func flood(h sim.Host, area, blocks int, epoch uint32, stop chan struct{}) (applied, refused int) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return applied, refused
		default:
		}
		lba := area + i%blocks
		r := h.Start(initiator.Write16(uint64(lba), sim.Stamp{Host: 2, Epoch: epoch, Seq: uint32(i), LBA: uint32(lba)}.Blocks(1), sim.BlockSize, 0))
		select {
		case <-r.Done():
		case <-time.After(20 * time.Millisecond):
			h.Settle() // ended by PREEMPT AND ABORT, without a word
			<-r.Done()
		}
		switch a := r.Answer(); {
		case a.Fate == sim.Lost:
			return applied, refused
		case a.Good():
			applied++
		case a.Conflict():
			refused++
		}
	}
}

func (d *daemon) login(t *testing.T, node string) sim.Host {
	t.Helper()
	h, err := d.remote.Login(sim.Who{Node: node})
	require.NoError(t, err)
	return h
}
