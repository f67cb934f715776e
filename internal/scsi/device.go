package scsi

import (
	"slices"
	"sync"
	"sync/atomic"

	"nas-target/internal/pr"
)

// Port is a target port: an iSCSI target portal group. SAM-5 4.6.4.
type Port struct {
	Name     string // target port name, "iqn…,t,0x<TPGT>"
	Relative uint16 // RELATIVE TARGET PORT IDENTIFIER, 1..
	Group    uint16 // TARGET PORT GROUP, the TPGT
}

// LUNMap says which unit stands behind which LUN.
type LUNMap map[uint16]*Unit

// Device is a SCSI target device: a name, ports and nexuses. Which units a
// nexus sees is told when it attaches.
type Device struct {
	name  string
	ports atomic.Pointer[[]Port]

	mu    sync.Mutex
	its   map[*IT]struct{}
	known map[string]bool // initiator ports that ever attached
}

// NewDevice describes a target device. Names are normalised iSCSI names.
func NewDevice(name string, ports []Port) *Device {
	d := &Device{name: name, its: map[*IT]struct{}{}, known: map[string]bool{}}
	d.SetPorts(ports)
	return d
}

// Name returns the target name.
func (d *Device) Name() string { return d.name }

// Ports returns the target ports in the order given.
func (d *Device) Ports() []Port { return *d.ports.Load() }

// SetPorts replaces the target ports. Nexuses at a port that is gone are the
// transport's to end.
func (d *Device) SetPorts(ports []Port) {
	ports = slices.Clone(ports)
	d.ports.Store(&ports)
}

// Attach brings a nexus to life: an initiator port logged in at one of d's
// ports. If the same nexus is still attached, the transport must Detach that
// one first; commands of the new one then wait until the last call of the old
// one has left the medium.
func (d *Device) Attach(n Nexus, luns LUNMap) *IT {
	it := &IT{nexus: n, dev: d}
	ports := d.Ports()
	for i := range ports {
		if ports[i].Name == n.Target {
			it.port = &ports[i]
		}
	}
	if it.port == nil {
		panic("scsi: attach through an unknown port " + n.Target)
	}
	d.mu.Lock()
	d.its[it] = struct{}{}
	d.known[n.Initiator] = true
	d.mu.Unlock()
	it.view.Store(it.build(luns, &view{}))
	return it
}

// build makes a view of luns, keeping the state of those that stay.
func (it *IT) build(luns LUNMap, old *view) *view {
	v := &view{high: map[uint16]*itl{}}
	for l := range luns {
		v.luns = append(v.luns, l)
	}
	slices.Sort(v.luns)
	for _, l := range v.luns {
		x := old.find(NewLUN(l))
		if x == nil || x.unit != luns[l] {
			x = luns[l].attach(it)
		}
		if l >= 256 {
			v.high[l] = x
			continue
		}
		for len(v.low) <= int(l) {
			v.low = append(v.low, nil)
		}
		v.low[l] = x
	}
	return v
}

// Remap changes what the nexus sees. Tasks at units that are gone are aborted
// without a word; a unit attention tells of the change. SPC-4 r37 6.33.
func (it *IT) Remap(luns LUNMap) {
	it.mu.Lock()
	defer it.mu.Unlock()
	if it.detached {
		return
	}
	old := it.view.Load()
	v := it.build(luns, old)
	it.view.Store(v)
	for _, l := range old.luns {
		x := old.find(NewLUN(l))
		if v.find(NewLUN(l)) != x {
			x.unit.detach(x)
		}
	}
	for _, l := range v.luns {
		v.find(NewLUN(l)).raise(UALUNsChanged)
	}
}

// Detach ends the nexus: its tasks are aborted without a word, its legacy
// reservations and PREVENTs fall. Persistent reservations stay. It does not
// wait for calls that are inside the medium: their results are dropped, and
// the next session of the same nexus waits for them.
func (it *IT) Detach() {
	it.mu.Lock()
	if it.detached {
		it.mu.Unlock()
		return
	}
	it.detached = true
	v := it.view.Load()
	it.mu.Unlock()
	for _, l := range v.luns {
		x := v.find(NewLUN(l))
		x.unit.detach(x)
	}
	it.dev.mu.Lock()
	delete(it.dev.its, it)
	it.dev.mu.Unlock()
}

