package scsi

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"nas-target/internal/pr"
)

// Identity is what a logical unit says it is: the same on every path, for
// ever, whatever its order, its backing path or its host.
type Identity struct {
	Name     string // the operator's name, for logs
	UUID     [16]byte
	NAA      []byte // 8 or 16 bytes
	Serial   string // ASCII
	Vendor   string // at most 8 characters
	Product  string // at most 16
	Revision string // at most 4
}

// UnitConfig describes a logical unit at its birth.
type UnitConfig struct {
	Identity
	BlockSize     int // 512 or 4096 bytes
	PhysicalBlock int // bytes; 0: the larger of 4096 and BlockSize
	ReadOnly      bool
	WriteCache    bool // WCE: GOOD before the data are durable
	Rotational    bool
	Thin          bool  // UNMAP and friends deallocate, if the medium can
	MaxTransfer   int   // bytes of one command; 0: DefaultMaxTransfer
	UnmapUnit     int   // allocation unit of the medium, bytes; 0: PhysicalBlock
	UnmapOffset   int   // of the first allocation unit, bytes
	EraseSpeed    int64 // bytes per second that FORMAT UNIT and SANITIZE write; 0: as many as they can
	Events        *Events

	// SetAccess, if not nil, lets initiators change ALUA states by SET TARGET
	// PORT GROUPS. It makes the change possible, or its error refuses it.
	SetAccess func(states map[uint16]AccessState) error

	// Memory is what the unit remembered last. Remember saves it and returns
	// once it survives a power cut; without it the commands that depend on
	// memory do not exist.
	Memory   Memory
	Remember func(Memory) error
}

// DefaultMaxTransfer is MAXIMUM TRANSFER LENGTH, in bytes.
const DefaultMaxTransfer = 8 << 20

// Unit is a logical unit: a medium, its reservations and its task set.
type Unit struct {
	id     Identity
	medium Medium
	caps   caps
	pr     *pr.Unit
	events *Events

	setAccess  func(map[uint16]AccessState) error
	eraseSpeed int64 // bytes per second; 0: no limit

	conf   atomic.Pointer[conf] // what I/O reads; replaced whole, under mu
	inline atomic.Int32         // calls on transports' goroutines
	data   queue
	ctl    queue // one worker: PR OUT and what must not wait behind data

	born     uint64 // order of birth among units
	rods     rods
	tasks    taskSet
	ranges   *rangeLock
	behind   background
	memory   memory
	space    spaceWatch
	progress atomic.Uint32 // of what made the unit not ready, 0..65535

	mu      sync.Mutex // guards all below and changes of conf
	nexuses []*itl
	past    Totals         // of nexuses that are gone
	seen    map[Nexus]bool // had a session since start
}

// conf is an immutable picture of a unit's configuration.
type conf struct {
	blockSize   uint32
	shift       uint8 // log2 blockSize
	physExp     uint8
	blocks      uint64
	maxTransfer uint64 // blocks
	atomic      atomicity
	readOnly    bool
	rotational  bool
	thin        bool
	counted     bool // thin, and the storage tells how much space is left
	modeParams
	defaults modeParams // what a reset brings back

	unmapGranularity uint32                // blocks
	unmapAlignment   uint32                // blocks
	groups           map[uint16]groupState // of target port groups whose state was ever changed; immutable

	clockSet    bool  // SET TIMESTAMP
	clockOffset int64 // against the host's clock, milliseconds

	failed   *Check // latched: a flush failed and nobody cleared it
	notReady *Check // an erase goes on or has failed
}

