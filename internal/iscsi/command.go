package iscsi

import (
	"encoding/binary"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pool"
	"nas-target/internal/scsi"
)

// arrived handles one whole PDU. Data lies in the receive buffer, or in buf,
// which then is ours to keep or release.
func (c *conn) arrived(h *pdu.BHS, ahs, data []byte, buf *pool.Buf) {
	c.heard(h)
	if c.leaving { // RFC 7143 §11.14: discarded
		c.srv.events.ignored(c, ReasonAfterLogout)
		buf.Release()
		return
	}
	if code, why := c.vet(h, ahs, data); why != "" {
		c.reject(h, ahs, code, why)
		buf.Release()
		return
	}
	if h.Opcode() == pdu.OpDataOut {
		c.dataOut(h, data)
		return
	}
	if h.Immediate() {
		c.deliver(h, ahs, data, buf, false)
		return
	}
	what, more := c.sess.arrive(h.CmdSN())
	switch what {
	case inOrder:
		c.deliver(h, ahs, data, buf, true)
		if more {
			c.sess.releaseDue(c)
		}
	case early:
		c.hold(h, ahs, data, buf)
	default:
		c.ignored(h, ReasonCmdSNOutsideWindow)
		buf.Release()
	}
}

// heard notes what every PDU of the initiator tells.
func (c *conn) heard(h *pdu.BHS) {
	c.lastHeard = c.now
	if sn := h.ExpStatSN(); c.expStatSN.Before(sn) && !c.statSN.Before(sn) {
		c.expStatSN = sn
		if len(c.acks) > 0 {
			c.acknowledged()
		}
	}
}

// hold keeps a request that came before its turn.
func (c *conn) hold(h *pdu.BHS, ahs, data []byte, buf *pool.Buf) {
	p := &heldPDU{c: c, h: *h, ahs: append([]byte(nil), ahs...), data: data, buf: buf}
	if buf == nil && len(data) > 0 {
		p.buf = pool.Get(len(data))
		copy(p.buf.B, data)
		p.data = p.buf.B
	}
	switch {
	case !p.book():
		p.buf.Release()
		c.fail(ReasonHeldTooMuch, nil)
	case !c.sess.hold(c, p):
		p.drop()
		c.ignored(h, ReasonCmdSNOutsideWindow)
	}
}

// ignored forgets a request that is not executed, and the data it announces.
// RFC 7143 §4.2.2.1: silently.
func (c *conn) ignored(h *pdu.BHS, why Reason) {
	c.srv.events.ignored(c, why)
	if h.Opcode() == pdu.OpSCSICommand && !h.Final() {
		c.ghosts = addGhost(c.ghosts, ghost{itt: h.ITT(), ttt: pdu.ReservedTag})
	}
}

// deliver executes a request whose turn it is. A numbered one holds a slot of
// the window until it is answered.
func (c *conn) deliver(h *pdu.BHS, ahs, data []byte, buf *pool.Buf, numbered bool) {
	if h.Opcode() == pdu.OpSCSICommand {
		if numbered && c.sess.overtaken(h.CmdSN(), scsi.LUN(binary.BigEndian.Uint64(h[8:]))) {
			c.ignored(h, ReasonEndedBefore)
			c.sess.settle(1)
			buf.Release()
			c.sess.pass(c)
			return
		}
		c.command(h, ahs, data, buf, numbered)
		return
	}
	if numbered && h.Opcode() != pdu.OpTMFRequest {
		c.sess.settle(1) // it is answered right here
	}
	switch h.Opcode() {
	case pdu.OpNOPOut:
		c.nopOut(h, data)
	case pdu.OpTMFRequest:
		c.taskManagement(h, numbered)
	case pdu.OpTextRequest:
		c.textRequest(h, data)
	case pdu.OpLogoutRequest:
		c.logoutRequest(h)
	}
	buf.Release()
	if numbered && c.sess.several() {
		c.sess.pass(c)
	}
}

