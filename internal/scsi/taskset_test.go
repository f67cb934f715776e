package scsi

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// slowly is a unit whose flushes (SYNCHRONIZE CACHE: always on a worker) stay
// in the medium until let go one by one, in the order in which they got there.
type slowly struct {
	*bench
	inside chan chan struct{}
}

func newSlowly(t *testing.T) *slowly {
	s := &slowly{bench: newBench(t), inside: make(chan chan struct{}, 100)}
	s.medium.before = func(op string, _, _ int64) {
		if op == "sync" {
			let := make(chan struct{})
			s.inside <- let
			<-let
		}
	}
	return s
}

const flushAll = "35 00 00000000 00 0000 00"

// started is a task under way.
type started struct {
	*Task
	done chan struct{}
}

func (s *started) ended() bool { return len(s.done) > 0 }

func (s *slowly) start(it *IT, attr Attr, cdb string, outLen int) *started {
	t := &started{&Task{Attr: attr, OutLen: uint32(outLen)}, make(chan struct{}, 1)}
	copy(t.CDB[:], unhex(cdb))
	t.Done = func(*Task) { t.done <- struct{}{} }
	if it.Submit(t.Task) == Finished {
		t.done <- struct{}{}
	}
	synctest.Wait()
	return t
}

func (s *slowly) letOne() {
	close(<-s.inside)
	synctest.Wait()
}

func TestOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowly(t)
		other := s.attach("iqn.2026-11.test:b")
		old1 := s.start(s.it, Simple, flushAll, 0)
		old2 := s.start(other, Untagged, flushAll, 0)
		write := s.start(other, Simple, "2a 00 00000000 00 0001 00", 512)
		ordered := s.start(s.it, Ordered, flushAll, 0)
		newer := s.start(other, Simple, flushAll, 0)
		newWrite := s.start(s.it, Simple, "2a 00 00000004 00 0001 00", 512)
		newWrite.Out = make([]byte, 512)
		require.Equal(t, Pending, s.it.Resume(newWrite.Task))
		second := s.start(other, Ordered, flushAll, 0)
		last := s.start(s.it, Simple, "28 00 00000000 00 0000 00", 0)
		require.Len(t, s.inside, 2, "older tasks run side by side")
		s.letOne()
		s.letOne()
		require.True(t, old1.ended() && old2.ended())
		require.Empty(t, s.inside, "one older task still waits for its data")
		write.Out = make([]byte, 512)
		require.Equal(t, Finished, other.Resume(write.Task))
		synctest.Wait()
		require.Len(t, s.inside, 1)
		require.False(t, newer.ended() || newWrite.ended() || last.ended())
		s.letOne()
		require.True(t, ordered.ended() && newWrite.ended())
		require.Len(t, s.inside, 1)
		require.False(t, newer.ended() || second.ended() || last.ended())
		s.letOne()
		require.True(t, newer.ended())
		require.False(t, last.ended())
		s.letOne()
		require.True(t, second.ended() && last.ended())
		require.Nil(t, s.unit.tasks.last.Load(), "and order costs nothing any more")
		require.Zero(t, s.tasks())
	})
}

// An ORDERED task with nobody before it runs at once, on the spot if it can.
func TestOrderedAlone(t *testing.T) {
	b := newBench(t)
	task := &Task{Attr: Ordered, InLen: 512}
	copy(task.CDB[:], unhex("28 00 00000000 00 0001 00"))
	require.Equal(t, Finished, b.it.Submit(task))
	require.Equal(t, Good, task.Status)
	require.Nil(t, b.unit.tasks.last.Load())
	task = &Task{Attr: Ordered, InLen: 512}
	copy(task.CDB[:], unhex("28 00 ffffffff 00 0001 00"))
	require.Equal(t, Finished, b.it.Submit(task))
	require.ErrorIs(t, task.Failure, ErrLBAOutOfRange)
	require.Nil(t, b.unit.tasks.last.Load(), "refused before it had a place")
}

// Two ORDERED tasks of two nexuses that arrive at once, neither of them listed
// yet when the other looks: still one after the other.
func TestOrderedAtOnce(t *testing.T) {
	b := newBench(t)
	x := b.it.view.Load().find(0)
	var ts [2]*Task
	for i := range ts {
		ts[i] = &Task{Attr: Ordered, cmd: opcodes[0x35].row, unit: b.unit, itl: x, conf: b.unit.conf.Load(), Done: func(*Task) {}}
		b.unit.order(ts[i])
	}
	parked, err := b.unit.park(x, ts[0])
	require.NoError(t, err)
	require.False(t, parked)
	parked, err = b.unit.park(x, ts[1])
	require.NoError(t, err)
	require.True(t, parked)
	b.unit.ended(ts[0])
	require.False(t, b.unit.unpark(ts[1]), "it is on its way")
}

func TestHeadOfQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowly(t)
		var running []*started
		for range unitWorkers {
			running = append(running, s.start(s.it, Simple, flushAll, 0))
		}
		waiting := s.start(s.it, Simple, flushAll, 0)
		head := s.start(s.it, HeadOfQueue, flushAll, 0)
		require.Len(t, s.inside, unitWorkers)
		s.letOne()
		require.True(t, running[0].ended())
		for range unitWorkers - 1 {
			s.letOne()
		}
		s.letOne()
		require.True(t, head.ended())
		s.letOne()
		require.True(t, waiting.ended())

		ordered := s.start(s.it, Ordered, "2a 00 00000000 00 0001 00", 512)
		head = s.start(s.it, HeadOfQueue, flushAll, 0)
		require.Len(t, s.inside, 1, "not behind an ORDERED task")
		s.letOne()
		require.True(t, head.ended())
		require.False(t, ordered.ended())
	})
}

// A host that hangs in the middle of an ORDERED write keeps nobody from
// fencing it, and from then on nobody waits for it.
func TestOrderedDoesNotDelayFencing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowly(t)
		other := s.attach("iqn.2026-11.test:b")
		prOut := func(it *IT, sa pr.Action, typ pr.Type, key, sark uint64) Status {
			return s.through(it, 0, fmt.Sprintf("%x", prCDB(sa, typ)), prList(key, sark), 0).Status
		}
		require.Equal(t, Good, prOut(s.it, pr.RegisterAndIgnore, 0, 0, 0xa))
		require.Equal(t, Good, prOut(other, pr.RegisterAndIgnore, 0, 0, 0xb))
		hung := s.start(other, Ordered, "2a 00 00000000 00 0001 00", 512)
		mine := s.start(s.it, Simple, "2a 00 00000001 00 0000 00", 0)
		require.False(t, mine.ended())
		require.Equal(t, Good, s.do("00 00 00 00 00 00", nil, 0).Status)
		require.Equal(t, Good, prOut(s.it, pr.Reserve, pr.WriteExclusiveRegistrantsOnly, 0xa, 0))
		require.Equal(t, Good, prOut(s.it, pr.PreemptAndAbort, pr.WriteExclusiveRegistrantsOnly, 0xa, 0xb))
		synctest.Wait()
		require.True(t, hung.ended() && hung.Aborted)
		require.True(t, mine.ended())
		require.Equal(t, Good, mine.Status)
	})
}

// An abort ends parked tasks at once, whoever parks them.
func TestAbortParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowly(t)
		x := s.it.view.Load().find(0)
		abort := func(o *started) {
			require.Equal(t, 1, x.abort(func(p *Task) bool { return p == o.Task }, nil, false))
			require.True(t, o.ended() && o.Aborted)
			synctest.Wait()
		}
		old := s.start(s.it, Simple, flushAll, 0)
		ordered := s.start(s.it, Ordered, flushAll, 0)
		newer := s.start(s.it, Simple, flushAll, 0)
		newest := s.start(s.it, Simple, flushAll, 0)
		abort(newer)
		require.Len(t, s.inside, 1)
		abort(ordered)
		require.Len(t, s.inside, 2, "nothing stands before the newest any more")
		s.letOne()
		s.letOne()
		require.True(t, old.ended() && newest.ended())
		require.Nil(t, s.unit.tasks.last.Load())

		// What the session had parked ends with it.
		old = s.start(s.it, Simple, "2a 00 00000000 00 0001 00", 512)
		ordered = s.start(s.it, Ordered, flushAll, 0)
		newer = s.start(s.it, Simple, flushAll, 0)
		s.it.Detach()
		for _, o := range []*started{old, ordered, newer} {
			require.True(t, o.ended() && o.Aborted)
		}
		require.Nil(t, s.unit.tasks.last.Load())
		require.Empty(t, s.unit.live())
	})
}

