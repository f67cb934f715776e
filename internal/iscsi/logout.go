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
		c.leave(p.Reason)
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

// leave ends what the logout ends: tasks are dropped before the response, and
// nothing more is executed on this connection.
func (c *conn) leave(r pdu.LogoutReason) {
	c.leaving = true
	if r == pdu.LogoutCloseSession {
		c.sess.logout(c)
	}
	c.dropAll()
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

// lingerAfterLogout is how long the initiator has to close the connection
// after our response, before we do.
const lingerAfterLogout = 2 * time.Second

// linger ends our side of the stream, once the response is out, and
// gives the initiator a moment to end its own: closing with unread data would
// destroy the response on its way.
func (c *conn) linger() {
	c.lingering = true
	c.tr.closeWrite()
	time.AfterFunc(lingerAfterLogout, func() { c.fail(ReasonLogout, nil) })
}
