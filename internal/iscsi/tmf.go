package iscsi

import (
	"sync/atomic"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// dataWait bounds how long a task management function that ends several tasks
// waits for the data already asked for. RFC 7143 §4.2.3.3 wants the wait; Linux
// stops sending at once, so it must be short. What comes later is swallowed.
const dataWait = 250 * time.Millisecond

// tmf is a task management request under way. The role of its connection owns
// it.
type tmf struct {
	c        *conn
	itt      uint32
	fn       scsi.Function
	lun      scsi.LUN
	cmdSN    pdu.Serial
	numbered bool
	ref      *task // ABORT TASK

	fence   bool         // the response must not overtake those of other connections
	waits   atomic.Int32 // inline calls that have not returned, data still to come
	managed bool
	result  scsi.TMFResponse
	info    uint32
	limit   *time.Timer // gives up waiting for inline calls
	over    bool
}

// taskManagement starts a task management function. RFC 7143 §11.5, RFC 7144
// §4.
func (c *conn) taskManagement(h *pdu.BHS, numbered bool) {
	var p pdu.TMFRequest
	p.Decode(h)
	c.flush() // tasks that have a result are not ended any more, if the initiator reads
	m := &tmf{c: c, itt: p.ITT, fn: scsi.Function(p.Function), lun: scsi.LUN(p.LUN), cmdSN: p.CmdSN, numbered: numbered}
	c.tmfs = append(c.tmfs, m)
	switch m.fn {
	case scsi.AbortTask, scsi.QueryTask:
		c.manageTask(m, &p)
	case scsi.AbortTaskSet, scsi.ClearTaskSet, scsi.LogicalUnitReset, scsi.TargetWarmReset, scsi.TargetColdReset:
		c.endTaskSet(m)
	case scsi.TaskReassign:
		m.conclude(scsi.TMFResponse(pdu.TMFReassignNotSupported))
	case scsi.QueryTaskSet, scsi.QueryAsyncEvent:
		if c.params.ProtocolLevel < 2 {
			m.conclude(scsi.FunctionNotSupported)
			return
		}
		c.manage = append(c.manage, m)
	case scsi.NexusReset:
		if c.params.ProtocolLevel < 2 {
			m.conclude(scsi.FunctionNotSupported)
			return
		}
		c.sess.fail(ReasonNexusReset) // RFC 7144 §4.3: the response may not arrive
	default:
		m.conclude(scsi.FunctionNotSupported)
	}
}

// manageTask handles the functions that name one task.
func (c *conn) manageTask(m *tmf, p *pdu.TMFRequest) {
	if m.fn == scsi.QueryTask && c.params.ProtocolLevel < 2 {
		m.conclude(scsi.FunctionNotSupported)
		return
	}
	for _, o := range c.tmfs {
		if o != m && o.itt == p.RefTaskTag {
			m.conclude(scsi.FunctionRejected)
			return
		}
	}
	t := c.tasks.find(p.RefTaskTag)
	if t != nil && t.scsi.LUN != m.lun {
		t = nil
	}
	switch {
	case m.fn == scsi.QueryTask:
		if t != nil {
			m.conclude(scsi.FunctionSucceeded)
		} else {
			m.conclude(scsi.FunctionComplete)
		}
	case t != nil:
		if c.drop(t, m) {
			m.ref = t
			c.manage = append(c.manage, m)
			return
		}
		m.managed, m.result = true, scsi.FunctionComplete
		m.tryConclude()
	case p.RefCmdSN.Before(p.CmdSN) && c.sess.skip(p.RefCmdSN):
		m.conclude(scsi.FunctionComplete)
		c.sess.releaseDue(c)
	default:
		m.conclude(scsi.TaskDoesNotExist)
	}
}

// endTaskSet ends the tasks of several, on all connections of the session, and
// then asks the SCSI layer to do so.
func (c *conn) endTaskSet(m *tmf) {
	m.fence = c.fenced()
	c.sess.begin(m)
	others := c.sess.others(c)
	left := len(others) + 1
	ready := func() {
		if left--; left == 0 {
			c.manage = append(c.manage, m)
		}
	}
	for _, o := range others {
		o.post(func() {
			o.flush()
			o.endTasks(m)
			c.post(ready)
		})
	}
	c.endTasks(m)
	ready()
}

// endTasks takes the tasks that m ends off this connection: their answers are
// not sent, their tags are free.
func (c *conn) endTasks(m *tmf) {
	c.tasks.each(func(t *task) {
		if m.touches(t.scsi.LUN) && t.cmdSN.Before(m.cmdSN) {
			t.endedBy = m
			c.drop(t, m)
		}
	})
	waits := 0
	for i := range c.ghosts {
		if c.ghosts[i].m == m {
			waits++
		}
	}
	if waits > 0 {
		m.await(waits)
		time.AfterFunc(dataWait, func() { c.post(func() { c.exorciseFor(m) }) })
	}
}

// await makes the answer wait for n more things. Any connection of the session
// may have them.
func (m *tmf) await(n int) { m.waits.Add(int32(n)) }

// arrived notes that one of them is over.
func (m *tmf) arrived() {
	m.waits.Add(-1)
	m.c.post(m.tryConclude)
}

// drop ends t without an answer. It reports whether the SCSI layer has the
// task and must be told.
func (c *conn) drop(t *task, m *tmf) (atSCSI bool) {
	c.unlist(t)
	t.dropped = true
	if t.adrift {
		t.awaited = append(t.awaited, m)
		m.await(1)
		if m.limit == nil && !m.over {
			m.limit = time.AfterFunc(scsi.DrainLimit, func() {
				c.post(func() { m.conclude(scsi.FunctionRejected) })
			})
		}
	}
	switch t.stage {
	case stageReady:
		if c.ready.remove(t) {
			c.discard(t)
			return false
		}
		c.resume.remove(t)
		t.stage = stageSubmitted
		return true
	case stageSending:
		c.answers.remove(t)
		c.queued -= len(t.scsi.In) - int(t.sent)
		if t.sent > 0 {
			// Part of its data is in the outbox.
			t.stage = stageSent
			c.out.own(t, nil)
			return false
		}
		c.discard(t)
		return false
	case stageFenced:
		return false // send finds it dropped
	case stageDone:
		if !t.adrift {
			c.discard(t)
		}
		return false
	}
	return true
}

// callManage hands m to the SCSI layer. Like every call out, it may get stuck.
func (c *conn) callManage(m *tmf) bool {
	req := scsi.TaskMgmt{Function: m.fn, LUN: m.lun}
	if m.ref != nil {
		req.Ref = &m.ref.scsi
	}
	seq := c.beginCall()
	c.target.Manage(req, func(r scsi.TMFResponse, info uint32) {
		c.post(func() {
			m.managed, m.result, m.info = true, r, info
			m.tryConclude()
		})
	})
	return c.endCall(seq)
}

// exorciseFor gives up waiting for data.
func (c *conn) exorciseFor(m *tmf) {
	for i := range c.ghosts {
		if c.ghosts[i].m == m {
			c.ghosts[i].m = nil
			m.arrived()
		}
	}
}

// stop makes sure that m is not answered any more.
func (m *tmf) stop() {
	m.over = true
	if m.limit != nil {
		m.limit.Stop()
	}
}

func (m *tmf) tryConclude() {
	switch {
	case m.over || !m.managed || m.waits.Load() > 0:
	case m.fence:
		m.fence = false
		m.managed = false // until it is our turn
		m.c.fence(func() { m.conclude(m.result) })
	default:
		m.conclude(m.result)
	}
}

// conclude answers m.
func (m *tmf) conclude(r scsi.TMFResponse) {
	c := m.c
	if m.over {
		return
	}
	m.stop()
	c.sess.conclude(m)
	for i, o := range c.tmfs {
		if o == m {
			c.tmfs = append(c.tmfs[:i], c.tmfs[i+1:]...)
			break
		}
	}
	c.srv.events.taskManagement(c, m.fn, m.lun, r)
	if m.numbered {
		c.sess.settle(1)
	}
	if c.quiet() {
		return
	}
	p := pdu.TMFResponse{
		Response: pdu.TMFResult(r),
		ITT:      m.itt,
		StatSN:   c.nextStatSN(),
	}
	if m.info != 0 {
		p.AdditionalInfo = [3]byte{byte(m.info >> 16), byte(m.info >> 8), byte(m.info)}
	}
	p.ExpCmdSN, p.MaxCmdSN = c.sess.numbers()
	h := c.header()
	p.Encode(h)
	c.payload(h, nil)
	if m.fn == scsi.TargetColdReset && r == scsi.FunctionComplete {
		c.srv.powerOn(c.sess.key.target)
	}
}

// powerOn ends all sessions with a target after TARGET COLD RESET, which is a
// power-on event for initiators. RFC 7143 §11.5.1.
func (s *Server) powerOn(target string) {
	for _, sess := range s.sessions.all() {
		if !sess.discovery() && sess.key.target == target {
			sess.dismiss(ReasonColdReset)
		}
	}
}