func TestTaskSetFull(t *testing.T) {
	b := newBench(t)
	var tasks []*Task
	for range maxNexusTasks {
		w, p, _ := b.submit("2a 00 00000000 00 0001 00", nil, 512, 0)
		require.Equal(t, NeedData, p)
		tasks = append(tasks, w)
	}
	r := b.do("2a 00 00000000 00 0001 00", make([]byte, 512), 0)
	require.Equal(t, TaskSetFull, r.Status)
	require.Zero(t, r.SenseLen)
	r = b.do(flushAll, nil, 0)
	require.Equal(t, TaskSetFull, r.Status)
	require.Equal(t, Good, b.do("28 00 00000000 00 0001 00", nil, 512).Status, "what does not wait needs no place")
	require.Equal(t, Good, b.do("16 00 00 00 00 00", nil, 0).Status, "nor a reservation command")
	require.Equal(t, Good, b.do("17 00 00 00 00 00", nil, 0).Status)
	other := b.attach("iqn.2026-11.test:b")
	require.Equal(t, Good, b.through(other, 0, flushAll, nil, 0).Status, "each nexus has its own")
	tasks[3].Out = make([]byte, 512)
	require.Equal(t, Finished, b.it.Resume(tasks[3]))
	require.Equal(t, Good, b.do(flushAll, nil, 0).Status)
	require.Equal(t, maxNexusTasks-1, b.tasks())
}

func TestACAIsRefused(t *testing.T) {
	b := newBench(t)
	for _, a := range []Attr{ACA, 5, 7} {
		task := &Task{Attr: a}
		require.Equal(t, Finished, b.it.Submit(task))
		require.Equal(t, ErrInvalidField.AppendSense(nil, false), task.Sense[:task.SenseLen])
	}
}

// spanMedium notes when each block's write began and ended.
type spanMedium struct {
	*memMedium
	spans map[int64][2]int
	clock int
}

func (m *spanMedium) note(off int64, i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	s := m.spans[off/512]
	s[i] = m.clock
	m.spans[off/512] = s
}

func (m *spanMedium) span(off int64, f func()) {
	m.note(off, 0)
	for range rand.IntN(4) {
		runtime.Gosched()
	}
	f()
	m.note(off, 1)
}

func (m *spanMedium) WriteAt(p []byte, off int64) (n int, err error) {
	m.span(off, func() { n, err = m.memMedium.WriteAt(p, off) })
	return n, err
}

func (m *spanMedium) WriteDurable(p []byte, off int64) (err error) {
	m.span(off, func() { err = m.memMedium.WriteDurable(p, off) })
	return err
}

// Random task sets against the definition: what came before an ORDERED task
// has ended when it begins, what came after begins when it has ended.
func TestOrderedAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		m := &spanMedium{memMedium: newMem(benchBlocks * 512), spans: map[int64][2]int{}}
		b := newBenchOn(t, m, m.memMedium)
		const n = 120
		its := []*IT{b.it, b.attach("iqn.2026-11.test:b"), b.attach("iqn.2026-11.test:c")}
		var attrs [n]Attr
		var tasks []*Task
		var late []int
		var wg sync.WaitGroup
		for i := range n {
			attrs[i] = Simple
			if r.IntN(6) == 0 {
				attrs[i] = Ordered
			}
			task := &Task{Attr: attrs[i], OutLen: 512, Done: func(*Task) { wg.Done() }}
			task.CDB[0], task.CDB[1] = 0x2a, byte(r.IntN(2))<<3 // FUA: by a worker
			binary.BigEndian.PutUint32(task.CDB[2:], uint32(i))
			task.CDB[8] = 1
			wg.Add(1)
			tasks = append(tasks, task)
			if r.IntN(2) == 0 {
				task.Out = make([]byte, 512)
			}
			switch its[i%3].Submit(task) {
			case Finished:
				wg.Done()
			case NeedData:
				late = append(late, i)
			}
			for len(late) > 0 && (i == n-1 || r.IntN(3) == 0) {
				j := late[0]
				late = slices.Delete(late, 0, 1)
				tasks[j].Out = make([]byte, 512)
				if its[j%3].Resume(tasks[j]) == Finished {
					wg.Done()
				}
			}
		}
		wg.Wait()
		for i, a := range attrs {
			require.Equal(t, Good, tasks[i].Status)
			for j := range i {
				if a == Ordered || attrs[j] == Ordered {
					require.Less(t, m.spans[int64(j)][1], m.spans[int64(i)][0], "seed %d: %d before %d", seed, j, i)
				}
			}
		}
		require.Nil(t, b.unit.tasks.last.Load())
	}
}
