package fence

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/backstore/backtest"
	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// PREEMPT AND ABORT where no reservation exists, or one that gives the victim
// its right back at once: the victim may go on writing, but what it had under
// way does not land after GOOD. SPC-4 r36f 5.13.11.2.6.
func TestPreemptAndAbortEndsWhatIsUnderWay(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			a := newArena(t, w.config, sim.Rand(sim.Seed(t), 0))
			defer a.close()
			for round := range 20 {
				a.setTAS(round%2 == 0)
				a.reset()
				joinAll(a)
				for _, s := range a.sides() {
					sim.Attentions(s)
				}
				v := a.victims[round%2]
				a.bed.Stall.StallIf(func(c *backtest.Call) bool { return c.Op.Changes() })
				var under []sim.Running
				for i, seq := range []uint32{1, 2, 3} {
					c := write(a.rng, sim.Stamp{Host: v.id, Epoch: a.epoch, Seq: seq}, v.area, 4)
					c.HoldData, c.NoUnsolicited = i == 2, i > 0
					under = append(under, v.Start(c))
				}
				<-under[2].Asked()
				a.bed.Stall.WaitFor(2)

				generation := func() uint32 { return a.bed.Unit.Reservations().State().Generation }
				before := generation()
				p := a.survivor.Start(sim.PR(initiator.PRPreemptAndAbort, wero, keySurvivor, keyVictim))
				require.Eventually(t, func() bool { return generation() != before }, 10*time.Second, 100*time.Microsecond)
				select {
				case <-p.Done():
					t.Fatalf("answered %v while writes of the victim are in the medium", p.Answer())
				case <-time.After(5 * time.Millisecond):
				}
				a.bed.Stall.Release()
				<-p.Done()
				require.True(t, p.Answer().Good(), "%v", p.Answer())
				under[2].Release()
				// The victim is still served, and what it sends now lands.
				again := sim.Retry(v, write(a.rng, sim.Stamp{Host: v.id, Epoch: a.epoch, Seq: 9}, v.area, 1))
				require.True(t, again.Good(), "%v", again)
				v.Settle()
				for _, k := range under {
					<-k.Done()
					require.False(t, k.Answer().Good(), "an aborted command was answered")
				}
				for _, e := range a.bed.After(p.Answer().Mark) {
					s, ok := sim.ReadStamp(e.Data)
					require.True(t, ok && s.Seq == 9, "%v landed after the abort", s)
				}
			}
		})
	}
}

// stuckArena is a cluster whose victim has n writes stuck in the medium.
func stuckArena(t *testing.T, c sim.Config, n int) (a *arena, stuck []sim.Running) {
	a = newArena(t, c, sim.Rand(sim.Seed(t), 0))
	a.reset()
	joinAll(a)
	a.survivor.reserve(wero)
	for _, s := range a.sides() {
		sim.Attentions(s)
	}
	v := a.victims[0]
	area := int64(v.area) * bs
	a.bed.Stall.StallIf(func(c *backtest.Call) bool {
		return c.Op.Changes() && c.Off >= area && c.Off < area+areaBlocks*bs
	})
	for i := range n {
		c := write(a.rng, sim.Stamp{Host: v.id, Seq: uint32(i)}, v.area, 1)
		stuck = append(stuck, v.Start(c))
	}
	if n > 0 {
		a.fill()
	}
	return a, stuck
}

// fill waits until no more calls get stuck: every place for one is taken.
func (a *arena) fill() {
	for last := 0; ; {
		time.Sleep(300 * time.Millisecond)
		n := a.bed.Stall.Waiting()
		if n == last && n > 0 {
			return
		}
		last = n
	}
}

// Everything but the medium answers although the medium is stuck: pings,
// logins, the commands that do not touch it, reservations. F17.
func TestStuckMediumStopsNothingElse(t *testing.T) {
	a, stuck := stuckArena(t, sim.Config{Wire: true}, 100)
	defer a.close()
	defer a.bed.Stall.Release()
	quick := func(what string, f func()) {
		t.Helper()
		begin, over := time.Now(), make(chan struct{})
		go func() {
			defer close(over)
			f()
		}()
		select {
		case <-over:
		case <-time.After(sim.Limit(time.Second)):
			a.bed.Stall.Release()
			t.Fatalf("%s waits for the medium", what)
		}
		d := time.Since(begin)
		t.Logf("%-32s %v", what, d)
	}
	v := a.victims[0]
	quick("ping of the stuck session", func() { mustWork(v.Ping()) })
	quick("TEST UNIT READY of the stuck", func() { sim.Must(v, initiator.TestUnitReady()) })
	quick("ping of another", func() { mustWork(a.third.Ping()) })
	quick("INQUIRY", func() { sim.Must(a.third, initiator.Inquiry(96)) })
	quick("PERSISTENT RESERVE IN", func() { sim.Must(a.third, initiator.PRIn(initiator.PRReadKeys, 256)) })
	quick("REGISTER", func() { a.join(a.third) })
	var fresh sim.Host
	quick("login of a stranger", func() {
		var err error
		fresh, err = a.bed.Login(sim.Who{Node: "stranger"})
		mustWork(err)
	})
	quick("REGISTER of a stranger", func() { sim.Must(fresh, sim.Join(7)) })
	quick("login in place of the stuck", func() {
		var err error
		fresh, err = a.bed.Login(v.Who())
		mustWork(err)
	})
	quick("TEST UNIT READY afterwards", func() { sim.Must(fresh, initiator.TestUnitReady()) })
	quick("REGISTER afterwards", func() { sim.Must(fresh, sim.Join(keyVictim)) })
	a.bed.Stall.Release()
	for _, k := range stuck {
		<-k.Done()
		require.Equal(t, sim.Lost, k.Answer().Fate)
	}
	sim.Must(fresh, initiator.Write16(uint64(v.area), make([]byte, bs), bs, 0))
}

