package initiator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Cmd is one SCSI command with its transfer. The transfer sizes are what the
// initiator tells the target (EDTL), which may differ from what the CDB says.
type Cmd struct {
	LUN  LUN
	CDB  []byte
	In   int    // bytes expected from the target
	Out  []byte // bytes for the target; must not change until the command ends
	Attr TaskAttr

	Immediate     bool  // immediate delivery: no CmdSN of its own
	NoImmediate   bool  // send no immediate data even if allowed
	NoUnsolicited bool  // send no unsolicited data at all, not even immediate
	HoldData      bool  // leave R2Ts unanswered until Task.Release
	Conn          *Conn // nil: any connection of the session
}

// ErrBidirectional refuses a command that moves data both ways.
var ErrBidirectional = errors.New("initiator: bidirectional commands are not supported")

// ErrEnded means that a task ended while something else was expected of it.
var ErrEnded = errors.New("initiator: task has ended")

// ErrAborted ends a task when the target confirms a task management function
// that covers it.
var ErrAborted = errors.New("initiator: task aborted")

// Task is one SCSI command in progress. Methods may be called from any goroutine.
type Task struct {
	s     *Session
	x     exchange
	cmd   Cmd
	began time.Time

	// Guarded by Session.mu.
	in        []byte
	got       extents
	dataSN    uint32 // next of Data-In
	burst     int    // bytes since the last F
	lastFinal bool   // F of the last Data-In
	sent      int    // bytes of Out promised so far
	r2tSN     uint32 // next
	held      []R2T  // received, not answered
	arrived   chan struct{}
	resp      Response
}

// ITT returns the task's tag.
func (t *Task) ITT() uint32 { return t.x.itt }

// CmdSN returns the task's command number.
func (t *Task) CmdSN() uint32 { return t.x.cmdSN }

// Conn returns the connection the task is allegiant to.
func (t *Task) Conn() *Conn { return t.x.conn }

// Done is closed when the task has ended.
func (t *Task) Done() <-chan struct{} { return t.x.done }

// Wait returns the response. When ctx ends first, the task lives on.
func (t *Task) Wait(ctx context.Context) (Response, error) {
	if err := t.s.wait(ctx, &t.x); err != nil {
		return Response{}, err
	}
	return t.resp, nil
}

// Do runs one command to its end. The error is about transport; a command that
// the target ended with a bad status is in the Response, see Response.Err.
func (s *Session) Do(ctx context.Context, cmd Cmd) (Response, error) {
	t, err := s.Start(ctx, cmd)
	if err != nil {
		return Response{}, err
	}
	return t.Wait(ctx)
}

// Start sends a command and returns once it is queued, which may take until the
// command window opens.
func (s *Session) Start(ctx context.Context, cmd Cmd) (*Task, error) {
	if cmd.In > 0 && len(cmd.Out) > 0 {
		return nil, ErrBidirectional
	}
	t := &Task{s: s, cmd: cmd, began: time.Now(), arrived: make(chan struct{}, 1)}
	t.in = make([]byte, cmd.In)
	t.lastFinal = true
	t.x = exchange{request: OpSCSICommand, immediate: cmd.Immediate, lun: cmd.LUN, answer: t.answer}
	if err := s.begin(ctx, cmd.Conn, &t.x, t.build); err != nil {
		return nil, err
	}
	return t, nil
}

// build makes the command and its unsolicited data. RFC 7143 §4.2.5.2, §11.3.4.
func (t *Task) build() []*PDU {
	p, c, out := t.s.params, t.cmd, t.cmd.Out
	limit := t.x.conn.raw.Params.TargetMaxRecvDataSegment
	immediate := 0
	if p.ImmediateData && !c.NoImmediate && !c.NoUnsolicited {
		immediate = min(p.FirstBurstLength, limit, len(out))
	}
	t.sent = immediate
	if !p.InitialR2T && !c.NoUnsolicited {
		t.sent = min(p.FirstBurstLength, len(out))
	}
	pdus := []*PDU{SCSICommandPDU{
		Immediate: c.Immediate, Final: t.sent == immediate, Read: c.In > 0, Write: len(out) > 0,
		Attr: c.Attr, LUN: c.LUN, ITT: t.x.itt, EDTL: uint32(max(c.In, len(out))),
		CDB: c.CDB, Data: out[:immediate],
	}.PDU()}
	return append(pdus, t.dataOut(NoTag, immediate, t.sent)...)
}

