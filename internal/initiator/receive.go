package initiator

import "fmt"

// receive handles one PDU of the target, on the reader goroutine of c.
func (s *Session) receive(c *Conn, p *PDU) {
	exp := checkStatSN(p, c.expStatSN.Load(), c.report)
	c.expStatSN.Store(exp)

	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Err() != nil {
		return // it was read before the connection ended, and nobody waits for it
	}
	before := s.window
	s.window.update(p, &c.last, s.cmdSN, c.report)
	if s.window != before {
		s.wakeLocked()
	}
	switch p.Opcode() {
	case OpAsync:
		s.receiveAsync(c, p)
		return
	case OpReject:
		s.receiveReject(c, p)
		return
	case OpNOPIn:
		if s.receiveNOPIn(c, p) {
			return
		}
	}
	s.dispatch(c, p)
}

// answers tells which requests a target PDU may answer.
var answers = map[Opcode]Opcode{
	OpSCSIResponse: OpSCSICommand, OpDataIn: OpSCSICommand, OpR2T: OpSCSICommand,
	OpTMFResponse: OpTMFRequest, OpTextResp: OpTextReq, OpLogoutResp: OpLogoutReq, OpNOPIn: OpNOPOut,
}

// dispatch gives an answer to the request with its tag.
func (s *Session) dispatch(c *Conn, p *PDU) {
	x := s.live[p.ITT()]
	if x == nil {
		if _, dead := s.aborted[p.ITT()]; dead {
			c.report(RuleAfterAbort, p, "the abort of this task was confirmed before")
			return
		}
		c.report(RuleUnknownITT, p, "no request with this tag is open")
		return
	}
	if answers[p.Opcode()] != x.request {
		c.report(RuleWrongOpcode, p, fmt.Sprintf("answers a %v", x.request))
		return
	}
	if x.conn != c {
		c.report(RuleWrongConnection, p, fmt.Sprintf("the request went over connection %d", x.conn.cid))
	}
	if carriesStatus(p) && !x.immediate && !snLess(x.cmdSN, p.ExpCmdSN()) {
		c.report(RuleResponseUnacked, p, fmt.Sprintf("ExpCmdSN %#x does not cover CmdSN %#x", p.ExpCmdSN(), x.cmdSN))
	}
	if x.answer(p) {
		delete(s.live, x.itt)
		x.finish(x.err)
	}
}
