package iscsi

import (
	"errors"
	"io"
	"net"
	"runtime"

	"nas-target/internal/scsi"
)

// batchBytes is how much is collected before the socket is written although
// decoded commands remain.
const batchBytes = 256 << 10

// controlBacklog bounds what a peer that does not read can make us queue with
// requests that need no data of ours: NOP-In, Reject, text.
const controlBacklog = 256 << 10

// serve is the connection's goroutine: it reads, executes and writes, and
// waits only when there is nothing to do. It starts with the role.
func (c *conn) serve() {
	for {
		c.reading = true
		if !c.turn() {
			return // a call took too long and somebody else goes on
		}
		switch {
		case c.failure.Load() != nil:
			c.teardown()
			c.release()
			return
		case c.congested():
			c.release()
			<-c.spare
			c.role.Lock()
			continue
		}
		n, err := c.tr.read(c)
		if c.parked {
			c.parked = false
			c.role.Lock()
		}
		c.now = c.srv.clock()
		if c.patience.arrived(c.now) == 0 {
			// More was there at once: this goes on as long as the peer likes,
			// so the other connections get their turn.
			runtime.Gosched()
		}
		if err == errLeave {
			continue
		}
		c.in.took(n)
		c.stats.BytesIn += uint64(n)
		c.stats.Turns++
		if err != nil {
			c.fail(c.readFailure(err), err)
		}
	}
}

// readFailure names why no more can be read.
func (c *conn) readFailure(err error) Reason {
	if c.leaving {
		return c.farewell
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return ReasonPeerClosed
	}
	return ReasonReadError
}

// turn handles everything that has arrived and sends the answers. It returns
// false if the role was lost on the way.
func (c *conn) turn() bool {
	for {
		if c.hasNews() {
			c.news()
		}
		switch {
		case c.failure.Load() != nil:
			return true
		case c.out.pending() >= batchBytes || c.queued >= batchBytes:
			c.flush()
			if c.blocked && !c.runnable() && c.congested() {
				return true
			}
		}
		if c.runnable() {
			if !c.step() {
				return false
			}
			continue
		}
		if !c.congested() && c.next() {
			continue
		}
		c.flush()
		if !c.runnable() { // what was sent may have made room in the budget
			return true
		}
	}
}

// congested reports whether the peer must read before it is listened to again.
func (c *conn) congested() bool {
	return c.blocked && c.out.pending() > controlBacklog
}

// runnable reports whether step has something to do.
func (c *conn) runnable() bool {
	return len(c.manage) > 0 || c.resume.head != nil || c.ready.head != nil && c.affordable(c.ready.head) || len(c.released) > 0
}

// step does one piece of work that calls out of the connection. It returns
// false if the call took so long that the role was taken away.
func (c *conn) step() bool {
	switch {
	case len(c.manage) > 0:
		m := c.manage[0]
		c.manage = c.manage[1:]
		if m.over {
			return true
		}
		return c.callManage(m)
	case c.resume.head != nil:
		return c.callTask(c.resume.pop(), true)
	case c.ready.head != nil && c.affordable(c.ready.head):
		t := c.ready.pop()
		if t.out.bad != nil {
			c.refuse(t, t.out.bad)
			return true
		}
		if !c.claim(t) {
			return true
		}
		return c.callTask(t, false)
	}
	p := c.released[0]
	c.released = c.released[1:]
	p.unbook()
	c.deliver(&p.h, p.ahs, p.data, p.buf, true)
	return true
}

// callTask submits or resumes t here and now.
func (c *conn) callTask(t *task, resume bool) bool {
	t.stage = stageSubmitted
	c.current = t
	seq := c.beginCall()
	var p scsi.Progress
	if resume {
		p = c.target.Resume(&t.scsi)
	} else {
		p = c.target.Submit(&t.scsi)
	}
	if !c.endCall(seq) {
		c.post(func() { c.cameBack(t, p) })
		return false
	}
	c.current = nil
	c.passOn(t)
	c.progressed(t, p)
	return true
}

// passOn lets the next request of the session have its turn, if t had it.
func (c *conn) passOn(t *task) {
	if t.baton {
		t.baton = false
		c.sess.pass(c)
	}
}

func (c *conn) progressed(t *task, p scsi.Progress) {
	switch p {
	case scsi.Finished:
		c.ended(t)
	case scsi.NeedData:
		c.needData(t)
	}
}

// cameBack takes in a task whose inline call had been left behind.
func (c *conn) cameBack(t *task, p scsi.Progress) {
	t.adrift = false
	waiting := t.awaited
	t.awaited = nil
	if p != scsi.Finished && t.stage != stageDone && t.dropped {
		// Whoever ended it did so before the SCSI layer had listed it.
		c.target.Manage(scsi.TaskMgmt{Function: scsi.AbortTask, LUN: t.scsi.LUN, Ref: &t.scsi},
			func(scsi.TMFResponse, uint32) { arrived(waiting) })
		return
	}
	arrived(waiting)
	switch {
	case t.stage == stageDone: // Done was faster than the call's return
		c.settle(t)
	default:
		c.progressed(t, p)
	}
}

func arrived(waiting []*tmf) {
	for _, m := range waiting {
		m.arrived()
	}
}
