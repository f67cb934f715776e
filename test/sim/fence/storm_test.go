package fence

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// storm is a set of nexuses that write, abort, reset, log out and in, all at
// once.
type storm struct {
	t   *testing.T
	bed *sim.Bed

	mu    sync.Mutex
	tmfs  map[initiator.TMF]int
	worst time.Duration // a function took
	done  int           // functions that were answered
}

// sailor is one nexus of a storm.
type sailor struct {
	*storm
	who  sim.Who
	id   uint16
	area int
	rng  *rand.Rand
	seq  uint32

	host  sim.Host
	since uint32 // number of the first write of this session
	open  []*shot
}

// TestStorm: after "function complete" nothing that the function ended is
// applied, and nothing ever hangs. F23, G34, I11.
func TestStorm(t *testing.T) {
	for _, w := range []struct {
		name   string
		config sim.Config
		steps  int
	}{{"direct", sim.Config{}, 1500}, {"wire", sim.Config{Wire: true}, 600}} {
		t.Run(w.name, func(t *testing.T) {
			steps := sim.Size(t, "STORM_STEPS", w.steps)
			seed := sim.Seed(t)
			c := w.config
			c.Slow, c.Ports, c.Blocks = 2*time.Millisecond, 2, 8*areaBlocks
			s := &storm{t: t, bed: sim.NewBed(c), tmfs: map[initiator.TMF]int{}}
			const sailors = 5
			var wg sync.WaitGroup
			for i := range sailors {
				x := &sailor{
					storm: s, who: sim.Who{Node: fmt.Sprintf("s%d", i), Port: i % 2},
					id: uint16(i + 1), area: (i + 1) * areaBlocks, rng: sim.Rand(seed, i),
				}
				wg.Add(1)
				go func() {
					defer wg.Done()
					if err := x.sail(steps / sailors); err != nil {
						t.Errorf("%v: %v", x.who, err)
					}
				}()
			}
			over := make(chan struct{})
			go func() { wg.Wait(); close(over) }()
			select {
			case <-over:
			case <-time.After(5 * time.Minute):
				panic("the storm does not end")
			}
			if w.config.Wire {
				require.Empty(t, s.bed.Violations())
			}
			s.bed.Close()
			t.Logf("%d functions, slowest %v: %v", s.done, s.worst, s.tmfs)
			require.Less(t, s.worst, sim.Limit(8*time.Second))
			for _, f := range functions {
				require.NotZero(t, s.tmfs[f], "%v", f)
			}
		})
	}
}

// closed is closed.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

var functions = []initiator.TMF{
	initiator.TMFAbortTask, initiator.TMFAbortTaskSet, initiator.TMFClearTaskSet,
	initiator.TMFLUReset, initiator.TMFTargetWarmReset,
}

func (x *sailor) sail(steps int) (err error) {
	if err = x.login(); err != nil {
		return err
	}
	for range steps {
		switch n := x.rng.IntN(40); {
		case n < 30:
			x.shoot()
		case n < 37:
			err = x.manage(functions[x.rng.IntN(len(functions))])
		case n < 38:
			x.host.Cut()
			err = x.login()
		case n < 39:
			x.host.Logout()
			err = x.login()
		default:
			// A reservation command every now and then.
			x.settle()
			insist(x.host, sim.Join(uint64(x.id)), closed)
		}
		if err != nil {
			return err
		}
	}
	// The unit serves as if nothing had been, as soon as the others let it.
	var a sim.Answer
	for range 200 {
		x.settle()
		if a = insist(x.host, initiator.Write16(uint64(x.area), make([]byte, bs), bs, 0), closed); a.Good() {
			return nil
		}
	}
	return fmt.Errorf("after the storm a write ends with %v", a)
}

func (x *sailor) login() (err error) {
	x.host, err = x.bed.Login(x.who)
	x.open, x.since = nil, x.seq+1
	return err
}

// settle gets rid of commands that another nexus may have ended silently.
func (x *sailor) settle() {
	x.host.Settle()
	x.open = nil
}

// shoot starts a write and forgets those that ended.
func (x *sailor) shoot() {
	var open []*shot
	for _, k := range x.open {
		select {
		case <-k.run.Done():
		default:
			open = append(open, k)
		}
	}
	x.open = open
	if len(x.open) > 8 {
		x.settle()
	}
	i := x.rng.IntN(6) // the plain writes
	x.seq++
	c := paths[i].build(x.rng, sim.Stamp{Host: x.id, Seq: x.seq}, x.area)
	c.HoldData = x.rng.IntN(2) == 0
	k := &shot{path: i, seq: x.seq, begin: time.Now(), hold: c.HoldData, run: x.host.Start(c)}
	if c.HoldData && x.rng.IntN(2) == 0 {
		late := time.Duration(x.rng.IntN(3000)) * time.Microsecond
		go func() {
			select {
			case <-k.run.Asked():
				time.Sleep(late)
				k.run.Release()
			case <-k.run.Done():
			}
		}()
	}
	x.open = append(x.open, k)
}

// manage runs a function and looks whether what it ended stays ended.
func (x *sailor) manage(f initiator.TMF) error {
	var of sim.Running
	ended := x.open
	if f == initiator.TMFAbortTask {
		if len(x.open) == 0 {
			return nil
		}
		k := x.open[x.rng.IntN(len(x.open))]
		of, ended = k.run, []*shot{k}
	}
	if !x.bed.Sequential() {
		// Only what certainly reached the unit before.
		ended = x.asked(ended)
	}
	begin, before := time.Now(), x.bed.Mark()
	status, lost := x.host.Manage(f, of)
	took, mark := time.Since(begin), x.bed.Mark()
	x.mu.Lock()
	x.tmfs[f]++
	x.done++
	x.worst = max(x.worst, took)
	x.mu.Unlock()
	if lost {
		return fmt.Errorf("%v: the path is gone", f)
	}
	if f == initiator.TMFAbortTask && status == initiator.TMFNoTask {
		return nil // it had ended
	}
	if status != initiator.TMFComplete {
		return fmt.Errorf("%v: %v", f, status)
	}
	for _, k := range ended {
		k.run.Release() // whatever was held back comes now
	}
	time.Sleep(time.Duration(x.rng.IntN(3000)) * time.Microsecond)
	for _, e := range x.bed.After(mark) {
		s, ok := sim.ReadStamp(e.Data)
		if !ok {
			continue
		}
		mine := s.Host == x.id && s.Seq >= x.since
		if e.Begin < before && (f == initiator.TMFAbortTaskSet && mine || f != initiator.TMFAbortTask && f != initiator.TMFAbortTaskSet) {
			return fmt.Errorf("%v was complete, and write %d of host %d still in the medium", f, s.Seq, s.Host)
		}
		if !mine {
			continue
		}
		for _, k := range ended {
			if k.seq == s.Seq {
				return fmt.Errorf("%v was complete, then write %d (%s) was applied", f, s.Seq, paths[k.path].name)
			}
		}
	}
	return nil
}

// asked are those whose data the target waits for.
func (x *sailor) asked(all []*shot) (some []*shot) {
	for _, k := range all {
		select {
		case <-k.run.Asked():
			some = append(some, k)
		default:
		}
	}
	return some
}
