package iscsi

import (
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// logoutGrace is how long an initiator has to log out when asked, in seconds.
const logoutGrace = 10

// askLogout asks the initiator to log out. RFC 7143 §11.9.1, event 1.
func (c *conn) askLogout() {
	if !c.quiet() && !c.asked {
		c.asked = true
		c.async(&pdu.AsyncMessage{Event: pdu.AsyncLogoutRequest, Param3: logoutGrace}, nil)
	}
}

// quiet reports whether nothing more is sent on the connection.
func (c *conn) quiet() bool { return c.dead || c.leaving || c.failure.Load() != nil }

// dismiss tells the initiator that we end the session, and how soon it may
// come back. RFC 7143 §11.9.1, event 3.
func (c *conn) dismiss(why Reason) {
	if c.quiet() {
		c.fail(why, nil)
		return
	}
	c.leave(why)
	c.async(&pdu.AsyncMessage{
		Event:  pdu.AsyncSessionDropped,
		Param2: uint16(c.params.DefaultTime2Wait), Param3: uint16(c.params.DefaultTime2Retain),
	}, nil)
}

// async sends an Async Message.
func (c *conn) async(p *pdu.AsyncMessage, data []byte) {
	p.StatSN = c.nextStatSN()
	p.DataSegmentLength = uint32(len(data))
	p.ExpCmdSN, p.MaxCmdSN = c.sess.numbers()
	h := c.header()
	p.Encode(h)
	c.copied(h, data)
}

// AnnounceLUNs tells the initiators of a target that their logical units have
// changed. A unit attention waits for each of them anyway; this makes those
// look that are idle: open-iscsi rescans when it hears it. RFC 7143 §11.9.1,
// event 0.
func (s *Server) AnnounceLUNs(target string) {
	for _, sess := range s.sessions.all() {
		if sess.key.target != target || sess.discovery() {
			continue
		}
		if all := sess.others(nil); len(all) > 0 {
			c := all[0]
			c.post(func() {
				if !c.quiet() {
					sense := scsi.UALUNsChanged.AppendSense(nil, false)
					c.async(&pdu.AsyncMessage{Event: pdu.AsyncSCSIEvent}, pdu.AppendSense(nil, sense))
				}
			})
		}
	}
}
