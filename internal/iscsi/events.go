package iscsi

import (
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// Events is news going outward. Any func may be nil; none may block, and none
// may call back into the server.
type Events struct {
	// AcceptFailed: a portal could not take a connection, for want of
	// descriptors for example.
	AcceptFailed func(portal string, err error)
	// Connected: somebody connected; nothing else is known yet.
	Connected func(ConnInfo)
	// LoginFailed: the connection is closed. Name and the like are what the
	// initiator claimed so far.
	LoginFailed func(InitiatorInfo, *LoginError)
	// ConnUp and ConnDown: a connection entered full feature phase, and ended.
	ConnUp   func(SessionInfo, ConnInfo)
	ConnDown func(SessionInfo, ConnInfo, Reason, error, ConnStats)
	// SessionUp and SessionDown: an I_T nexus came to life, and ended.
	SessionUp   func(SessionInfo)
	SessionDown func(SessionInfo, Reason)
	// Rejected: a PDU was answered with a Reject.
	Rejected func(SessionInfo, *pdu.BHS, pdu.RejectReason, Reason)
	// Ignored: a request was silently dropped.
	Ignored func(SessionInfo, Reason)
	// Refused: a command ended with CHECK CONDITION because of its data
	// transfer; the SCSI layer tells of all others.
	Refused func(SessionInfo, uint32, Reason)
	// DigestError: header_digest or data_digest.
	DigestError func(SessionInfo, ConnInfo, Reason)
	// PingTimeout: the initiator did not answer a NOP-In.
	PingTimeout func(SessionInfo, ConnInfo)
	// TaskManagement: a task management function was answered.
	TaskManagement func(SessionInfo, scsi.Function, scsi.LUN, scsi.TMFResponse)
	// LeftBehind: a command has been inside the medium for so long that the
	// connection goes on without waiting for it.
	LeftBehind func(SessionInfo, ConnInfo, scsi.LUN, [16]byte)
}

func (e *Events) acceptFailed(portal string, err error) {
	if e.AcceptFailed != nil {
		e.AcceptFailed(portal, err)
	}
}

func (e *Events) connected(i ConnInfo) {
	if e.Connected != nil {
		e.Connected(i)
	}
}

func (e *Events) loginFailed(i InitiatorInfo, err *LoginError) {
	if e.LoginFailed != nil {
		e.LoginFailed(i, err)
	}
}

func (e *Events) connUp(c *conn) {
	if e.ConnUp != nil {
		e.ConnUp(c.sess.info(), c.info)
	}
}

func (e *Events) connDown(c *conn, f *ending) {
	if e.ConnDown != nil {
		e.ConnDown(c.sess.info(), c.info, f.reason, f.err, c.stats)
	}
}

func (e *Events) sessionUp(s *session) {
	if e.SessionUp != nil {
		e.SessionUp(s.info())
	}
}

func (e *Events) sessionDown(s *session, why Reason) {
	if e.SessionDown != nil {
		e.SessionDown(s.info(), why)
	}
}

func (e *Events) reject(c *conn, h *pdu.BHS, code pdu.RejectReason, why Reason) {
	if e.Rejected != nil {
		e.Rejected(c.sess.info(), h, code, why)
	}
}

func (e *Events) ignored(c *conn, why Reason) {
	if e.Ignored != nil {
		e.Ignored(c.sess.info(), why)
	}
}

func (e *Events) refused(c *conn, t *task, why Reason) {
	if e.Refused != nil {
		e.Refused(c.sess.info(), t.itt, why)
	}
}

func (e *Events) digestError(c *conn, which Reason) {
	if e.DigestError != nil {
		e.DigestError(c.sess.info(), c.info, which)
	}
}

func (e *Events) pingTimeout(c *conn) {
	if e.PingTimeout != nil {
		e.PingTimeout(c.sess.info(), c.info)
	}
}

func (e *Events) taskManagement(c *conn, f scsi.Function, l scsi.LUN, r scsi.TMFResponse) {
	if e.TaskManagement != nil {
		e.TaskManagement(c.sess.info(), f, l, r)
	}
}

func (e *Events) callLeftBehind(c *conn, t *task) {
	if e.LeftBehind != nil {
		e.LeftBehind(c.sess.info(), c.info, t.scsi.LUN, t.scsi.CDB)
	}
}
