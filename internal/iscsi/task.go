package iscsi

import (
	"sync/atomic"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pool"
	"nas-target/internal/scsi"
)

// stage is where a task stands on its way through its connection.
type stage uint8

const (
	stageFree      stage = iota
	stageReady           // decoded, waits to be submitted
	stageSubmitted       // at the SCSI layer
	stageData            // the SCSI layer waits for data we collect
	stageDone            // has a result; promised data may still have to come
	stageFenced          // has a result that waits for other connections
	stageSending         // in the queue of answers
	stageSent            // the last PDU is in the outbox
)

// task is a SCSI command on its way through a connection. The serve role owns
// it, but for what the embedded scsi.Task gives to the SCSI layer. A task owns
// its buffers until its last byte is written.
type task struct {
	scsi scsi.Task
	c    *conn

	itt      uint32
	cmdSN    pdu.Serial
	edtl     uint32 // expected data transfer length
	bidiRead uint32 // expected data-in of a bidirectional command
	bidi     bool
	numbered bool // holds a slot of the command window
	baton    bool // the next request waits until this one is submitted
	stage    stage
	borrowed bool   // Data-Out lies in the receive buffer
	adrift   bool   // its inline call was left behind and has not returned
	awaited  []*tmf // to be told when it has
	unlisted bool   // not in the table of tasks any more
	dropped  bool   // nothing of it may be sent any more
	endedBy  *tmf   // the function that did so
	placing  int    // Data-Out PDUs whose data are being read into its buffer
	gone     bool   // over, but for those
	charge   int    // bytes of the connection's budget
	aside    bool   // for data that came before it was submitted
	started  int64

	out dataOut

	// Data-In.
	sent   uint32 // bytes sent
	dataSN uint32 // Data-In and R2T PDUs sent

	hashNext *task
	next     *task // in one of the connection's queues
	doneNext *task // in doneStack
}

// newTask makes a task. Tasks are reused, so the closure is made once.
func newTask(c *conn) *task {
	t := &task{c: c}
	t.scsi.Done = func(*scsi.Task) { c.finished(t) }
	return t
}

// reset makes t ready for the free list. Its buffers go back to the pool.
func (t *task) reset() {
	t.scsi.Reset()
	t.out.reset()
	t.stage = stageFree
	t.bidiRead, t.charge, t.sent, t.dataSN = 0, 0, 0, 0
	t.bidi, t.borrowed, t.unlisted, t.dropped, t.gone = false, false, false, false, false
	t.awaited, t.endedBy = nil, nil
}

// fifo is a queue of tasks through next. A task is in at most one.
type fifo struct{ head, tail *task }

func (q *fifo) push(t *task) {
	t.next = nil
	if q.tail == nil {
		q.head = t
	} else {
		q.tail.next = t
	}
	q.tail = t
}

func (q *fifo) pushFront(t *task) {
	t.next = q.head
	q.head = t
	if q.tail == nil {
		q.tail = t
	}
}

func (q *fifo) pop() *task {
	t := q.head
	if t == nil {
		return nil
	}
	q.head = t.next
	if q.head == nil {
		q.tail = nil
	}
	t.next = nil
	return t
}

// remove takes t out, wherever it stands.
func (q *fifo) remove(t *task) bool {
	var before *task
	for x := q.head; x != nil; before, x = x, x.next {
		if x != t {
			continue
		}
		if before == nil {
			q.head = t.next
		} else {
			before.next = t.next
		}
		if q.tail == t {
			q.tail = before
		}
		t.next = nil
		return true
	}
	return false
}

// doneStack collects tasks that ended elsewhere. Any goroutine pushes; the
// serve role takes all at once. No locks, no memory.
type doneStack struct{ head atomic.Pointer[task] }

func (s *doneStack) push(t *task) {
	for {
		h := s.head.Load()
		t.doneNext = h
		if s.head.CompareAndSwap(h, t) {
			return
		}
	}
}

func (s *doneStack) empty() bool { return s.head.Load() == nil }

// takeAll returns the tasks in the order they were pushed, linked by doneNext.
func (s *doneStack) takeAll() *task {
	t := s.head.Swap(nil)
	var first *task
	for t != nil {
		next := t.doneNext
		t.doneNext, first = first, t
		t = next
	}
	return first
}

const taskBuckets = 128

// taskTable finds live tasks by ITT.
type taskTable struct {
	bucket [taskBuckets]*task
	n      int
}

// slot spreads tags that differ in any of their bytes: initiators put a
// counter, an index or an age into different ones.
func slot(itt uint32) int {
	return int((itt^itt>>8^itt>>16^itt>>24)*0x9e3779b1>>16) % taskBuckets
}

func (h *taskTable) find(itt uint32) *task {
	for t := h.bucket[slot(itt)]; t != nil; t = t.hashNext {
		if t.itt == itt {
			return t
		}
	}
	return nil
}

func (h *taskTable) add(t *task) {
	b := &h.bucket[slot(t.itt)]
	t.hashNext, *b = *b, t
	h.n++
}

func (h *taskTable) remove(t *task) {
	for p := &h.bucket[slot(t.itt)]; *p != nil; p = &(*p).hashNext {
		if *p == t {
			*p, t.hashNext = t.hashNext, nil
			h.n--
			return
		}
	}
}

// each calls f for every live task; f may remove the task it is given.
func (h *taskTable) each(f func(*task)) {
	for i := range h.bucket {
		for t := h.bucket[i]; t != nil; {
			next := t.hashNext
			f(t)
			t = next
		}
	}
}

// heldPDU is a request that came before its turn, with its own copy of
// everything.
type heldPDU struct {
	c    *conn
	h    pdu.BHS
	ahs  []byte
	data []byte
	buf  *pool.Buf // backs data
}

// book draws the data of p from the process's limit: no connection's budget
// bounds what came before its turn, only the window does.
func (p *heldPDU) book() bool {
	s := p.c.srv
	if s.memory.Add(int64(len(p.data))) > int64(s.opt.ProcessBytes) {
		p.unbook()
		return false
	}
	return true
}

func (p *heldPDU) unbook() { p.c.srv.memory.Add(-int64(len(p.data))) }

// drop ends p without its turn.
func (p *heldPDU) drop() {
	p.unbook()
	p.buf.Release()
}
