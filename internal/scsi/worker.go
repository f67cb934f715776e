package scsi

import (
	"sync"
	"sync/atomic"
)

// A unit's commands that would block go to its queues, served by bounded
// workers that own nothing: they run the task and call Done. Goroutines exist
// only while there is work, so an idle unit costs nothing.
//
// All workers may be stuck in the medium with calls of one nexus. Others must
// not wait for it, least of all those who are fencing it: a nexus that has
// nothing in the gate gets a spare worker, one task at a time.

const (
	unitWorkers    = 32  // concurrent calls of one unit from workers: so many durable writes share a flush
	spareWorkers   = 16  // and for nexuses that would have none
	processWorkers = 320 // and of all units, beyond the first of each
	inlineCalls    = 4   // concurrent calls of one unit on transports' goroutines
)

// Every call that can be inside a medium has a slot of the range lock.
const _ uint = lockSlots - unitWorkers - spareWorkers - inlineCalls

var workersRunning atomic.Int32

type queue struct {
	max    int
	spares int // beyond max

	waiting atomic.Int32 // len, for a look without the lock

	mu      sync.Mutex
	head    *Task
	tail    *Task
	len     int
	running int
	sparing int // spare workers running
}

func (q *queue) add(t *Task) {
	q.mu.Lock()
	switch t.qnext = nil; {
	case q.tail == nil:
		q.head, q.tail = t, t
	case t.Attr == HeadOfQueue:
		t.qnext, q.head = q.head, t
	default:
		q.tail.qnext, q.tail = t, t
	}
	q.count(1)
	start := q.running == 0 || q.running < q.max && workersRunning.Load() < processWorkers
	if start {
		q.running++
		workersRunning.Add(1)
	}
	q.mu.Unlock()
	if start {
		go q.work()
	} else {
		q.spare()
	}
}

// count notes n more tasks. q.mu is held.
func (q *queue) count(n int) {
	q.len += n
	q.waiting.Store(int32(q.len))
}

// spare starts a spare worker if there is something for it to do.
func (q *queue) spare() {
	q.mu.Lock()
	var t *Task
	if q.sparing < q.spares && workersRunning.Load() < processWorkers {
		t = q.neglected()
	}
	if t != nil {
		q.sparing++
		workersRunning.Add(1)
	}
	q.mu.Unlock()
	if t != nil {
		go q.workSpare(t)
	}
}

// neglected takes the first task of a nexus that has nothing in the gate, nil
// if there is none. q.mu is held.
func (q *queue) neglected() *Task {
	var before *Task
	for t := q.head; t != nil; before, t = t, t.qnext {
		if t.itl.inside.Load() == 0 {
			q.unlink(before, t)
			return t
		}
	}
	return nil
}

func (q *queue) workSpare(t *Task) {
	for t != nil {
		t.unit.execute(t)
		t.Done(t)
		q.mu.Lock()
		if t = q.neglected(); t == nil {
			q.sparing--
			workersRunning.Add(-1)
		}
		q.mu.Unlock()
	}
}

// unlink takes t, which stands behind before, out of the list. q.mu is held.
func (q *queue) unlink(before, t *Task) {
	if before == nil {
		q.head = t.qnext
	} else {
		before.qnext = t.qnext
	}
	if q.tail == t {
		q.tail = before
	}
	t.qnext = nil
	q.count(-1)
}

// take removes t if it still waits; its taker then owns its end.
func (q *queue) take(t *Task) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	var before *Task
	for c := q.head; c != nil; before, c = c, c.qnext {
		if c == t {
			q.unlink(before, c)
			return true
		}
	}
	return false
}

func (q *queue) work() {
	for {
		q.mu.Lock()
		t := q.head
		if t == nil {
			q.running--
			workersRunning.Add(-1)
			q.mu.Unlock()
			return
		}
		q.unlink(nil, t)
		q.mu.Unlock()

		t.unit.execute(t)
		t.Done(t)
	}
}