// NewUnit builds a logical unit on m, with reservations r.
func NewUnit(c UnitConfig, m Medium, r *pr.Unit) (*Unit, error) {
	u := &Unit{id: c.Identity, medium: m, caps: capsOf(m), pr: r, events: c.Events, seen: map[Nexus]bool{}}
	if u.events == nil {
		u.events = &Events{}
	}
	u.data.max, u.data.spares, u.ctl.max = unitWorkers, spareWorkers, 1
	u.id.complete()
	u.ranges = newRangeLock()
	u.behind.stop = make(chan struct{})
	u.eraseSpeed = c.EraseSpeed
	u.born = unitsBuilt.Add(1)
	u.setAccess = c.SetAccess
	u.memory.now, u.memory.save = c.Memory, c.Remember
	f := &conf{readOnly: c.ReadOnly, rotational: c.Rotational, thin: c.Thin && u.caps.thin, modeParams: modeParams{writeCache: c.WriteCache}}
	switch c.BlockSize {
	case 512:
		f.shift = 9
	case 4096:
		f.shift = 12
	default:
		return nil, fmt.Errorf("block size %d: want 512 or 4096", c.BlockSize)
	}
	f.blockSize = 1 << f.shift
	phys := c.PhysicalBlock
	if phys == 0 {
		phys = max(4096, c.BlockSize)
	}
	for 1<<(f.shift+f.physExp) < phys {
		f.physExp++
	}
	if 1<<(f.shift+f.physExp) != phys {
		return nil, fmt.Errorf("physical block size %d: want a power of two of at least %d", phys, c.BlockSize)
	}
	if c.UnmapUnit == 0 {
		c.UnmapUnit = phys
	}
	f.unmapGranularity = uint32(c.UnmapUnit >> f.shift)
	f.unmapAlignment = uint32(c.UnmapOffset >> f.shift)
	if c.MaxTransfer == 0 {
		c.MaxTransfer = DefaultMaxTransfer
	}
	f.maxTransfer = uint64(c.MaxTransfer) >> f.shift
	f.atomic = u.caps.atomicityOf(f.shift, f.maxTransfer)
	f.blocks = uint64(m.Size()) >> f.shift
	if f.counted = f.thin && u.caps.account != nil; f.counted {
		f.thresholds = defaultThresholds(f.blocks << f.shift)
	}
	f.defaults = f.modeParams
	if f.blocks == 0 {
		return nil, fmt.Errorf("medium of %d bytes is smaller than one block", m.Size())
	}
	if e := u.memory.now.Erase; e.Kind != EraseNone {
		f.notReady = e.sense()
	}
	u.conf.Store(f)
	if e := u.memory.now.Erase; e.Kind != EraseNone && !e.Failed {
		u.goErase(e)
	}
	return u, nil
}

// ID returns the identity of u.
func (u *Unit) ID() Identity { return u.id }

// Reservations returns the reservation manager of u.
func (u *Unit) Reservations() *pr.Unit { return u.pr }

// change replaces the configuration by a changed copy.
func (u *Unit) change(f func(*conf)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := *u.conf.Load()
	f(&c)
	u.conf.Store(&c)
}

// submit takes a new task: the checks in the order the standards give, then
// its data if it wants any, then its work.
func (u *Unit) submit(x *itl, t *Task) Progress {
	t.itl, t.unit, t.conf = x, u, u.conf.Load()
	need, err := u.admit(x, t)
	if err != nil {
		return u.finish(t, err)
	}
	t.Need = need
	if t.Attr == Ordered || u.tasks.last.Load() != nil {
		u.order(t)
	}
	if len(t.Out) < need {
		t.own()
		if err := x.wait(t, taskWaiting); err != nil {
			return u.finish(t, err)
		}
		return NeedData
	}
	return u.dispatch(x, t)
}

// admit makes the checks that need no data. SPC-4 r37 5.13.1, SAM-5 5.3.3 for
// their precedence: reset unit attentions, reservation conflict, other unit
// attentions, readiness, then the CDB's own fields.
func (u *Unit) admit(x *itl, t *Task) (need int, err error) {
	row, bad := lookup(&t.CDB)
	if row != nil && row.Enabled != nil && !row.Enabled(u) {
		if bad = ErrInvalidOpcode; row.HasSA {
			bad = ErrInvalidField.AtCDB(1, 4)
		}
		row = nil
	}
	if row == nil {
		if x.uaPending.Load() != 0 {
			if ua := x.firstUA(true, false); ua != nil {
				return 0, ua
			}
		}
		return 0, bad
	}
	t.cmd = row
	ua := row.Flags&NoUA == 0 && x.uaPending.Load() != 0
	if ua {
		if c := x.firstUA(true, true); c != nil {
			return 0, c
		}
	}
	if err := x.refusal(row, row.access(&t.CDB)); err != nil {
		return 0, err
	}
	if ua {
		if c := x.firstUA(true, false); c != nil {
			return 0, c
		}
	}
	if err := u.ready(row, t); err != nil {
		return 0, err
	}
	if c := row.checkBits(&t.CDB); c != nil {
		return 0, c
	}
	if t.Attr >= ACA {
		return 0, ErrInvalidField // there is never an auto contingent allegiance
	}
	if err := u.fits(row, t); err != nil {
		return 0, err
	}
	if row.Dir != DataOut {
		return 0, nil
	}
	switch {
	case row.OutBytes != nil:
		need, err = row.OutBytes(t)
	case row.Blocks.Len != 0:
		need = t.writeBytes()
	default:
		need = int(row.Length.In(&t.CDB))
		if need > MaxParameterList {
			return 0, ErrParameterListLength
		}
	}
	if err == nil && need > int(t.OutLen) {
		t.Want = int64(need)
		err = ErrInvalidIU
	}
	if err == nil && t.Want == 0 {
		t.Want = int64(need)
	}
	return need, err
}

