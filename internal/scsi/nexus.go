package scsi

import (
	"sync"
	"sync/atomic"

	"nas-target/internal/pr"
)

// IT is a live I_T nexus: one logged-in initiator port at one target port.
// The transport submits its commands here. Several connections of one session
// share one IT.
type IT struct {
	nexus Nexus
	dev   *Device
	port  *Port

	view atomic.Pointer[view] // what this nexus sees; replaced whole

	mu       sync.Mutex // guards the fields below and changes of view
	detached bool
	peer     string
}

// SetPeer notes the network address behind the nexus, for the audit trail.
func (it *IT) SetPeer(addr string) {
	it.mu.Lock()
	it.peer = addr
	it.mu.Unlock()
}

// Peer returns the address noted last.
func (it *IT) Peer() string {
	it.mu.Lock()
	defer it.mu.Unlock()
	return it.peer
}

// view is an immutable LUN map with this nexus's state per LUN.
type view struct {
	low  []*itl // LUN 0..255, as far as mapped
	high map[uint16]*itl
	luns []uint16 // ascending
}

func (v *view) find(l LUN) *itl {
	i, ok := l.Index()
	if !ok {
		return nil
	}
	if int(i) < len(v.low) {
		return v.low[i]
	}
	return v.high[i]
}

// Nexus returns the identity of it.
func (it *IT) Nexus() Nexus { return it.nexus }

// itl is the state of one nexus at one logical unit (an I_T_L nexus).
type itl struct {
	unit *Unit
	it   *IT

	grant     atomic.Pointer[grant] // what this nexus may do, as of one Access
	uaPending atomic.Int32          // len(ua)
	inside    atomic.Int32          // tasks inside the gate, but for those of the control queue
	hold      atomic.Pointer[hold]  // commands wait while calls of this nexus's previous session are in the medium

	mu      sync.Mutex // guards all below; leaf lock
	ua      []*Check
	tasks   *Task         // every task from its first wait or its entry into the gate to its end
	listed  int           // tasks in tasks
	gated   int           // of them inside the gate
	closed  bool          // the nexus is gone; nothing enters any more
	prevent bool          // PREVENT ALLOW MEDIUM REMOVAL
	echo    []byte        // WRITE BUFFER; nil: never written
	copies  []*copyResult // oldest first

	Counters Counters
}

// grant caches the rights of one nexus for one Access.
type grant struct {
	of     *pr.Access
	rights pr.Rights
}

// rights returns what the nexus may do now: one atomic load and, unless the
// reservation changed since, one compare.
func (x *itl) rights() pr.Rights {
	a := x.unit.pr.Access()
	g := x.grant.Load()
	if g == nil || g.of != a {
		g = &grant{a, a.Rights(x.it.nexus)}
		x.grant.Store(g)
	}
	return g.rights
}

// refusal is the one reservation check: nil if a command of class c may run
// now. Without trustworthy reservation information only the few commands that
// the standard names may. SPC-4 r36f 5.13.5.2, 5.13.5.3.2.
func (x *itl) refusal(row *Command, c pr.Class) error {
	if x.rights().Allows(c) {
		return nil
	}
	switch x.grant.Load().of.Condition() {
	case pr.Normal:
		return errConflict
	case pr.InformationLost:
		if row.Flags&WithoutPR == 0 {
			return ErrPRLost
		}
	default:
		if row.Flags&WithoutPR == 0 || row.Op == 0x5f {
			return ErrManualIntervention
		}
	}
	return nil
}

func (x *itl) push(t *Task) {
	x.listed++
	t.prev, t.next = nil, x.tasks
	if x.tasks != nil {
		x.tasks.prev = t
	}
	x.tasks = t
}

func (x *itl) remove(t *Task) {
	x.listed--
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		x.tasks = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
}

// gone reports whether the nexus has ended.
func (x *itl) gone() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closed
}

// wait lists a task that waits: for its data or for a worker. An error is the
// task's end: the nexus is gone, or has too many.
func (x *itl) wait(t *Task, s taskState) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.list(t, s)
}

// list is wait with x.mu held.
func (x *itl) list(t *Task, s taskState) error {
	if x.closed || t.doomed {
		x.end(t)
		return errAborted
	}
	if t.state == taskNew {
		if x.listed >= maxNexusTasks && t.cmd.Flags&Control == 0 {
			t.state = taskEnded
			return errTaskSetFull
		}
		x.push(t)
	}
	t.state = s
	return nil
}

// enter is the gate: from here to leave, the task's call may be inside the
// medium, and whoever fences this nexus waits for it. The rights are looked
// at under the lock that the fence takes after it has published its new
// Access: a task is either seen by the fence or sees the fence.
func (x *itl) enter(t *Task, c pr.Class) error {
	x.mu.Lock()
	if x.closed || t.doomed {
		x.end(t)
		x.mu.Unlock()
		return errAborted
	}
	if err := x.refusal(t.cmd, c); err != nil {
		x.end(t)
		x.mu.Unlock()
		return err
	}
	if t.state == taskNew {
		x.push(t)
	}
	t.state = taskInGate
	x.gated++
	if t.cmd.Flags&Control == 0 {
		x.inside.Add(1)
	}
	x.mu.Unlock()
	return nil
}

// end takes a task that is not in the gate out of the list. x.mu is held.
func (x *itl) end(t *Task) {
	if t.state != taskNew {
		x.remove(t)
	}
	t.state = taskEnded
}

// leave ends a task that entered, or has it wait for a worker, and tells who
// waits for it. It reports whether the task was aborted meanwhile.
func (x *itl) leave(t *Task, move bool) (doomed bool) {
	x.mu.Lock()
	doomed = t.doomed
	if move && !doomed {
		t.state = taskQueued
	} else {
		x.end(t)
	}
	x.gated--
	last := t.cmd.Flags&Control == 0 && x.inside.Add(-1) == 0
	drains := t.drains
	t.drains = nil
	x.mu.Unlock()
	for _, d := range drains {
		d.leave()
	}
	if last && x.unit.data.waiting.Load() != 0 {
		x.unit.data.spare()
	}
	return doomed
}

// hold keeps the commands of a new session back until the calls of the
// nexus's previous session have left the medium, so that no stale write lands
// on a fresh one. RFC 7143 §6.3.5.
type hold struct {
	mu       sync.Mutex
	released bool
	tasks    []*Task
}

func (h *hold) park(t *Task) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.released {
		return false
	}
	h.tasks = append(h.tasks, t)
	return true
}

func (x *itl) unhold(h *hold) {
	h.mu.Lock()
	h.released = true
	tasks := h.tasks
	h.tasks = nil
	x.hold.Store(nil)
	h.mu.Unlock()
	for _, t := range tasks {
		x.unit.queueFor(t).add(t)
	}
}
