package scsi

import (
	"sync"
	"sync/atomic"
)

// A unit's commands that would block go to its queues, served by bounded
// workers that own nothing: they run the task and call Done. Goroutines exist
// only while there is work, so an idle unit costs nothing.

const (
	unitWorkers    = 8   // concurrent calls of one unit from workers
	processWorkers = 160 // and of all units, beyond the first of each
	inlineCalls    = 4   // concurrent calls of one unit on transports' goroutines
)

var workersRunning atomic.Int32

type queue struct {
	max int

	mu      sync.Mutex
	head    *Task
	tail    *Task
	len     int
	running int
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
	q.len++
	start := q.running == 0 || q.running < q.max && workersRunning.Load() < processWorkers
	if start {
		q.running++
		workersRunning.Add(1)
	}
	q.mu.Unlock()
	if start {
		go q.work()
	}
}

// take removes t if it still waits; its taker then owns its end.
func (q *queue) take(t *Task) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	var before *Task
	for c := q.head; c != nil; before, c = c, c.qnext {
		if c != t {
			continue
		}
		if before == nil {
			q.head = c.qnext
		} else {
			before.qnext = c.qnext
		}
		if q.tail == c {
			q.tail = before
		}
		c.qnext = nil
		q.len--
		return true
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
		q.head = t.qnext
		if q.head == nil {
			q.tail = nil
		}
		t.qnext = nil
		q.len--
		q.mu.Unlock()

		t.unit.execute(t)
		t.Done(t)
	}
}
