package iscsi

import (
	"nas-target/internal/pool"
	"nas-target/internal/scsi"
)

// A command is charged for the payload it may hold, from before it is
// submitted until its last byte is sent. A connection has a budget, and what
// is beyond it waits: its slots of the command window stay taken, so the
// window closes. The process has a limit as well, which connections draw on in
// steps; beyond it commands wait for others of their connection, and a
// connection that has no others answers BUSY.

// grantStep is how much of the process's limit a connection draws at a time,
// in bytes. A lone command within it is never refused.
const grantStep = 64 << 10

// maxCommandBytes bounds what one command is charged for.
const maxCommandBytes = scsi.DefaultMaxTransfer

// cost is what t may hold, in bytes.
func (t *task) cost() int {
	n := t.edtl
	if t.bidi {
		n = max(n, t.bidiRead)
	}
	return int(min(n, maxCommandBytes))
}

// running is how much the commands hold that have been submitted.
func (c *conn) running() int { return c.busy - c.aside }

// affordable reports whether t may be submitted as far as the connection's
// budget goes. A lone task always may.
func (c *conn) affordable(t *task) bool {
	n := c.running()
	return n == 0 || n+t.cost() <= c.budget && !c.starved
}

// charge books n bytes for t, until it is recycled. It returns false if the
// process has no more.
func (c *conn) charge(t *task, n int) bool {
	more := c.busy - t.charge + n - c.granted
	if more > 0 {
		more = (more + grantStep - 1) &^ (grantStep - 1)
		lone := c.running() == 0 && n <= grantStep
		if c.srv.memory.Add(int64(more)) > int64(c.srv.opt.ProcessBytes) && !lone {
			c.srv.memory.Add(-int64(more))
			return false
		}
		c.granted += more
	}
	c.busy += n - t.charge
	t.charge = n
	return true
}

// putAside books n bytes for data that come before t may be submitted. A
// connection may have twice its budget in such data: they were promised.
func (c *conn) putAside(t *task, n int) bool {
	if c.aside+n > 2*c.budget || !c.charge(t, n) {
		return false
	}
	t.aside = true
	c.aside += n
	return true
}

// claim books all that t may hold, now that it is submitted. It returns false
// if it cannot be now; then t waits, or is over.
func (c *conn) claim(t *task) bool {
	before := t.charge
	if c.charge(t, t.cost()) {
		c.takeUp(t, before)
		return true
	}
	if c.running() > 0 {
		c.starved = true
		t.keep()
		c.ready.pushFront(t)
	} else {
		c.turnAway(t)
	}
	return false
}

// keep gives t a copy of data that lie in the receive buffer, since it has to
// wait after all.
func (t *task) keep() {
	if s := &t.scsi; t.borrowed {
		s.OutBuf = pool.Get(len(s.Out))
		s.Out = s.OutBuf.B[:copy(s.OutBuf.B, s.Out)]
		s.Borrowed, t.borrowed = false, false
	}
}

// takeUp ends what putAside began.
func (c *conn) takeUp(t *task, n int) {
	if t.aside {
		t.aside = false
		c.aside -= n
	}
}

// uncharge ends what charge began. What is drawn and not used is given back
// when it has become much; tick gives back the rest.
func (c *conn) uncharge(t *task) {
	c.takeUp(t, t.charge)
	c.busy -= t.charge
	t.charge = 0
	c.starved = false
	if c.dead || c.granted-c.busy > 16*grantStep {
		c.giveBack()
	}
}

func (c *conn) giveBack() {
	if unused := (c.granted - c.busy) &^ (grantStep - 1); unused > 0 {
		c.srv.memory.Add(-int64(unused))
		c.granted -= unused
	}
}

// turnAway answers BUSY: nothing was done, try again.
func (c *conn) turnAway(t *task) {
	c.srv.events.refused(c, t, ReasonNoMemory)
	c.end(t, scsi.Busy)
}

// end gives t a status without sense data, without the SCSI layer.
func (c *conn) end(t *task, status scsi.Status) {
	s := &t.scsi
	s.Status, s.SenseLen, s.Want, s.In, s.Aborted = status, 0, 0, nil, false
	t.stage = stageDone
	c.settle(t)
}
