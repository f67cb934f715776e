package fence

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/backstore/backtest"
	"nas-target/internal/initiator"
	"nas-target/internal/pr/prstore"
	"nas-target/test/sim"
)

// tally is what a campaign of races met.
type tally struct {
	races, inMedium, open atomic.Int64
	shots, aborted        atomic.Int64
	conflicts, late       atomic.Int64
	perFence              [64]atomic.Int64
	perPath               [64]atomic.Int64 // GOOD
	longest               atomic.Int64
}

// TestFenceRaces lets two nexuses flood the unit and takes their rights away
// at a random moment, by every command that does so; FENCE_ONLY, a regular
// expression, chooses among them. G11, G12, I1, I2, I15.
func TestFenceRaces(t *testing.T) {
	only := regexp.MustCompile(os.Getenv("FENCE_ONLY"))
	var chosen []*fence
	for i := range fences {
		if only.MatchString(fences[i].name) {
			chosen = append(chosen, &fences[i])
		}
	}
	require.NotEmpty(t, chosen, "FENCE_ONLY=%s", only)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			races := sim.Size(t, "FENCE_RACES", w.races)
			seed := sim.Seed(t)
			var sum tally
			parallel(races, func(n int) { runRaces(t, w.config, chosen, seed, n, min(n+batch, races), &sum) })
			require.EqualValues(t, races, sum.races.Load())
			for i, f := range chosen {
				t.Logf("%5d %s", sum.perFence[i].Load(), f.name)
				require.NotZero(t, sum.perFence[i].Load(), f.name)
			}
			for i := range paths {
				require.NotZero(t, sum.perPath[i].Load(), "no %s ended with GOOD", paths[i].name)
			}
			t.Logf("%d writes, %d aborted, %d refused, %d of them sent after the fence", sum.shots.Load(), sum.aborted.Load(), sum.conflicts.Load(), sum.late.Load())
			t.Logf("at the strike: %.1f commands of the losers open, %.1f calls in the medium; slowest fence %v",
				float64(sum.open.Load())/float64(races), float64(sum.inMedium.Load())/float64(races), time.Duration(sum.longest.Load()))
			// Otherwise nothing was raced.
			require.Greater(t, sum.open.Load(), int64(races))
			require.Greater(t, sum.inMedium.Load(), int64(races)/10)
			require.NotZero(t, sum.late.Load())
			sim.Bound(t, "fence races", races)
		})
	}
}

// ways are the two ways of reaching the unit.
var ways = []struct {
	name   string
	config sim.Config
	races  int // of the short form
}{
	{"direct", sim.Config{}, 260},
	{"wire", sim.Config{Wire: true}, 160},
	{"wire, two connections", sim.Config{Wire: true, Connections: 2}, 80},
}

// batch is how many races one bed sees.
const batch = 25

// parallel runs n rounds in batches, a few batches at a time.
func parallel(n int, run func(first int)) {
	limit := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for first := 0; first < n; first += batch {
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-limit }()
			run(first)
		}()
	}
	wg.Wait()
}

// runRaces runs the batch of races from first to before last.
func runRaces(t *testing.T, c sim.Config, chosen []*fence, seed uint64, first, last int, sum *tally) {
	r := sim.Rand(seed, first)
	c.Slow = time.Duration(1+r.IntN(6)) * time.Millisecond
	c.WriteThrough = r.IntN(3) == 0
	c.Store = &sim.Frail{Store: new(prstore.Mem), Slow: time.Duration(r.IntN(3)) * time.Millisecond}
	a := newArena(t, c, r)
	defer a.close()
	a.setTAS(r.IntN(2) == 0)
	for n := first; n < last && !t.Failed(); n++ {
		i := n % len(chosen)
		f := chosen[i]
		held := f.types[n/len(chosen)%len(f.types)]
		if err := a.race(f, held, sum); err != nil {
			t.Errorf("race %d, %s, type %d, write through %v: %v", n, f.name, held, c.WriteThrough, err)
		}
		sum.perFence[i].Add(1)
		sum.races.Add(1)
	}
}

