package scsi

import (
	"errors"
)

// Aborting a task means: its answer is never sent (or is TASK ABORTED), and
// once the abort is reported complete, nothing of it reaches the medium. A
// task outside the gate is ended at once. One inside cannot be recalled from
// the medium: it is marked, and whoever aborts waits for it with a drain.

var errAborted = errors.New("aborted")

// abort ends the tasks of x that match. Those inside the gate are marked and
// counted into d, if d is not nil. With told, the initiator gets TASK ABORTED
// instead of silence. It returns how many tasks it hit.
func (x *itl) abort(match func(*Task) bool, d *drain, told bool) int {
	var ended []*Task
	n := 0
	x.mu.Lock()
	for t := x.tasks; t != nil; {
		next := t.next
		if t.doomed || !match(t) {
			if t.doomed && d != nil && t.state == taskInGate && match(t) {
				t.drains = append(t.drains, d)
				d.add()
			}
			t = next
			continue
		}
		n++
		t.doomed = true
		t.tasError = told
		switch t.state {
		case taskWaiting:
			x.end(t)
			ended = append(ended, t)
		case taskQueued:
			if x.unit.queueFor(t).take(t) || x.unit.unpark(t) {
				x.end(t)
				ended = append(ended, t)
			} // else a worker or a hold has it and will find it doomed
		case taskInGate:
			if d != nil {
				t.drains = append(t.drains, d)
				d.add()
			}
		}
		t = next
	}
	x.mu.Unlock()
	for _, t := range ended {
		x.unit.finishAborted(t)
		t.Done(t)
	}
	return n
}

// drainInto makes d wait for the calls of x that are inside the gate and
// match; nil matches all.
func (x *itl) drainInto(d *drain, match func(*Task) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for t := x.tasks; t != nil; t = t.next {
		if t.state == taskInGate && (match == nil || match(t)) {
			t.drains = append(t.drains, d)
			d.add()
		}
	}
}

func (d *drain) add() {
	d.mu.Lock()
	d.left++
	d.mu.Unlock()
}

func (u *Unit) finishAborted(t *Task) {
	u.ended(t)
	t.In, t.Want = nil, 0
	if t.tasError {
		t.Status = TaskAborted
		t.Failure = errAborted
		return
	}
	t.Aborted = true
}
