package scsi

import (
	"sync"

	"nas-target/internal/pool"
	"nas-target/internal/pr"
)

// Nexus is the identity of an I_T nexus, a value.
type Nexus = pr.Nexus

// Progress says where Submit or Resume left a task.
type Progress uint8

const (
	// Finished: Result is final, Done is not called.
	Finished Progress = iota
	// NeedData: the command wants Need bytes of Data-Out; the transport
	// collects them into Out and calls Resume.
	NeedData
	// Pending: the task goes on elsewhere; Done is called exactly once.
	Pending
)

// Task is one SCSI command on its way through a logical unit. The transport
// owns the memory and may reuse a Task (after Reset) once it is Finished or
// Done has been called.
type Task struct {
	// Set by the transport before Submit, unchanged until the task ends.
	LUN     LUN
	CDB     [16]byte
	CDBMore []byte // bytes 16.. of a longer CDB
	Attr    Attr
	Tag     uint32 // the transport's name for the task, for events and logs
	InLen   uint32 // bytes the initiator will take (its expected length, R bit)
	OutLen  uint32 // bytes the initiator will give (its expected length, W bit)

	// Data-Out. Submit sees what came with the command; Resume sees
	// min(Need, OutLen) bytes. Borrowed says that Out is transport memory
	// which does not outlive the call: a unit that keeps the task copies it.
	Out      []byte
	OutBuf   *pool.Buf // backs Out, if not Borrowed; released by Reset
	Borrowed bool

	// Done tells the end of a Pending task, or of one that was aborted while
	// the transport was collecting its data. It may run on any goroutine and
	// must not block.
	Done func(*Task)

	// Result, valid once the task ended.
	Status   Status
	Sense    [MaxSense]byte
	SenseLen int
	In       []byte    // Data-In to send, at most InLen bytes
	InBuf    *pool.Buf // backs In; released by Reset
	Want     int64     // bytes the command itself calls for, both directions (SPDTL): residual = Want - expected length
	Aborted  bool      // no response may be sent
	Need     int       // Data-Out bytes wanted, when NeedData
	Failure  error     // why the status is not GOOD, for events; nil otherwise

	// Owned by the logical unit.
	cmd       *Command
	unit      *Unit
	conf      *conf // the unit's configuration this command runs under
	itl       *itl
	state     taskState
	doomed    bool // aborted while in the gate: the result will be dropped
	tasError  bool // answer TASK ABORTED instead of silence
	hurried   bool // on the transport's goroutine: return errElsewhere rather than wait
	begun     bool // has changed the medium: RESERVATION CONFLICT would be untrue
	drains    []*drain
	behind    *barrier   // an ORDERED task's own, or that of the newest ORDERED task before this one
	followers []*barrier // of newer ORDERED tasks
	next      *Task      // in itl.tasks
	prev      *Task
	qnext     *Task // in a work queue
}

type taskState uint8

const (
	taskNew     taskState = iota
	taskWaiting           // for Data-Out, in itl.tasks
	taskQueued            // for a worker or for its turn, in itl.tasks
	taskInGate            // its handler may be inside the medium, in itl.tasks
	taskEnded
)

// Reset makes t ready for the next command and gives its buffers back.
// Done and Borrowed memory stay the transport's.
func (t *Task) Reset() {
	t.OutBuf.Release()
	t.InBuf.Release()
	done := t.Done
	drains := t.drains[:0]
	sense := t.Sense // bytes beyond SenseLen are never read
	*t = Task{Done: done, drains: drains, Sense: sense}
}

// Unit returns the addressed logical unit, nil if the LUN is not mapped.
func (t *Task) Unit() *Unit { return t.unit }

// Nexus returns the I_T nexus the task came through.
func (t *Task) Nexus() Nexus { return t.itl.it.nexus }

// Command returns the opcode row, nil before dispatch or for unknown opcodes.
func (t *Task) Command() *Command { return t.cmd }

// Reserve readies a Data-In buffer for a command that transfers n bytes, and
// returns the part that the initiator takes: min(n, InLen) bytes.
func (t *Task) Reserve(n int) []byte {
	t.Want = int64(n)
	if n > int(t.InLen) {
		n = int(t.InLen)
	}
	if n == 0 {
		return nil
	}
	if t.InBuf == nil || cap(t.InBuf.B) < n {
		t.InBuf.Release()
		t.InBuf = pool.Get(n)
	}
	t.In = t.InBuf.B[:n]
	return t.In
}

// Reply answers with p cut to the CDB's allocation length. SPC-4 r37 4.2.5.6:
// cutting is no error and changes no length field.
func (t *Task) Reply(p []byte, allocation int) {
	if len(p) > allocation {
		p = p[:allocation]
	}
	copy(t.Reserve(len(p)), p)
}

// own copies borrowed Data-Out, for a task that outlives the call.
func (t *Task) own() {
	if !t.Borrowed {
		return
	}
	t.Borrowed = false
	if len(t.Out) == 0 {
		t.Out = nil
		return
	}
	b := pool.Get(len(t.Out))
	copy(b.B, t.Out)
	t.OutBuf, t.Out = b, b.B
}

// settle turns the handler's error into the task's result.
func (t *Task) settle(err error) {
	t.Failure = err
	if err == nil {
		t.Status = Good
		return
	}
	switch e := err.(type) {
	case *Check:
		t.fail(e)
	case *statusError:
		t.Status = e.status
		if e == errCondMet {
			t.Failure = nil
			return
		}
		t.dropIn()
	default:
		t.fail(ErrInternal.Because(err))
	}
}

func (t *Task) fail(c *Check) {
	t.Status = CheckCondition
	t.Failure = c
	t.SenseLen = len(c.AppendSense(t.Sense[:0], t.conf != nil && t.conf.descriptorSense))
	t.dropIn()
}

func (t *Task) dropIn() {
	t.In = nil
}

// drain waits for calls that are inside the gate to return.
type drain struct {
	mu   sync.Mutex
	left int
	done func() // called once, when left reaches zero
}

// waits reports whether calls have yet to return, to whoever holds one place.
func (d *drain) waits() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left > 1
}

func (d *drain) leave() {
	d.mu.Lock()
	d.left--
	end := d.left == 0
	d.mu.Unlock()
	if end {
		d.done()
	}
}