// writeBytes is how many bytes of Data-Out a write takes: all its blocks, or
// as many whole ones as the initiator gives. The overflow in the answer tells
// of the others; libiscsi demands it so. RFC 7143 §11.4.5.
func (t *Task) writeBytes() int {
	need := int(t.blocks()) << t.conf.shift
	if short := int(t.OutLen); short < need && short&(int(t.conf.blockSize)-1) == 0 {
		t.Want = int64(need)
		return short
	}
	return need
}

// MaxParameterList bounds a parameter list, in bytes: memory is promised only
// below it.
const MaxParameterList = 1 << 20

// ready refuses what the state of the unit does not allow now.
func (u *Unit) ready(row *Command, t *Task) error {
	if t.conf.groups != nil {
		if c := t.accessible(row); c != nil {
			return c
		}
	}
	c := u.notReady(t)
	if c == nil || row.Flags&WhileSanitize != 0 || row.Flags&AfterErase != 0 && eraseFailed(c) {
		return nil
	}
	return c
}

// notReady returns why the unit serves nothing now, with how far it has come.
func (u *Unit) notReady(t *Task) *Check {
	c := t.conf.notReady
	if c == nil || c.Key != KeyNotReady {
		return c
	}
	return c.WithProgress(uint16(u.progress.Load()))
}

// fits refuses what the unit's present configuration does not take: writes to
// a read-only unit, ranges beyond its end.
func (u *Unit) fits(row *Command, t *Task) error {
	if row.Flags&Writes != 0 {
		if t.conf.readOnly || t.conf.swp {
			return ErrWriteProtected
		}
		if c := t.conf.failed; c != nil {
			return c
		}
	}
	if row.LBA.Len != 0 {
		return u.checkRange(row, t)
	}
	return nil
}

// checkRange refuses what does not fit the medium. SBC-4 r22 4.18: INFORMATION
// is the first invalid LBA.
func (u *Unit) checkRange(row *Command, t *Task) error {
	lba, n := t.lba(), t.blocks()
	f := t.conf
	if n > f.maxTransfer && row.Flags&AnyLength == 0 {
		return ErrInvalidField.AtCDB(int(row.Blocks.At), 7)
	}
	if lba > f.blocks || lba == f.blocks || n > f.blocks-lba {
		first := lba
		if lba < f.blocks {
			first = f.blocks
		}
		return ErrLBAOutOfRange.WithInfo(first)
	}
	return nil
}

// lba and blocks read the range fields of the task's CDB.
func (t *Task) lba() uint64 {
	lba := t.cmd.LBA.In(&t.CDB)
	if t.cmd.size == 6 {
		lba &= 1<<21 - 1
	}
	return lba
}

func (t *Task) blocks() uint64 {
	n := t.cmd.Blocks.In(&t.CDB)
	if n == 0 && t.cmd.size == 6 {
		return 256 // READ(6), WRITE(6): SBC-4 r22 5.11
	}
	return n
}

