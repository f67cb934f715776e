package iscsi

import "nas-target/internal/iscsi/pdu"

// logoutGrace is how long an initiator has to log out when asked, in seconds.
const logoutGrace = 10

// askLogout asks the initiator to log out. RFC 7143 §11.9.1, event 1.
func (c *conn) askLogout() {
	if c.dead || c.leaving {
		return
	}
	c.async(&pdu.AsyncMessage{Event: pdu.AsyncLogoutRequest, Param3: logoutGrace}, nil)
}

// async sends an Async Message.
func (c *conn) async(p *pdu.AsyncMessage, data []byte) {
	p.StatSN = c.nextStatSN()
	p.DataSegmentLength = uint32(len(data))
	p.ExpCmdSN, p.MaxCmdSN = c.sess.numbers()
	h := c.header()
	p.Encode(h)
	c.payload(h, data)
}
