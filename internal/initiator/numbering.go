package initiator

import "fmt"

// carriesStatus tells whether a target PDU consumes a StatSN; the others that
// have the field show the next value. RFC 7143 §4.2.2.2, §11.7.3, §11.8.3, §11.19.
func carriesStatus(p *PDU) bool {
	switch p.Opcode() {
	case OpSCSIResponse, OpTMFResponse, OpLoginResp, OpTextResp, OpLogoutResp, OpReject, OpAsync:
		return true
	case OpDataIn:
		return p.BHS[1]&0x01 != 0
	case OpNOPIn:
		return p.ITT() != NoTag
	}
	return false
}

// checkStatSN compares StatSN with the next expected value and returns the one
// after it.
func checkStatSN(p *PDU, exp uint32, report func(Rule, *PDU, string)) uint32 {
	got := p.StatSN()
	if p.Opcode() == OpDataIn && !carriesStatus(p) {
		return exp // without S the field has no meaning
	}
	if p.Opcode() == OpLoginResp && p.BHS[offStatusCode] != 0 {
		return exp // RFC 7143 §11.13.4: valid with status class 0 alone
	}
	if got != exp {
		report(RuleStatSN, p, fmt.Sprintf("StatSN %#x, expected %#x", got, exp))
	}
	if carriesStatus(p) {
		// After a deviation follow the target, or each later PDU would be reported.
		return got + 1
	}
	return exp
}

// window is the command window of a session as the target announced it.
// RFC 7143 §4.2.2.1.
type window struct{ exp, max uint32 }

// update takes the values of one PDU that arrived on a connection whose last
// values were prev. next is the CmdSN we would send next. Values may come late
// over different connections, so the session keeps the greatest.
func (w *window) update(p *PDU, prev *window, next uint32, report func(Rule, *PDU, string)) {
	exp, maxSN := p.ExpCmdSN(), p.MaxCmdSN()
	if snLess(maxSN, exp-1) {
		report(RuleMaxCmdSN, p, fmt.Sprintf("MaxCmdSN %#x below ExpCmdSN %#x - 1", maxSN, exp))
		return // both are to be ignored
	}
	if snLess(exp, prev.exp) {
		report(RuleExpCmdSN, p, fmt.Sprintf("ExpCmdSN went from %#x back to %#x", prev.exp, exp))
	}
	if snLess(next, exp) {
		report(RuleExpCmdSN, p, fmt.Sprintf("ExpCmdSN %#x acknowledges beyond the last CmdSN sent, %#x", exp, next-1))
		return
	}
	if snLess(maxSN, prev.max) {
		report(RuleMaxCmdSN, p, fmt.Sprintf("MaxCmdSN went from %#x back to %#x", prev.max, maxSN))
	}
	*prev = window{exp: exp, max: maxSN}
	if snLess(w.exp, exp) {
		w.exp = exp
	}
	if snLess(w.max, maxSN) {
		w.max = maxSN
	}
}

// open tells whether a non-immediate request with this CmdSN may be sent.
func (w *window) open(cmdSN uint32) bool { return !snLess(w.max, cmdSN) }
