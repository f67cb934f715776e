package scsi

import (
	"sync"
	"time"

	"nas-target/internal/pr"
)

// Function is a task management function, numbered as iSCSI does.
// RFC 7143 §11.5.1, RFC 7144 §4.2.
type Function uint8

const (
	AbortTask        Function = 1
	AbortTaskSet     Function = 2
	ClearACA         Function = 3
	ClearTaskSet     Function = 4
	LogicalUnitReset Function = 5
	TargetWarmReset  Function = 6
	TargetColdReset  Function = 7
	TaskReassign     Function = 8
	QueryTask        Function = 9
	QueryTaskSet     Function = 10
	NexusReset       Function = 11
	QueryAsyncEvent  Function = 12
)

// TMFResponse answers a task management function. RFC 7143 §11.6.1.
type TMFResponse uint8

const (
	FunctionComplete     TMFResponse = 0
	TaskDoesNotExist     TMFResponse = 1
	LUNDoesNotExist      TMFResponse = 2
	FunctionNotSupported TMFResponse = 5
	FunctionSucceeded    TMFResponse = 7
	FunctionRejected     TMFResponse = 255
)

// TaskMgmt asks for a task management function.
type TaskMgmt struct {
	Function Function
	LUN      LUN
	Ref      *Task // ABORT TASK, QUERY TASK: found by the transport, and not ended by it yet
}

// DrainLimit is how long a task management function waits for calls inside
// the medium. After it the answer is FunctionRejected: "complete" would be a
// lie while a write may still land.
const DrainLimit = 8 * time.Second

// Manage carries out a task management function. done is called exactly once,
// perhaps before Manage returns, with the additional response information of
// RFC 7144 (0 unless QUERY ASYNCHRONOUS EVENT found something).
func (it *IT) Manage(m TaskMgmt, done func(r TMFResponse, info uint32)) {
	answer := func(r TMFResponse) { done(r, 0) }
	v := it.view.Load()
	switch m.Function {
	case TargetWarmReset, TargetColdReset:
		d := newDeadline(answer)
		for _, l := range v.luns {
			x := v.find(NewLUN(l))
			x.unit.reset(x, &d.drain)
			if m.Function == TargetColdReset {
				x.unit.forgetNexuses()
			}
		}
		d.leave()
		return
	}
	x := v.find(m.LUN)
	if x == nil {
		answer(LUNDoesNotExist)
		return
	}
	u := x.unit
	switch m.Function {
	case AbortTask:
		d := newDeadline(answer)
		x.abort(func(t *Task) bool { return t == m.Ref }, &d.drain, false)
		d.leave()
	case AbortTaskSet:
		d := newDeadline(answer)
		n := x.abort(func(*Task) bool { return true }, &d.drain, false)
		u.events.aborted(u, it.nexus, n, "abort-task-set")
		d.leave()
	case ClearTaskSet:
		d := newDeadline(answer)
		u.clearTaskSet(x, &d.drain)
		d.leave()
	case LogicalUnitReset:
		d := newDeadline(answer)
		u.reset(x, &d.drain)
		d.leave()
	case QueryTask:
		if x.has(func(t *Task) bool { return t == m.Ref }) {
			answer(FunctionSucceeded)
		} else {
			answer(FunctionComplete)
		}
	case QueryTaskSet:
		if x.has(func(*Task) bool { return true }) {
			answer(FunctionSucceeded)
		} else {
			answer(FunctionComplete)
		}
	case QueryAsyncEvent:
		if c := x.firstUA(false, false); c != nil {
			// UADE depth 1 would claim that only one is pending: 0 says nothing.
			done(FunctionSucceeded, uint32(c.Key)<<16|uint32(c.ASC)<<8|uint32(c.ASCQ))
		} else {
			answer(FunctionComplete)
		}
	default:
		answer(FunctionNotSupported)
	}
}

// deadline is a drain that answers complete when it empties and rejected when
// it takes too long, whichever comes first.
type deadline struct {
	drain
	once  sync.Once
	timer *time.Timer
}

func newDeadline(answer func(TMFResponse)) *deadline {
	d := &deadline{}
	d.left = 1
	d.done = func() {
		d.timer.Stop()
		d.once.Do(func() { answer(FunctionComplete) })
	}
	d.timer = time.AfterFunc(DrainLimit, func() {
		d.once.Do(func() { answer(FunctionRejected) })
	})
	return d
}

func (x *itl) has(match func(*Task) bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	for t := x.tasks; t != nil; t = t.next {
		if !t.doomed && match(t) {
			return true
		}
	}
	return false
}

// clearTaskSet aborts every task of the unit. Nexuses other than the asking
// one learn of it by TASK ABORTED or by a unit attention. SAM-5 7.5.
func (u *Unit) clearTaskSet(from *itl, d *drain) {
	told := u.conf.Load().tas
	for _, x := range u.live() {
		own := x == from
		n := x.abort(func(*Task) bool { return true }, d, told && !own)
		if n > 0 && !told && !own {
			x.raise(UACommandsCleared)
		}
		u.events.aborted(u, x.it.nexus, n, "clear-task-set")
	}
}

// forgetNexuses makes every nexus that comes find the unit just powered on.
// Reservations are another matter: they stand, or whoever was fenced could
// undo it by resetting the target.
func (u *Unit) forgetNexuses() {
	u.mu.Lock()
	clear(u.seen)
	u.mu.Unlock()
}

// reset is LOGICAL UNIT RESET. SAM-5 6.3.3: all tasks end, the legacy
// reservation and PREVENTs fall, mode parameters return to their defaults,
// every nexus gets a unit attention. Persistent reservations stay.
func (u *Unit) reset(from *itl, d *drain) {
	u.dropLegacy(pr.Op{Action: pr.LUReset}, d)
	u.resetMode()
	u.rods.clear()
	for _, x := range u.live() {
		n := x.abort(func(*Task) bool { return true }, d, false)
		x.mu.Lock()
		x.prevent = false
		x.forgetCopies()
		x.mu.Unlock()
		x.raise(UAReset)
		u.events.aborted(u, x.it.nexus, n, "logical-unit-reset")
	}
}
