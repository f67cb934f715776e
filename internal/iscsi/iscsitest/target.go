package iscsitest

import (
	"encoding/binary"
	"runtime"
	"sync"

	"nas-target/internal/scsi"
)

// Target is a nexus with one unit at LUN 0 that knows TEST UNIT READY, READ
// (10) and WRITE (10), with blocks of 512 bytes. It has room for
// every LBA, and keeps to the contract of scsi.IT. All hooks may be nil.
type Target struct {
	// Enter is called at the start of each call with the task; it may block,
	// as a medium would, and may take the task over by returning false with
	// what Submit or Resume is to return.
	Enter func(t *scsi.Task, resume bool) (p scsi.Progress, goOn bool)
	// OnManage sees every task management function first; if it returns
	// true, it answers itself.
	OnManage func(m scsi.TaskMgmt, done func(scsi.TMFResponse, uint32)) bool

	mu       sync.Mutex
	waiting  map[*scsi.Task]bool // for data, or taken over by a hook
	inside   map[*scsi.Task]bool // in Enter
	aborted  map[*scsi.Task]bool // while inside
	drains   []func()
	data     map[uint32]*[512]byte
	detached bool
	managed  []scsi.TaskMgmt
	writes   []Write
}

// Write is a write that reached the medium.
type Write struct {
	LBA    uint32
	Blocks int
	First  byte // of its data
}

// NewTarget returns an empty target.
func NewTarget() *Target {
	return &Target{
		waiting: map[*scsi.Task]bool{}, inside: map[*scsi.Task]bool{}, aborted: map[*scsi.Task]bool{},
		data: map[uint32]*[512]byte{},
	}
}

// Writes returns what reached the medium so far.
func (x *Target) Writes() []Write {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]Write(nil), x.writes...)
}

// Managed returns the task management functions seen so far.
func (x *Target) Managed() []scsi.TaskMgmt {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]scsi.TaskMgmt(nil), x.managed...)
}

// Detached reports whether the nexus was given up.
func (x *Target) Detached() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.detached
}

// Block returns a copy of a block of the medium.
func (x *Target) Block(lba uint32) [512]byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	return *x.block(lba)
}

var zeros [512]byte

// block returns a block, which is only read. x.mu is held.
func (x *Target) block(lba uint32) *[512]byte {
	if b := x.data[lba]; b != nil {
		return b
	}
	return &zeros
}

// Submit implements iscsi.Target.
func (x *Target) Submit(t *scsi.Task) scsi.Progress { return x.call(t, false) }

// Resume implements iscsi.Target.
func (x *Target) Resume(t *scsi.Task) scsi.Progress {
	x.mu.Lock()
	gone := !x.waiting[t]
	delete(x.waiting, t)
	x.mu.Unlock()
	if gone {
		return scsi.Pending
	}
	return x.call(t, true)
}

func (x *Target) call(t *scsi.Task, resume bool) scsi.Progress {
	x.mu.Lock()
	x.inside[t] = true
	x.mu.Unlock()
	p, goOn := scsi.Finished, true
	if x.Enter != nil {
		p, goOn = x.Enter(t, resume)
	}
	x.mu.Lock()
	switch {
	case !goOn:
		if p == scsi.Pending {
			x.waiting[t] = true
		}
	case x.detached || x.aborted[t]:
		t.Aborted, t.In, t.Want = true, nil, 0
	default:
		p = x.execute(t)
	}
	delete(x.inside, t)
	delete(x.aborted, t)
	var over []func()
	if len(x.inside) == 0 {
		over, x.drains = x.drains, nil
	}
	x.mu.Unlock()
	for _, f := range over {
		f()
	}
	return p
}