// Submit takes a new task from the transport. It never waits for the medium
// unless the whole command is run to completion here. See Progress.
func (it *IT) Submit(t *Task) Progress {
	if x := it.view.Load().find(t.LUN); x != nil {
		return x.unit.submit(x, t)
	}
	return it.submitUnmapped(t)
}

// Resume goes on with a task that wanted data and has them now.
func (it *IT) Resume(t *Task) Progress {
	x := t.itl
	x.mu.Lock()
	if t.state != taskWaiting {
		x.mu.Unlock()
		return Pending // aborted meanwhile: Done tells, or has told
	}
	t.state = taskQueued // an abort now only marks it: its end is decided here
	x.mu.Unlock()
	return t.unit.dispatch(x, t)
}

// Fail ends a task that wants data with an error of the transport's: data
// that were too many, too few or damaged.
func (it *IT) Fail(t *Task, err error) Progress {
	x := t.itl
	x.mu.Lock()
	if t.state != taskWaiting {
		x.mu.Unlock()
		return Pending // aborted meanwhile: Done tells, or has told
	}
	x.end(t)
	x.mu.Unlock()
	return t.unit.finish(t, err)
}

// submitUnmapped answers for a LUN that names no unit. SPC-4 r37 4.5.1.
func (it *IT) submitUnmapped(t *Task) Progress {
	t.itl = &itl{it: it}
	row, _ := lookup(&t.CDB)
	t.cmd = row
	if row == nil || row.Flags&AnyLUN == 0 {
		t.settle(ErrLUNNotSupported)
		return Finished
	}
	if c := row.checkBits(&t.CDB); c != nil {
		t.settle(c)
		return Finished
	}
	t.settle(t.call())
	return Finished
}

// attach gives it a place at u.
func (u *Unit) attach(it *IT) *itl {
	x := &itl{unit: u, it: it}
	u.mu.Lock()
	defer u.mu.Unlock()
	// Calls of an earlier session of this nexus may still be in the medium.
	h := &hold{}
	d := &drain{left: 1, done: func() { x.unhold(h) }}
	for _, old := range u.nexuses {
		if old.it.nexus == it.nexus {
			old.drainInto(d, nil)
		}
	}
	if d.waits() {
		x.hold.Store(h)
	}
	d.leave()
	if u.seen[it.nexus] {
		x.raise(UANexusLoss)
	} else {
		u.seen[it.nexus] = true
		x.raise(UAPowerOn)
	}
	u.nexuses = append(u.nexuses, x)
	return x
}

// detach takes x away from u; its calls inside the medium finish alone.
func (u *Unit) detach(x *itl) {
	x.mu.Lock()
	x.closed = true
	x.prevent = false
	x.mu.Unlock()
	x.abort(func(*Task) bool { return true }, nil, false)
	forget := func() {
		u.mu.Lock()
		u.forget(x)
		u.mu.Unlock()
	}
	d := &drain{left: 1, done: forget}
	x.drainInto(d, nil)
	d.leave()
	u.dropLegacy(pr.Op{Action: pr.NexusLoss, From: x.it.nexus}, nil)
}

// dropLegacy ends a legacy reservation by event op, if there is one. It does
// so aside: a reservation command that waits for a stuck medium must not delay
// a logout or a reset. d, if not nil, waits for it.
func (u *Unit) dropLegacy(op pr.Op, d *drain) {
	owner := u.pr.State().Legacy
	if owner == (Nexus{}) || op.Action == pr.NexusLoss && owner != op.From {
		return
	}
	if d != nil {
		d.add()
	}
	go func() {
		u.pr.Apply(op, pr.Env{}, u.fence)
		if d != nil {
			d.leave()
		}
	}()
}

// live returns the nexuses of u, those whose last calls are draining included.
func (u *Unit) live() []*itl {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.nexuses)
}