// dataOut cuts Out[from:to] into Data-Out PDUs of one sequence.
func (t *Task) dataOut(ttt uint32, from, to int) []*PDU {
	limit := t.x.conn.raw.Params.TargetMaxRecvDataSegment
	var pdus []*PDU
	for sn := uint32(0); from < to; sn++ {
		end := min(from+limit, to)
		pdus = append(pdus, DataOutPDU{
			Final: end == to, LUN: t.cmd.LUN, ITT: t.x.itt, TTT: ttt,
			DataSN: sn, Offset: uint32(from), Data: t.cmd.Out[from:end],
		}.PDU())
		from = end
	}
	return pdus
}

// answer takes one PDU of the target; true ends the task.
func (t *Task) answer(p *PDU) bool {
	switch p.Opcode() {
	case OpDataIn:
		return t.dataIn(p)
	case OpR2T:
		t.r2t(p)
		return false
	default:
		t.response(p)
		return true
	}
}

func (t *Task) report(r Rule, p *PDU, format string, args ...any) {
	t.x.conn.report(r, p, fmt.Sprintf(format, args...))
}

// dataIn places one Data-In. RFC 7143 §11.7.
func (t *Task) dataIn(p *PDU) bool {
	flags := p.BHS[1]
	final, ack, status := flags&0x80 != 0, flags&0x40 != 0, flags&0x01 != 0
	if t.cmd.In == 0 {
		t.report(RuleDataInDirection, p, "the command expects no data")
	}
	if sn := p.Uint32(offDataSN); sn != t.dataSN {
		t.report(RuleDataSN, p, "DataSN %d, expected %d", sn, t.dataSN)
		t.dataSN = sn
	}
	t.dataSN++
	t.lastFinal = final
	t.place(p, int(p.Uint32(offBufferOff)))
	t.burst += len(p.Data)
	if t.burst > t.s.params.MaxBurstLength {
		t.report(RuleDataBurst, p, "sequence of %d bytes, MaxBurstLength is %d", t.burst, t.s.params.MaxBurstLength)
	}
	if final {
		t.burst = 0
	}
	switch {
	case ack && t.s.params.ErrorRecoveryLevel == 0:
		t.report(RuleDataAck, p, "A bit at ErrorRecoveryLevel 0")
	case ack:
		t.acknowledge(p)
	default:
		if p.TTT() != NoTag {
			t.report(RuleReserved, p, "TTT %#x without the A bit", p.TTT())
		}
		if p.LUN() != 0 && p.LUN() != t.cmd.LUN {
			t.report(RuleReserved, p, "LUN %v without the A bit", p.LUN())
		}
	}
	if !status {
		if p.BHS[3] != 0 {
			t.report(RuleReserved, p, "status %#02x without the S bit", p.BHS[3])
		}
		if flags&0x06 != 0 {
			t.report(RuleReserved, p, "residual flags without the S bit")
		}
		return false
	}
	t.collapsed(p, final)
	return true
}

// place copies the payload to its offset.
func (t *Task) place(p *PDU, off int) {
	end := off + len(p.Data)
	if end > len(t.in) {
		t.report(RuleDataBeyondEDTL, p, "offset %d, %d bytes, EDTL is %d", off, len(p.Data), len(t.in))
		return
	}
	inOrder := t.s.params.DataPDUInOrder && t.s.params.DataSequenceInOrder
	if inOrder && off != t.got.total() {
		t.report(RuleDataOffset, p, "offset %d after %d bytes in order", off, t.got.total())
	}
	if !t.got.add(off, end) && !inOrder {
		t.report(RuleDataOffset, p, "bytes %d to %d overlap what came before", off, end)
	}
	copy(t.in[off:], p.Data)
}