// race is one of them.
func (a *arena) race(f *fence, held initiator.PRType, sum *tally) (err error) {
	defer func() {
		if r := recover(); r != nil {
			panic(fmt.Sprintf("%s, held type %d, TAS %v: %v", f.name, held, a.tas, r))
		}
	}()
	a.reset()
	f.prepare(a, held)
	for _, s := range a.sides() {
		sim.Attentions(s)
	}
	from := a.bed.Mark()
	fl := a.start(append(slices.Clone(a.victims), a.third)...)
	time.Sleep(time.Duration(a.rng.IntN(3000)) * time.Microsecond)

	losers := f.losers(a)
	by, cmd := f.strike(a, held)
	cut := a.victims[1]
	if a.rng.IntN(4) == 0 {
		cut.Cut() // what it left in the medium is a loser's all the same
	} else {
		cut = nil
	}
	open, _ := fl.open(losers)
	sum.open.Add(int64(open))
	sum.inMedium.Add(int64(a.bed.Inside()))
	begin := time.Now()
	fence := sim.Retry(by, cmd)
	if !fence.Good() {
		fl.end(true)
		return fmt.Errorf("the strike ended with %v", fence)
	}
	if d := int64(fence.At.Sub(begin)); d > sum.longest.Load() {
		sum.longest.Store(d)
	}
	var before [][]byte
	for _, s := range losers {
		before = append(before, a.bed.Content(s.area, areaBlocks))
	}
	after := f.after(a, held)
	if exclusive(after) && by == a.survivor {
		sim.Must(a.survivor, initiator.Write16(uint64(a.secret()), sim.Stamp{Host: a.survivor.id, Epoch: a.epoch, LBA: uint32(a.secret())}.Blocks(1), bs, 0))
	}
	if cut != nil {
		if cut.Host, err = a.bed.Login(cut.Who()); err != nil {
			return err
		}
	}
	time.Sleep(time.Duration(300+a.rng.IntN(1000)) * time.Microsecond)
	shots := fl.end(!a.tas && cmd.CDB[1] == byte(initiator.PRPreemptAndAbort))

	for i, s := range losers {
		if !bytes.Equal(before[i], a.bed.Content(s.area, areaBlocks)) {
			return fmt.Errorf("the medium changed by the hand of %v after the fence", s.Who())
		}
	}
	w := a.witness(from)
	for _, e := range a.bed.After(fence.Mark) {
		for _, s := range losers {
			if e.Op.Changes() && within(e, s.area) {
				return fmt.Errorf("%v at %d+%d by %v ended after the fence", e.Op, e.Off/bs, e.Len/bs, s.Who())
			}
		}
	}
	for _, k := range shots {
		if err := a.judge(k, w, fence, losers, exclusive(after), sum); err != nil {
			return err
		}
		if f.spared && k.by == a.third && k.answer.Conflict() {
			return fmt.Errorf("%v lost nothing and got a conflict", k.by.Who())
		}
	}
	return nil
}

func within(e backtest.Entry, area int) bool {
	return e.Off < int64(area+areaBlocks)*bs && e.Off+e.Len > int64(area)*bs
}

// witness is what the medium saw of each write since from.
func (a *arena) witness(from uint64) map[uint32]backtest.Entry {
	w := map[uint32]backtest.Entry{}
	for _, e := range a.bed.After(from) {
		// What ORWRITE makes of two stamps is no stamp; what a copy moved is
		// not where its stamp says, or comes after the write itself.
		s, _ := sim.ReadStamp(e.Data)
		if _, seen := w[s.Seq]; !seen && sim.Intact(e.Data) && s.Epoch == a.epoch && e.Off == int64(s.LBA)*bs {
			w[s.Seq] = e
		}
	}
	return w
}

// judge compares the answer of one command with what the medium saw.
func (a *arena) judge(k *shot, w map[uint32]backtest.Entry, fence sim.Answer, losers []*side, noReads bool, sum *tally) error {
	lost := slices.Contains(losers, k.by)
	late := k.begin.After(fence.At)
	if k.path == readPath {
		if s, ok := sim.ReadStamp(k.answer.Data); lost && noReads && ok && k.answer.Good() && s.Epoch == a.epoch {
			return fmt.Errorf("%v read what was written after the fence", k.by.Who())
		}
		return nil
	}
	sum.shots.Add(1)
	e, applied := w[k.seq]
	what := fmt.Sprintf("%s of %v, write %d: %v", paths[k.path].name, k.by.Who(), k.seq, k.answer)
	switch {
	case k.answer.Good():
		sum.perPath[k.path].Add(1)
		if lost && late {
			return fmt.Errorf("sent after the fence: %s", what)
		}
		if paths[k.path].stamped && (!applied || e.End > k.answer.Mark) {
			return fmt.Errorf("not on the medium when it was answered: %s", what)
		}
	case k.answer.Conflict():
		sum.conflicts.Add(1)
		if late {
			sum.late.Add(1)
		}
		if applied {
			return fmt.Errorf("on the medium all the same: %s", what)
		}
	case k.answer.Fate == sim.Aborted || k.answer.Is(initiator.TaskAborted):
		sum.aborted.Add(1)
	}
	return nil
}