// dispatch runs a task that has its data. A command that does not touch the
// medium runs here, always: a stuck disk must not delay TEST UNIT READY. One
// that does runs here too while only few calls are inside the medium this way;
// what is known to wait for the disk, and everything beyond, goes to the
// unit's workers.
func (u *Unit) dispatch(x *itl, t *Task) Progress {
	row := t.cmd
	if t.behind != nil {
		t.own()
		if parked, err := u.park(x, t); parked {
			return Pending
		} else if err != nil {
			return u.finish(t, err)
		}
	}
	away := row.Flags&(Slow|Control) != 0 || row.Defer != nil && row.Defer(t)
	if !away && row.LBA.Len == 0 {
		u.execute(t)
		return Finished
	}
	h := x.hold.Load()
	if h == nil && !away {
		t.hurried = u.inline.Add(1) <= inlineCalls
		moved := !t.hurried || u.execute(t)
		u.inline.Add(-1)
		if !moved {
			return Finished
		}
		t.hurried = false
	}
	t.own()
	if err := x.wait(t, taskQueued); err != nil {
		return u.finish(t, err)
	}
	// Reservation commands are not in the medium, and must not wait for it:
	// who lost its path to a stuck disk may be the one that has to fence.
	if h != nil && row.Flags&Control == 0 && h.park(t) {
		return Pending
	}
	u.queueFor(t).add(t)
	return Pending
}

func (u *Unit) queueFor(t *Task) *queue {
	if t.cmd.Flags&Control != 0 {
		return &u.ctl
	}
	return &u.data
}

// errElsewhere is a hurried handler's answer when it would have to wait: it
// has done nothing and is run again by a worker.
var errElsewhere = errors.New("would wait")

// execute runs a task inside the gate and settles its result, unless the
// handler asks to be moved to where it may wait.
func (u *Unit) execute(t *Task) (move bool) {
	x := t.itl
	class := t.cmd.access(&t.CDB)
	if t.state == taskNew && (class == pr.Always || class == pr.Status) {
		u.finish(t, t.call()) // nobody fences these, and they are done before anyone can ask
		return false
	}
	if err := x.enter(t, class); err != nil {
		u.finish(t, err)
		return false
	}
	err := u.recheck(t)
	if err == nil {
		err = t.call()
	}
	move = err == errElsewhere
	if x.leave(t, move) {
		err, move = errAborted, false
	}
	if !move {
		u.finish(t, err)
	}
	return move
}

// recheck looks again at what the configuration decides, if it has changed
// since the task was admitted. Inside the gate this is final: who changes the
// configuration and then drains the gate knows that nothing of the old one is
// left.
func (u *Unit) recheck(t *Task) error {
	f := u.conf.Load()
	if f == t.conf {
		return nil
	}
	t.conf = f
	if err := u.ready(t.cmd, t); err != nil {
		return err
	}
	return u.fits(t.cmd, t)
}

// call runs the handler; its panic becomes HARDWARE ERROR. A broken invariant
// of the reservation engine is not survived: a target that may have forgotten
// a fence must not go on.
func (t *Task) call() (err error) {
	defer func() {
		if r := recover(); r != nil {
			if pr.IsBroken(r) {
				panic(r)
			}
			err = ErrInternal.Because(fmt.Errorf("panic in %s: %v", t.cmd.Name, r))
			if t.unit != nil {
				t.unit.events.panicked(t, r, debug.Stack())
			}
		}
	}()
	return t.cmd.Run(t)
}

// finish turns err into the task's result and counts it.
func (u *Unit) finish(t *Task, err error) Progress {
	if err == errAborted {
		u.finishAborted(t)
		return Finished
	}
	want := t.Want
	t.settle(err)
	u.ended(t)
	if t.Failure == nil {
		c := &t.itl.Counters
		c.Commands[t.cmd.Class].Add(1)
		switch t.cmd.Class {
		case ClassRead:
			c.ReadByte.Add(uint64(len(t.In)))
		case ClassWrite:
			c.WriteByte.Add(uint64(want))
		}
		return Finished
	}
	if err != ErrInvalidIU {
		t.Want = 0
	}
	u.refused(t)
	return Finished
}

func (u *Unit) refused(t *Task) {
	if t.Status == ReservationConflict {
		t.itl.Counters.Conflicts.Add(1)
	} else {
		t.itl.Counters.Errors.Add(1)
	}
	u.events.refused(t)
}