// mustWork is for goroutines that are not the test's.
func mustWork(err error) {
	if err != nil {
		panic(err)
	}
}

// The survivors do not wait for what is stuck, and the fence does not pretend.
// G20, G21.
func TestStuckVictimDoesNotStallSurvivors(t *testing.T) {
	const writes = 60
	a, stuck := stuckArena(t, sim.Config{Wire: true}, 0)
	defer a.close()
	defer a.bed.Stall.Release()
	latency := func() (d []time.Duration) {
		for i := range writes {
			s := []*side{a.survivor, a.third}[i%2]
			begin := time.Now()
			k := s.Start(write(a.rng, sim.Stamp{Host: s.id, Seq: uint32(i)}, s.area, 1))
			select {
			case <-k.Done():
				require.True(t, k.Answer().Good(), "%v", k.Answer())
			case <-time.After(10 * time.Second):
				t.Fatalf("a write of %v waits for the stuck ones", s.Who())
			}
			d = append(d, time.Since(begin))
		}
		slices.Sort(d)
		return d
	}
	alone := latency()
	v := a.victims[0]
	for i := range 64 {
		stuck = append(stuck, v.Start(write(a.rng, sim.Stamp{Host: v.id, Seq: uint32(i)}, v.area, 1)))
	}
	a.fill()
	full := a.bed.Stall.Waiting()
	fence := a.survivor.Start(sim.PR(initiator.PRPreemptAndAbort, wero, keySurvivor, keyVictim))
	beside := latency()
	select {
	case <-fence.Done():
		t.Fatalf("answered %v with writes of the victim in the medium", fence.Answer())
	default:
	}
	begin := time.Now()
	a.bed.Stall.Release()
	<-fence.Done()
	require.True(t, fence.Answer().Good(), "%v", fence.Answer())
	require.Less(t, time.Since(begin), sim.Limit(time.Second))
	after := latency()
	t.Logf("median, slowest of %d writes: alone %v, %v; beside %d stuck writes and their fence %v, %v; after it %v, %v",
		writes, alone[writes/2], alone[writes-1], full, beside[writes/2], beside[writes-1], after[writes/2], after[writes-1])
	// A write that waits for a stuck one takes for ever; one that does not,
	// about as long as before.
	if sim.Quiet() {
		require.Less(t, beside[writes/2], 2*alone[writes/2]+time.Millisecond)
		require.Less(t, after[writes/2], alone[writes/2]*12/10+time.Millisecond)
	}
	v.Settle()
	for _, k := range stuck {
		<-k.Done()
	}
}

// PREEMPT AND ABORT is quick, with nothing else to do and under full load. G20.
func TestFenceLatency(t *testing.T) {
	for _, c := range []struct {
		name  string
		load  bool
		limit time.Duration
	}{{"idle", false, 50 * time.Millisecond}, {"under full load", true, 200 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			n := sim.Size(t, "FENCE_LATENCY", 40)
			a := newArena(t, sim.Config{Wire: true}, sim.Rand(sim.Seed(t), 0))
			defer a.close()
			a.setTAS(true)
			var took []time.Duration
			for range n {
				a.reset()
				joinAll(a)
				a.survivor.reserve(wero)
				for _, s := range a.sides() {
					sim.Attentions(s)
				}
				var f *flood
				if c.load {
					f = a.start(append(slices.Clone(a.victims), a.third)...)
					time.Sleep(2 * time.Millisecond)
				}
				begin := time.Now()
				p := sim.Retry(a.survivor, sim.PR(initiator.PRPreemptAndAbort, wero, keySurvivor, keyVictim))
				took = append(took, time.Since(begin))
				require.True(t, p.Good(), "%v", p)
				if f != nil {
					f.end(false)
				}
			}
			slices.Sort(took)
			at := func(share float64) time.Duration { return took[int(share*float64(len(took)-1))] }
			t.Logf("%d fences: median %v, 90 %% %v, 99 %% %v, slowest %v; limit %v", n, at(0.5), at(0.9), at(0.99), at(1), c.limit)
			if sim.Quiet() {
				require.Less(t, at(0.99), c.limit)
			}
			require.Less(t, at(0.5), sim.Limit(c.limit))
		})
	}
}
