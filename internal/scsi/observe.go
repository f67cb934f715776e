package scsi

import (
	"fmt"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// UnitState is a unit at one moment, for people and metrics.
type UnitState struct {
	Blocks     uint64
	BlockSize  uint32
	WriteCache bool
	ReadOnly   bool
	Failure    error // why writes are refused, until an operator clears it; nil: they are not
	NotReady   error // why nothing is served; nil: it is
	Total      Totals
	Nexuses    []NexusState // in the order of their logins
}

// NexusState is what one live nexus did at a unit.
type NexusState struct {
	Nexus Nexus
	Work  Work
}

// State returns a picture of u. It waits for no I/O.
func (u *Unit) State() UnitState {
	f := u.conf.Load()
	s := UnitState{Blocks: f.blocks, BlockSize: f.blockSize, WriteCache: f.writeCache, ReadOnly: f.readOnly || f.swp}
	if f.failed != nil {
		s.Failure = f.failed
	}
	if f.notReady != nil {
		s.NotReady = f.notReady
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	s.Total = u.past
	s.Nexuses = make([]NexusState, 0, len(u.nexuses))
	for _, x := range u.nexuses {
		w := x.Counters.addTo(&s.Total)
		if !x.gone() { // its last calls are still in the medium
			s.Nexuses = append(s.Nexuses, NexusState{x.it.nexus, w})
		}
	}
	return s
}

// Allocated returns how many bytes of the medium take up space; ok is false if
// the medium does not know. It may wait for the medium.
func (u *Unit) Allocated() (n int64, ok bool) {
	if u.caps.account == nil {
		return 0, false
	}
	n, err := u.caps.account.Allocated()
	return n, err == nil
}

// CommandName names the command that a CDB asks for, in the standards' words.
func CommandName(cdb [16]byte) string {
	if row, _ := lookup(&cdb); row != nil {
		return row.Name
	}
	return fmt.Sprintf("opcode %02xh", cdb[0])
}

// Counters count what one nexus did at one unit.
type Counters struct {
	Commands  [opClasses]atomic.Uint64 // that ended with GOOD
	ReadByte  atomic.Uint64
	WriteByte atomic.Uint64
	Conflicts atomic.Uint64
	Errors    atomic.Uint64
	took      [opClasses]atomic.Pointer[latency] // made when the first one counts
}

// Work is what was counted, at one moment.
type Work struct {
	Commands   [opClasses]uint64 // that ended with GOOD
	ReadBytes  uint64
	WriteBytes uint64
	Conflicts  uint64 // commands that ended with RESERVATION CONFLICT
	Errors     uint64 // commands that ended with neither
}

// Totals are the work of many, and how long it took.
type Totals struct {
	Work
	Latency [opClasses]Latency
}

// OpClasses lists the operation classes, in the order of Totals.
func OpClasses() []OpClass {
	all := make([]OpClass, opClasses)
	for i := range all {
		all[i] = OpClass(i)
	}
	return all
}

// addTo counts c with t, and returns its own part.
func (c *Counters) addTo(t *Totals) Work {
	w := Work{
		ReadBytes: c.ReadByte.Load(), WriteBytes: c.WriteByte.Load(),
		Conflicts: c.Conflicts.Load(), Errors: c.Errors.Load(),
	}
	for i := range w.Commands {
		w.Commands[i] = c.Commands[i].Load()
		if l := c.took[i].Load(); l != nil {
			l.addTo(&t.Latency[i])
		}
	}
	t.Work.Add(&w)
	return w
}

// Add counts o with w.
func (w *Work) Add(o *Work) {
	w.ReadBytes += o.ReadBytes
	w.WriteBytes += o.WriteBytes
	w.Conflicts += o.Conflicts
	w.Errors += o.Errors
	for i := range w.Commands {
		w.Commands[i] += o.Commands[i]
	}
}

// Latency is how long commands took, from the arrival of the command to the
// last byte of the answer: a histogram whose buckets double.
type Latency struct {
	Counts      [latencyBuckets]uint64 // Counts[i] took at most LatencyBound(i), the last one any time
	Nanoseconds uint64                 // in total
}

// Count returns how many commands l knows.
func (l *Latency) Count() (n uint64) {
	for _, c := range l.Counts {
		n += c
	}
	return n
}

const (
	latencyBuckets = 20
	// latencyShift makes the first bucket end at 2^14 ns, 16 µs; the last but
	// one ends at 4.3 s.
	latencyShift = 14
)

// LatencyBound is the upper end of bucket i of a Latency. The last bucket has
// none.
func LatencyBound(i int) time.Duration { return 1 << (latencyShift + i) }

type latency struct {
	counts [latencyBuckets]atomic.Uint64
	sum    atomic.Uint64
}

func (l *latency) add(d time.Duration) {
	d = max(d, 0)
	i := min(bits.Len64(uint64(max(d, 1)-1)>>latencyShift), latencyBuckets-1)
	l.counts[i].Add(1)
	l.sum.Add(uint64(d))
}

func (l *latency) addTo(s *Latency) {
	for i := range s.Counts {
		s.Counts[i] += l.counts[i].Load()
	}
	s.Nanoseconds += l.sum.Load()
}

// Took notes how long t took as its initiator saw it. The transport calls it
// when the last byte of the answer is written, before Reset. Tasks that were
// aborted or refused are left out.
func (t *Task) Took(d time.Duration) {
	if t.itl == nil || t.cmd == nil || t.Aborted || t.Failure != nil {
		return
	}
	p := &t.itl.Counters.took[t.cmd.Class]
	l := p.Load()
	if l == nil {
		p.CompareAndSwap(nil, new(latency))
		l = p.Load()
	}
	l.add(d)
}

// forget drops x and keeps what it counted. u.mu is held.
func (u *Unit) forget(x *itl) {
	x.Counters.addTo(&u.past)
	u.nexuses = slices.DeleteFunc(u.nexuses, func(o *itl) bool { return o == x })
}
