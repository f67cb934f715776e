package iscsi

import (
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// Responses travel on several connections, so one may overtake another. Where
// that could mislead the initiator, a response is fenced: all that other
// connections have said before must be acknowledged first, and they say
// nothing more until it is acknowledged itself. RFC 7143 §4.2.2.3.3.

// fenceWait bounds each half of a fence: an initiator that does not
// acknowledge must not hold everybody up. Usually its connection ends before,
// because the ping that asks for the acknowledgement has no answer; a host that
// is merely slow must not see the order broken.
const fenceWait = 10 * time.Second

// fenced reports whether responses of this session need fences at all.
func (c *conn) fenced() bool {
	return c.params.TaskReporting != TaskReportingRFC3720 && c.sess.several()
}

// needsFence reports whether the response to t must be fenced: that to
// PREEMPT AND ABORT ends tasks of others.
func (t *task) needsFence() bool {
	return t.scsi.CDB[0] == 0x5f && t.scsi.CDB[1]&0x1f == 5
}

// fence holds the answers of the other connections back, lets the initiator
// acknowledge those that are out, and then calls respond, which puts a
// response on c. The role of c is held, now and in respond.
func (c *conn) fence(respond func()) {
	others := c.sess.others(c)
	left := len(others)
	if left == 0 {
		respond()
		return
	}
	acknowledged := func() {
		if left--; left > 0 {
			return
		}
		respond()
		c.flush()
		c.whenAcknowledged(func() {
			for _, o := range others {
				o.post(func() { o.held-- })
			}
		})
	}
	for _, o := range others {
		o.post(func() {
			o.flush()
			o.held++
			o.whenAcknowledged(func() { c.post(acknowledged) })
		})
	}
}

// whenAcknowledged calls f once, when the initiator has acknowledged all that
// this connection has sent, when it has had time enough, or when the
// connection ends. f must not need a role.
func (c *conn) whenAcknowledged(f func()) {
	if c.dead || c.expStatSN == c.statSN {
		f()
		return
	}
	w := &ackWait{sn: c.statSN, f: f}
	w.timer = time.AfterFunc(fenceWait, func() { c.post(func() { c.acknowledge(w) }) })
	c.acks = append(c.acks, w)
	if !c.ping.open {
		c.sendPing()          // makes it say what it has
		c.ping.timer.Reset(0) // there is an answer to wait for now
	}
}

type ackWait struct {
	sn    pdu.Serial
	f     func()
	timer *time.Timer
	over  bool
}

func (c *conn) acknowledge(w *ackWait) {
	if w.over {
		return
	}
	w.over = true
	w.timer.Stop()
	for i, o := range c.acks {
		if o == w {
			c.acks = append(c.acks[:i], c.acks[i+1:]...)
			break
		}
	}
	w.f()
}

// acknowledged looks who waited for what the initiator has just acknowledged.
func (c *conn) acknowledged() {
	for i := 0; i < len(c.acks); {
		if w := c.acks[i]; !c.expStatSN.Before(w.sn) || c.dead {
			c.acknowledge(w) // takes it out
		} else {
			i++
		}
	}
}

// spared reports whether t, which the SCSI layer aborted, is newer than the
// function of this session that did so: on several connections a command may
// arrive before a function with a smaller CmdSN. It is answered BUSY.
func (s *session) spared(t *task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.ending {
		if m.touches(t.scsi.LUN) && !t.cmdSN.Before(m.cmdSN) {
			return true
		}
	}
	return false
}

// doomed is what an immediate function that ends several tasks leaves behind if
// it overtook some of them: it came on one connection, they are still to come on
// another. They are part of what it ended, so they are taken and not answered.
// RFC 7143 §4.2.3.3 b has the function wait for them; an initiator whose
// connection broke would make it wait for ever.
type doomed struct {
	fn     scsi.Function
	lun    scsi.LUN
	before pdu.Serial // smaller numbers are doomed
}

// maxDoomed bounds what an initiator can make us remember.
const maxDoomed = 64

// doom remembers m until all numbers before its own have come. The caller holds
// s.mu.
func (s *session) doom(m *tmf) {
	if !s.several() || !m.cmdSN.In(s.w.exp, s.w.max.Add(1)) || m.cmdSN == s.w.exp && !s.baton {
		return
	}
	for i := range s.doomed {
		if d := &s.doomed[i]; d.fn == m.fn && d.lun == m.lun {
			if d.before.Before(m.cmdSN) {
				d.before = m.cmdSN
			}
			return
		}
	}
	if len(s.doomed) == maxDoomed {
		s.doomed = s.doomed[1:]
	}
	s.doomed = append(s.doomed, doomed{fn: m.fn, lun: m.lun, before: m.cmdSN})
}

// spent forgets what has no more numbers to come. The caller holds s.mu.
func (s *session) spent(d doomed) bool { return !s.w.exp.Before(d.before) }

// overtaken reports whether a function ended a command for l before it came.
func (s *session) overtaken(sn pdu.Serial, l scsi.LUN) bool {
	if !s.several() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.doomed {
		if touches(d.fn, d.lun, l) && sn.Before(d.before) {
			return true
		}
	}
	return false
}

// begin and conclude keep the list that spared looks at.
func (s *session) begin(m *tmf) {
	s.mu.Lock()
	s.ending = append(s.ending, m)
	s.doom(m)
	s.mu.Unlock()
}

func (s *session) conclude(m *tmf) {
	s.mu.Lock()
	for i, o := range s.ending {
		if o == m {
			s.ending = append(s.ending[:i], s.ending[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
}

// touches reports whether m ends tasks of the unit.
func (m *tmf) touches(l scsi.LUN) bool { return touches(m.fn, m.lun, l) }

func touches(fn scsi.Function, lun, l scsi.LUN) bool {
	return fn == scsi.TargetWarmReset || fn == scsi.TargetColdReset || lun == l
}
