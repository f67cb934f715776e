package initiator

import (
	"encoding/binary"
	"fmt"
)

// AsyncEvent is the kind of an async message. RFC 7143 §11.9.1.
type AsyncEvent uint8

// Async events.
const (
	AsyncSCSI           AsyncEvent = 0
	AsyncLogoutRequest  AsyncEvent = 1
	AsyncDropConnection AsyncEvent = 2
	AsyncDropSession    AsyncEvent = 3
	AsyncRenegotiate    AsyncEvent = 4
	AsyncTaskTerminated AsyncEvent = 5
)

// AsyncMessage is news from the target. RFC 7143 §11.9.
type AsyncMessage struct {
	Conn       *Conn
	Event      AsyncEvent
	VCode      uint8
	LUN        LUN
	Parameters [3]uint16
	Sense      Sense // event 0
	Data       []byte
}

// receiveAsync runs on the reader with Session.mu held.
func (s *Session) receiveAsync(c *Conn, p *PDU) {
	m := AsyncMessage{
		Conn: c, Event: AsyncEvent(p.BHS[36]), VCode: p.BHS[37], LUN: p.LUN(),
		Parameters: [3]uint16{p.Uint16(38), p.Uint16(40), p.Uint16(42)}, Data: p.Data,
	}
	if p.ITT() != NoTag {
		c.report(RuleAsync, p, "ITT must be ffffffff")
	}
	if m.Event > AsyncTaskTerminated && m.Event < 248 {
		c.report(RuleAsync, p, fmt.Sprintf("event %d", m.Event))
	}
	if m.Event == AsyncSCSI {
		sense, err := asyncSense(p.Data)
		if err != nil {
			c.report(RuleAsync, p, err.Error())
		}
		m.Sense = sense
	}
	select {
	case s.async <- m:
	default:
	}
}

func asyncSense(d []byte) (Sense, error) {
	if len(d) < 2 {
		return Sense{}, fmt.Errorf("SCSI event with %d bytes of data", len(d))
	}
	n := int(binary.BigEndian.Uint16(d))
	if n > maxSense || n > len(d)-2 {
		return Sense{}, fmt.Errorf("SenseLength %d in %d bytes", n, len(d))
	}
	return ParseSense(d[2 : 2+n])
}

// RejectReason says why the target refused a PDU. RFC 7143 §11.17.1.
type RejectReason uint8

// Reject reasons.
const (
	RejectDataDigest       RejectReason = 0x02
	RejectSNACK            RejectReason = 0x03
	RejectProtocol         RejectReason = 0x04
	RejectNotSupported     RejectReason = 0x05
	RejectTooManyImmediate RejectReason = 0x06
	RejectTaskInProgress   RejectReason = 0x07
	RejectInvalidDataAck   RejectReason = 0x08
	RejectInvalidField     RejectReason = 0x09
	RejectLongOperation    RejectReason = 0x0a
	RejectWaitingForLogout RejectReason = 0x0c
)

var rejectNames = map[RejectReason]string{
	RejectDataDigest: "data digest error", RejectSNACK: "SNACK reject", RejectProtocol: "protocol error",
	RejectNotSupported: "command not supported", RejectTooManyImmediate: "too many immediate commands",
	RejectTaskInProgress: "task in progress", RejectInvalidDataAck: "invalid DataACK",
	RejectInvalidField: "invalid PDU field", RejectLongOperation: "long operation",
	RejectWaitingForLogout: "waiting for logout",
}

func (r RejectReason) String() string {
	if n, ok := rejectNames[r]; ok {
		return n
	}
	return fmt.Sprintf("reason %#02x", uint8(r))
}

// Reject is a PDU that the target refused.
type Reject struct {
	Conn   *Conn
	Reason RejectReason
	DataSN uint32
	Header PDU // header (and AHS) of the refused PDU
}

// RejectError ends a request whose own PDU was rejected.
type RejectError struct{ Reason RejectReason }

func (e *RejectError) Error() string { return "initiator: rejected: " + e.Reason.String() }

// DecodeReject takes a Reject PDU apart.
func DecodeReject(p *PDU) (Reject, error) {
	r := Reject{Reason: RejectReason(p.BHS[2]), DataSN: p.Uint32(offDataSN)}
	if len(p.Data) < bhsLen {
		return r, fmt.Errorf("data segment of %d bytes holds no header", len(p.Data))
	}
	copy(r.Header.BHS[:], p.Data)
	// Vendor specific data may follow the header.
	r.Header.AHS = p.Data[bhsLen:min(bhsLen+r.Header.AHSLen(), len(p.Data))]
	if p.ITT() != NoTag {
		return r, fmt.Errorf("ITT %#x, must be ffffffff", p.ITT())
	}
	if _, ok := rejectNames[r.Reason]; !ok {
		return r, fmt.Errorf("%v", r.Reason)
	}
	return r, nil
}

// receiveReject ends the request whose first PDU was refused; a refused Data-Out
// or SNACK ends nothing. RFC 7143 §7.3. It runs on the reader with Session.mu held.
func (s *Session) receiveReject(c *Conn, p *PDU) {
	r, err := DecodeReject(p)
	if err != nil {
		c.report(RuleReject, p, err.Error())
	}
	r.Conn = c
	select {
	case s.rejects <- r:
	default:
	}
	bad := &r.Header
	switch bad.Opcode() {
	case OpDataOut, OpSNACK:
		return
	}
	if x := s.live[bad.ITT()]; x != nil && x.request == bad.Opcode() && x.cmdSN == bad.Uint32(offCmdSN) {
		delete(s.live, x.itt)
		x.finish(&RejectError{Reason: r.Reason})
	}
	// A refused request leaves a gap in the numbering that we must fill, or
	// nothing that follows is executed. RFC 7143 §7.3.
	if sn := bad.Uint32(offCmdSN); !bad.Immediate() && sn == p.ExpCmdSN() && snLess(sn, s.cmdSN) {
		s.fillGap(c, sn)
	}
}

// fillGap sends a ping with a CmdSN that the target does not count as received.
func (s *Session) fillGap(c *Conn, cmdSN uint32) {
	x := &exchange{
		request: OpNOPOut, conn: c, cmdSN: cmdSN, done: make(chan struct{}),
		answer: func(*PDU) bool { return true },
	}
	if s.tagLocked(x) != nil {
		return
	}
	s.live[x.itt] = x
	p := NOPOutPDU{ITT: x.itt, TTT: NoTag}.PDU()
	p.SetUint32(offCmdSN, cmdSN)
	c.out.put(outItem{p: p})
}
