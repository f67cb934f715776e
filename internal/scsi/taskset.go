package scsi

import (
	"slices"
	"sync"
	"sync/atomic"

	"nas-target/internal/pr"
)

// The task set of a unit holds the tasks of all nexuses (TST=0). SIMPLE tasks
// run as they come. An ORDERED task runs after every older task has ended and
// before any newer one begins; HEAD OF QUEUE tasks go ahead of all that wait.
// SAM-5 8.6.
//
// While nobody sends ORDERED tasks, order costs one atomic load per command.
//
// Reservation commands, and commands that never wait for the medium, take no
// part: a host that hangs in the middle of an ORDERED write must not keep the
// others from fencing it.

// maxNexusTasks bounds the tasks of one nexus at one unit that wait; beyond it
// the answer is TASK SET FULL. It is more than a session's command window, so
// only an initiator with many sessions of one name meets it.
const maxNexusTasks = 1024

type taskSet struct {
	last atomic.Pointer[barrier] // of the newest ORDERED task that has not ended

	mu sync.Mutex // guards all barriers; taken after itl.mu
}

// barrier is an ORDERED task's place in the task set.
type barrier struct {
	task   *Task
	older  int        // what must end before task begins
	waits  bool       // task is parked here
	over   bool       // task has ended
	parked []*Task    // newer tasks
	next   []*barrier // of newer ORDERED tasks
}

// unordered tells the commands that take no part.
func (t *Task) unordered() bool {
	c := t.cmd.access(&t.CDB)
	return t.Attr == HeadOfQueue || c == pr.Always || c == pr.Status || c == pr.Persistent
}

// order gives a new task its place: behind the newest ORDERED task, or as
// that. Tasks that arrive at the same moment on other connections may be
// counted on either side.
func (u *Unit) order(t *Task) {
	if t.unordered() {
		return
	}
	s := &u.tasks
	if t.Attr != Ordered {
		t.behind = s.last.Load()
		return
	}
	b := &barrier{task: t, older: 1} // one for this function
	t.behind = b
	if before := s.last.Swap(b); before != nil {
		s.mu.Lock()
		if !before.over {
			before.next = append(before.next, b)
			b.older++
		}
		s.mu.Unlock()
	}
	for _, x := range u.live() {
		x.mu.Lock()
		for o := x.tasks; o != nil; o = o.next {
			if !o.unordered() {
				o.followers = append(o.followers, b)
				s.mu.Lock()
				b.older++
				s.mu.Unlock()
			}
		}
		x.mu.Unlock()
	}
	s.mu.Lock()
	b.pass()
	s.mu.Unlock()
}

// pass notes that something older has ended; it returns the task if that may
// begin now and waits for it. taskSet.mu is held.
func (b *barrier) pass() *Task {
	if b.older--; b.older == 0 && b.waits {
		b.waits = false
		return b.task
	}
	return nil
}

// park keeps t back if it is not its turn.
func (u *Unit) park(x *itl, t *Task) (parked bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s, b := &u.tasks, t.behind
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := b.task == t; own && b.older == 0 || !own && b.over {
		return false, nil
	}
	if err := x.list(t, taskQueued); err != nil {
		return false, err
	}
	if b.task == t {
		b.waits = true
	} else {
		b.parked = append(b.parked, t)
	}
	return true, nil
}

// unpark removes t if it is parked; its taker then owns its end.
func (u *Unit) unpark(t *Task) bool {
	s, b := &u.tasks, t.behind
	if b == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.task == t {
		waited := b.waits
		b.waits = false
		return waited
	}
	i := slices.Index(b.parked, t)
	if i < 0 {
		return false
	}
	b.parked = slices.Delete(b.parked, i, i+1)
	return true
}

// ended lets those go on that waited for t.
func (u *Unit) ended(t *Task) {
	own := t.behind != nil && t.behind.task == t
	if len(t.followers) == 0 && !own {
		return
	}
	s, ready := &u.tasks, []*Task(nil)
	passed := t.followers
	s.mu.Lock()
	if own {
		b := t.behind
		b.over = true
		ready, passed = b.parked, append(passed, b.next...)
		b.parked, b.next = nil, nil
		s.last.CompareAndSwap(b, nil)
	}
	for _, f := range passed {
		if o := f.pass(); o != nil {
			ready = append(ready, o)
		}
	}
	s.mu.Unlock()
	t.followers, t.behind = nil, nil
	for _, o := range ready {
		u.queueFor(o).add(o)
	}
}
