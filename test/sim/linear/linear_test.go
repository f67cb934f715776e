package linear

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"nas-target/internal/pr/prstore"
	"nas-target/test/sim"
	"nas-target/test/sim/rules"
)

// limit is how long the checker may take over one history.
const limit = 30 * time.Second

// TestHistoriesAreLinearizable is G15.
func TestHistoriesAreLinearizable(t *testing.T) {
	for _, w := range []struct {
		name      string
		wire      bool
		histories int
	}{{"direct", false, 240}, {"wire", true, 15}} {
		t.Run(w.name, func(t *testing.T) {
			n := sim.Size(t, "LINEAR_HISTORIES", w.histories)
			ops := sim.Size(t, "LINEAR_OPS", 150)
			seed := sim.Seed(t)
			var sum tally
			parallel(n, func(i int) { sum.one(t, seed, i, ops, w.wire) })
			t.Logf("%d histories of up to %d commands: %d granted, %d refused (%d more while rights changed hands), %d without an answer", n, ops, sum.good.Load(), sum.bad.Load(), sum.left.Load(), sum.unknown.Load())
			t.Logf("undecided after %v: %d; slowest %v", limit, sum.undecided.Load(), time.Duration(sum.slowest.Load()))
			require.LessOrEqual(t, float64(sum.undecided.Load()), 0.01*float64(n))
			require.Greater(t, sum.unknown.Load(), int64(n)/2, "nothing was aborted or lost")
			sim.Bound(t, "histories", n)
		})
	}
}

type tally struct {
	good, bad, left, unknown, undecided, slowest atomic.Int64
}

func parallel(n int, f func(i int)) {
	limit := make(chan struct{}, 3)
	var wg sync.WaitGroup
	for i := range n {
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-limit }()
			f(i)
		}()
	}
	wg.Wait()
}

// one records a history and checks it.
func (sum *tally) one(t *testing.T, seed uint64, i, ops int, wire bool) {
	if t.Failed() {
		return
	}
	h := sum.record(t, seed, i, ops, wire)
	for _, o := range h {
		switch out := o.Output.(output); {
		case out.unknown:
			sum.unknown.Add(1)
		case out.result == rules.Good:
			sum.good.Add(1)
		default:
			sum.bad.Add(1)
		}
	}
	begin := time.Now()
	result, why := Check(Unit{State: rules.New()}, h, limit)
	if d := int64(time.Since(begin)); d > sum.slowest.Load() {
		sum.slowest.Store(d)
	}
	switch result {
	case porcupine.Unknown:
		sum.undecided.Add(1)
	case porcupine.Illegal:
		t.Errorf("history %d has no order:\n%s", i, why)
	}
}

// record lets a few nexuses loose on a new unit.
func (sum *tally) record(t *testing.T, seed uint64, i, ops int, wire bool) []porcupine.Operation {
	rng := sim.Rand(seed, i)
	bed := sim.NewBed(sim.Config{
		Blocks: 64, Ports: rules.Ports, Wire: wire,
		Store: &sim.Frail{Store: new(prstore.Mem), Slow: time.Millisecond, Fail: []int{0, 20}[rng.IntN(2)]},
		Slow:  time.Duration(rng.IntN(1500)) * time.Microsecond, WriteThrough: rng.IntN(3) == 0,
	})
	defer bed.Close()
	r := NewRecorder(func(n rules.Nexus) (sim.Host, error) { return bed.Login(who(n)) })
	r.Cuts.Store(int32(rng.IntN(4)))
	n := 4 + rng.IntN(rules.Nexuses-3)
	var wg sync.WaitGroup
	for c := range n {
		k, err := r.Client(c, rules.Nexus((c*3+i)%rules.Nexuses), sim.Rand(seed, i*100+c))
		require.NoError(t, err)
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := k.Run(ops / n); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	require.Empty(t, bed.Violations())
	h, left := r.History()
	sum.left.Add(int64(left))
	return h
}