// command turns a SCSI Command PDU into a task and queues it to be submitted.
func (c *conn) command(h *pdu.BHS, ahs, data []byte, buf *pool.Buf, numbered bool) {
	var p pdu.SCSICommand
	p.Decode(h)
	t := c.newTask()
	t.itt, t.cmdSN, t.edtl, t.numbered = p.ITT, p.CmdSN, p.EDTL, numbered
	t.started = c.now
	t.baton = numbered && c.sess.several()
	s := &t.scsi
	s.LUN, s.CDB, s.Attr, s.Tag = scsi.LUN(p.LUN), p.CDB, scsi.Attr(p.Attr), p.ITT
	if p.Write {
		s.OutLen = p.EDTL
	}
	if p.Read {
		s.InLen = p.EDTL
		if p.Write {
			t.bidi, s.InLen = true, 0
		}
	}
	if len(ahs) > 0 {
		c.commandAHS(t, ahs)
	}
	c.tasks.add(t)
	if !numbered {
		c.immediate++
	}
	if p.Write {
		c.unsolicited(t, &p, len(data))
	}
	if p.Attr > pdu.AttrACA {
		t.out.spoil(scsi.ErrInvalidIU)
	}
	switch {
	case t.out.bad != nil:
		buf.Release() // what came with the command goes the way of the rest
		c.refuse(t, t.out.bad)
		return
	case len(data) == 0 && !t.out.unsolicited:
	case buf != nil && (len(data) == int(p.EDTL) || cap(buf.B) >= t.cost()):
		if !c.putAside(t, cap(buf.B)) {
			buf.Release()
			c.turnAway(t)
			return
		}
		s.Out, s.OutBuf = data, buf
	case len(data) == int(p.EDTL) && c.mayRun(t):
		// The usual small write: straight from the receive buffer.
		s.Out, s.Borrowed, t.borrowed = data, true, true
	default:
		// More will follow, or it has to wait: one buffer for all of it.
		n := max(len(data), t.prealloc(c))
		if !c.putAside(t, n) {
			buf.Release()
			c.turnAway(t)
			return
		}
		s.OutBuf = pool.Get(n)
		s.Out = s.OutBuf.B[:copy(s.OutBuf.B, data)]
		buf.Release()
	}
	t.stage = stageReady
	c.ready.push(t)
}

// mayRun reports whether t, pushed now, is the next to run.
func (c *conn) mayRun(t *task) bool { return c.ready.head == nil && c.affordable(t) }

// prealloc is how many bytes to put aside for the data of a write before the
// SCSI layer has seen it: all of it if it is not large, else as much as comes
// without being asked for.
func (t *task) prealloc(c *conn) int {
	if n := t.cost(); n <= inPlace || c.affordable(t) {
		return n
	}
	return int(min(t.edtl, c.params.FirstBurstLength))
}

// commandAHS reads what does not fit the header. vet has seen that it is well
// formed.
func (c *conn) commandAHS(t *task, ahs []byte) {
	for len(ahs) > 0 {
		a, rest, err := pdu.NextAHS(ahs)
		if err != nil {
			return
		}
		ahs = rest
		switch a.Type {
		case pdu.AHSExtendedCDB:
			t.scsi.CDBMore = append([]byte(nil), a.Content[1:]...)
		case pdu.AHSBidiReadLength:
			t.bidiRead, _ = a.BidiReadLength()
			t.scsi.InLen = t.bidiRead
		}
	}
}

// refuse ends a task that the SCSI layer has not seen, or no longer has.
func (c *conn) refuse(t *task, check *scsi.Check) {
	s := &t.scsi
	s.Status, s.Failure, s.Want, s.In = scsi.CheckCondition, check, 0, nil
	s.SenseLen = len(check.AppendSense(s.Sense[:0], false))
	c.srv.events.refused(c, t, Reason(check.Reason))
	t.stage = stageDone
	c.settle(t)
}

// ended takes in a task that is final at the SCSI layer.
func (c *conn) ended(t *task) {
	switch t.stage {
	case stageData:
		c.collecting--
	case stageReady: // aborted between its last data and its turn
		c.resume.remove(t)
	}
	t.stage = stageDone
	if t.adrift {
		return // cameBack goes on
	}
	c.settle(t)
}

// settle answers a task that has its result, once the data its initiator
// promised have come. RFC 7143 §11.4.2.
func (c *conn) settle(t *task) {
	c.passOn(t)
	switch {
	case c.dead || t.dropped:
		c.discard(t)
	case t.scsi.Aborted && t.out.bad == nil && c.sess.several() && c.sess.spared(t):
		c.end(t, scsi.Busy)
	case t.scsi.Aborted && t.out.bad == nil:
		if c.unlist(t) {
			c.tellWindow() // no response will
		}
		c.discard(t)
	case t.out.promised():
		// dataOutPlaced comes back.
	case t.out.bad != nil && (t.scsi.Aborted || t.scsi.Status == scsi.Good):
		t.scsi.Aborted = false // by us, for what is wrong with its data
		c.refuse(t, t.out.bad)
	case t.needsFence() && c.fenced():
		t.stage = stageFenced
		c.fence(func() { c.send(t) })
	default:
		c.send(t)
	}
}

// send queues the answer of t.
func (c *conn) send(t *task) {
	if t.stage == stageFenced && t.dropped {
		c.discard(t)
		return
	}
	t.stage = stageSending
	c.queued += len(t.scsi.In)
	c.answers.push(t)
}

// unlist takes t out of sight of the initiator: its tag is free again, late
// data for it are swallowed. It reports whether that opened a closed window.
func (c *conn) unlist(t *task) (reopened bool) {
	if t.unlisted {
		return false
	}
	t.unlisted = true
	c.tasks.remove(t)
	c.ghosts = t.haunt(c.ghosts)
	if t.numbered {
		return c.sess.settle(1)
	}
	c.immediate--
	return false
}

// discard ends an unlisted task whose answer is not sent.
func (c *conn) discard(t *task) {
	c.recycle(t)
}