func (x *Target) execute(t *scsi.Task) scsi.Progress {
	if i, ok := t.LUN.Index(); !ok || i != 0 {
		return check(t, scsi.ErrLUNNotSupported)
	}
	lba := binary.BigEndian.Uint32(t.CDB[2:])
	n := int(binary.BigEndian.Uint16(t.CDB[7:]))
	if (t.CDB[0] == 0x28 || t.CDB[0] == 0x2a) && n*512 > scsi.DefaultMaxTransfer {
		return check(t, scsi.ErrInvalidField)
	}
	switch t.CDB[0] {
	case 0x00:
	case 0x28:
		p := t.Reserve(n * 512)
		for i := 0; i*512 < len(p); i++ {
			copy(p[i*512:], x.block(lba + uint32(i))[:])
		}
	case 0x2a:
		t.Need, t.Want = n*512, int64(n*512)
		if t.Need > int(t.OutLen) {
			return check(t, scsi.ErrInvalidIU)
		}
		if len(t.Out) < t.Need {
			x.waiting[t] = true
			return scsi.NeedData
		}
		for i := range n {
			b := [512]byte(t.Out[i*512:])
			x.data[lba+uint32(i)] = &b
		}
		w := Write{LBA: lba, Blocks: n}
		if n > 0 {
			w.First = t.Out[0]
		}
		x.writes = append(x.writes, w)
	default:
		return check(t, scsi.ErrInvalidOpcode)
	}
	t.Status = scsi.Good
	return scsi.Finished
}

func check(t *scsi.Task, c *scsi.Check) scsi.Progress {
	t.Status, t.Failure, t.In = scsi.CheckCondition, c, nil
	t.SenseLen = len(c.AppendSense(t.Sense[:0], false))
	if c != scsi.ErrInvalidIU {
		t.Want = 0
	}
	return scsi.Finished
}

// Finish ends a task that a hook took over with Pending, as a worker would:
// its Done runs here, not before the hook's call has returned.
func (x *Target) Finish(t *scsi.Task) {
	x.mu.Lock()
	for x.inside[t] {
		x.mu.Unlock()
		runtime.Gosched()
		x.mu.Lock()
	}
	if !x.waiting[t] {
		x.mu.Unlock()
		return // aborted meanwhile
	}
	delete(x.waiting, t)
	x.execute(t)
	x.mu.Unlock()
	t.Done(t)
}

// Manage implements iscsi.Target.
func (x *Target) Manage(m scsi.TaskMgmt, done func(scsi.TMFResponse, uint32)) {
	x.mu.Lock()
	x.managed = append(x.managed, m)
	hook := x.OnManage
	x.mu.Unlock()
	if hook != nil && hook(m, done) {
		return
	}
	match := func(t *scsi.Task) bool { return t.LUN == m.LUN }
	switch m.Function {
	case scsi.AbortTask:
		match = func(t *scsi.Task) bool { return t == m.Ref }
	case scsi.TargetWarmReset, scsi.TargetColdReset:
		match = func(*scsi.Task) bool { return true }
	case scsi.AbortTaskSet, scsi.ClearTaskSet, scsi.LogicalUnitReset:
	case scsi.QueryTaskSet:
		x.mu.Lock()
		n := len(x.waiting) + len(x.inside)
		x.mu.Unlock()
		if n > 0 {
			done(scsi.FunctionSucceeded, 0)
		} else {
			done(scsi.FunctionComplete, 0)
		}
		return
	case scsi.QueryAsyncEvent:
		done(scsi.FunctionSucceeded, 0x062901)
		return
	default:
		done(scsi.FunctionNotSupported, 0)
		return
	}
	if i, ok := m.LUN.Index(); m.Function != scsi.TargetWarmReset && m.Function != scsi.TargetColdReset && (!ok || i != 0) {
		done(scsi.LUNDoesNotExist, 0)
		return
	}
	x.abort(match, func() { done(scsi.FunctionComplete, 0) })
}

// abort ends the tasks that match and calls over when none of them is inside.
func (x *Target) abort(match func(*scsi.Task) bool, over func()) {
	var ended []*scsi.Task
	x.mu.Lock()
	for t := range x.waiting {
		if match(t) {
			delete(x.waiting, t)
			ended = append(ended, t)
		}
	}
	busy := false
	for t := range x.inside {
		if match(t) {
			x.aborted[t], busy = true, true
		}
	}
	if busy {
		x.drains = append(x.drains, over)
	}
	x.mu.Unlock()
	for _, t := range ended {
		t.Aborted, t.In, t.Want = true, nil, 0
		t.Done(t)
	}
	if !busy {
		over()
	}
}

// Detach implements iscsi.Target.
func (x *Target) Detach() {
	x.mu.Lock()
	x.detached = true
	x.mu.Unlock()
	x.abort(func(*scsi.Task) bool { return true }, func() {})
}