// acknowledge answers the A bit. RFC 7143 §11.16.1.
func (t *Task) acknowledge(p *PDU) {
	t.x.conn.out.put(outItem{p: SNACKPDU{
		Type: SNACKAck, LUN: p.LUN(), ITT: NoTag, TTT: p.TTT(), BegRun: t.dataSN,
	}.PDU()})
}

// collapsed ends the task by the status in its last Data-In. RFC 7143 §11.7.3.
func (t *Task) collapsed(p *PDU, final bool) {
	st := Status(p.BHS[3])
	if !final {
		t.report(RuleStatusInData, p, "S without F")
	}
	switch st {
	case Good, ConditionMet, Intermediate, IntermediateConditionMet:
	default:
		t.report(RuleStatusInData, p, "%v must come in a SCSI Response", st)
	}
	t.end(p, st, 0)
}

// R2T is a target's request for data. RFC 7143 §11.8.
type R2T struct {
	TTT, SN        uint32
	Offset, Length int
}

// r2t checks a request for data and answers it, unless the task holds its data.
func (t *Task) r2t(p *PDU) {
	r := R2T{
		TTT: p.TTT(), SN: p.Uint32(offDataSN),
		Offset: int(p.Uint32(offBufferOff)), Length: int(p.Uint32(offResidual)),
	}
	if len(t.cmd.Out) == 0 {
		t.report(RuleR2TDirection, p, "the command has no data to send")
		return
	}
	if r.SN != t.r2tSN {
		t.report(RuleR2TSN, p, "R2TSN %d, expected %d", r.SN, t.r2tSN)
		t.r2tSN = r.SN
	}
	t.r2tSN++
	if p.LUN() != t.cmd.LUN {
		t.report(RuleR2TTag, p, "LUN %v, the command's is %v", p.LUN(), t.cmd.LUN)
	}
	if r.TTT == NoTag {
		t.report(RuleR2TTag, p, "TTT has the reserved value")
	}
	for _, h := range t.held {
		if h.TTT == r.TTT {
			t.report(RuleR2TTag, p, "TTT %#x is in use", r.TTT)
		}
	}
	if len(t.held)+1 > t.s.params.MaxOutstandingR2T {
		t.report(RuleR2TOutstanding, p, "%d outstanding, MaxOutstandingR2T is %d", len(t.held)+1, t.s.params.MaxOutstandingR2T)
	}
	if r.Length == 0 || r.Length > t.s.params.MaxBurstLength || r.Offset+r.Length > len(t.cmd.Out) {
		t.report(RuleR2TRange, p, "offset %d length %d, EDTL %d, MaxBurstLength %d", r.Offset, r.Length, len(t.cmd.Out), t.s.params.MaxBurstLength)
		if r.Length == 0 || r.Offset+r.Length > len(t.cmd.Out) {
			return
		}
	}
	// At ErrorRecoveryLevel 0 nothing is asked for twice.
	if t.s.params.DataSequenceInOrder && t.s.params.ErrorRecoveryLevel == 0 && r.Offset != t.sent {
		t.report(RuleR2TOffset, p, "offset %d, expected %d", r.Offset, t.sent)
	}
	t.sent = max(t.sent, r.Offset+r.Length)
	if t.cmd.HoldData {
		t.held = append(t.held, r)
		select {
		case t.arrived <- struct{}{}:
		default:
		}
		return
	}
	t.send(r)
}

// send queues the data of one R2T.
func (t *Task) send(r R2T) {
	pdus := t.dataOut(r.TTT, r.Offset, r.Offset+r.Length)
	items := make([]outItem, len(pdus))
	for i, p := range pdus {
		items[i].p = p
	}
	t.x.conn.out.put(items...)
}
