package iscsi

import (
	"time"

	"nas-target/internal/iscsi/pdu"
)

// logoutRequest ends the session or one of its connections. RFC 7143 §11.14.
func (c *conn) logoutRequest(h *pdu.BHS) {
	var p pdu.LogoutRequest
	p.Decode(h)
	result := pdu.LogoutClosed
	switch {
	case p.Reason == pdu.LogoutForRecovery:
		result = pdu.LogoutRecoveryUnsupported
	case p.Reason == pdu.LogoutCloseConnection && p.CID != c.cid:
		if !c.sess.logoutOther(c, p.CID) {
			result = pdu.LogoutNoCID
		}
	default:
		c.flush() // what is answered already goes out first
		if p.Reason == pdu.LogoutCloseSession {
			c.sess.logout(c)
		}
		c.leave(ReasonLogout)
	}
	a := pdu.LogoutResponse{
		Response:    result,
		ITT:         p.ITT,
		StatSN:      c.nextStatSN(),
		Time2Wait:   uint16(c.params.DefaultTime2Wait),
		Time2Retain: uint16(c.params.DefaultTime2Retain),
	}
	a.ExpCmdSN, a.MaxCmdSN = c.sess.numbers()
	b := c.header()
	a.Encode(b)
	c.payload(b, nil)
}

// leave begins the end of the connection: its tasks are dropped, nothing more
// is executed, and what is said now is the last word.
func (c *conn) leave(why Reason) {
	c.leaving, c.farewell = true, why
	c.dropAll()
	time.AfterFunc(lingerTime, func() { c.fail(why, nil) })
}

// dropAll ends every task of the connection without an answer.
func (c *conn) dropAll() {
	m := &tmf{c: c, over: true}
	c.tasks.each(func(t *task) {
		if c.drop(t, m) {
			c.abort(t)
		}
	})
	for _, p := range c.released {
		c.giveUp(p)
	}
	c.released = nil
}

// lingerTime is how long the initiator has to close the connection after our
// last word, before we do.
const lingerTime = 2 * time.Second

// linger ends our side of the stream, once all is out. The initiator ends its
// own: closing with unread data would destroy the last word on its way.
func (c *conn) linger() {
	c.lingering = true
	c.tr.closeWrite()
}
