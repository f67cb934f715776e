package initiator

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Status is a SCSI status. SAM-5 5.3.1.
type Status uint8

// SCSI statuses.
const (
	Good                     Status = 0x00
	CheckCondition           Status = 0x02
	ConditionMet             Status = 0x04
	Busy                     Status = 0x08
	Intermediate             Status = 0x10
	IntermediateConditionMet Status = 0x14
	ReservationConflict      Status = 0x18
	TaskSetFull              Status = 0x28
	ACAActive                Status = 0x30
	TaskAborted              Status = 0x40
)

var statusNames = map[Status]string{
	Good: "GOOD", CheckCondition: "CHECK CONDITION", ConditionMet: "CONDITION MET", Busy: "BUSY",
	Intermediate: "INTERMEDIATE", IntermediateConditionMet: "INTERMEDIATE-CONDITION MET",
	ReservationConflict: "RESERVATION CONFLICT", TaskSetFull: "TASK SET FULL",
	ACAActive: "ACA ACTIVE", TaskAborted: "TASK ABORTED",
}

func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return n
	}
	return fmt.Sprintf("status %#02x", uint8(s))
}

// Response is the end of a SCSI command.
type Response struct {
	Code      uint8 // iSCSI response: 0 completed at target. RFC 7143 §11.4.3
	Status    Status
	Qualifier uint16 // status qualifier, iSCSIProtocolLevel 2 only
	Sense     Sense  // zero without sense data
	SenseData []byte
	Data      []byte // what was read, up to the last byte received
	Residual  uint32 // bytes
	Overflow  bool
	Underflow bool
	Elapsed   time.Duration // from Start
}

// Good reports whether the command completed with GOOD or CONDITION MET.
func (r Response) Good() bool {
	return r.Code == 0 && (r.Status == Good || r.Status == ConditionMet)
}

// Err is nil for a good response and a *StatusError otherwise.
func (r Response) Err() error {
	if r.Good() {
		return nil
	}
	return &StatusError{Response: r}
}

func (r Response) String() string {
	switch {
	case r.Code != 0:
		return fmt.Sprintf("iSCSI response %#02x", r.Code)
	case r.Status == CheckCondition:
		return fmt.Sprintf("%v %v", r.Status, r.Sense)
	}
	return r.Status.String()
}

// StatusError is a command that did not end well.
type StatusError struct{ Response }

func (e *StatusError) Error() string { return "scsi: " + e.Response.String() }

// response ends the task by a SCSI Response. RFC 7143 §11.4.
func (t *Task) response(p *PDU) {
	code, st := p.BHS[2], Status(p.BHS[3])
	flags := p.BHS[1]
	if code > 1 && code < 0x80 {
		t.report(RuleResponseCode, p, "response %#02x", code)
	}
	if _, ok := statusNames[st]; !ok && code == 0 {
		t.report(RuleStatus, p, "%v", st)
	}
	sent := t.dataSN
	if code != 0 {
		sent = 0
	}
	if n := p.Uint32(offDataSN); n != sent {
		t.report(RuleExpDataSN, p, "ExpDataSN %d, %d Data-In came", n, sent)
	}
	if flags&0x18 != 0 || p.Uint32(40) != 0 {
		t.report(RuleResidual, p, "bidirectional residual for a command with one direction")
	}
	if code != 0 && flags&0x06 != 0 {
		t.report(RuleResidual, p, "residual flags with response %#02x", code)
	}
	if p.Uint32(20) != 0 && t.s.params.ErrorRecoveryLevel == 0 {
		t.report(RuleReserved, p, "SNACK tag %#x without an R-Data SNACK", p.Uint32(20))
	}
	if q := p.Uint16(8); q != 0 {
		if t.s.params.ProtocolLevel < 2 {
			t.report(RuleReserved, p, "status qualifier %#x at iSCSIProtocolLevel 1", q)
		}
		t.resp.Qualifier = q
	}
	if len(t.held) > 0 {
		t.report(RuleResponseBeforeData, p, "%d R2Ts are not answered yet", len(t.held))
	}
	t.senseData(p, st, code)
	t.end(p, st, code)
}

// maxSense is the longest sense data that exists. SPC-4 r36f 4.5.1.
const maxSense = 252

// senseData takes the data segment apart: SenseLength, then sense data.
func (t *Task) senseData(p *PDU, st Status, code uint8) {
	d := p.Data
	if len(d) == 0 {
		if st == CheckCondition && code == 0 {
			t.report(RuleSenseMissing, p, "CHECK CONDITION without sense data")
		}
		return
	}
	if len(d) < 2 {
		t.report(RuleSenseLength, p, "data segment of %d bytes", len(d))
		return
	}
	n := int(binary.BigEndian.Uint16(d))
	d = d[2:]
	if n > maxSense || n != len(d) {
		t.report(RuleSenseLength, p, "SenseLength %d in a segment with %d more bytes", n, len(d))
	}
	d = d[:min(n, len(d))]
	switch {
	case st == CheckCondition && n == 0:
		t.report(RuleSenseMissing, p, "CHECK CONDITION with SenseLength 0")
	case st != CheckCondition && n > 0 && t.s.params.ProtocolLevel < 2:
		t.report(RuleSenseUnexpected, p, "sense data with %v", st)
	}
	if len(d) == 0 {
		return
	}
	t.resp.SenseData = append([]byte(nil), d...)
	var err error
	if t.resp.Sense, err = ParseSense(d); err != nil {
		t.report(RuleSenseFormat, p, "%v", err)
	}
}

// end fills in the common part of a response and checks the transfer.
func (t *Task) end(p *PDU, st Status, code uint8) {
	r := &t.resp
	r.Code, r.Status = code, st
	r.Overflow, r.Underflow = p.BHS[1]&0x04 != 0, p.BHS[1]&0x02 != 0
	r.Residual = p.Uint32(offResidual)
	r.Data = t.in[:t.got.end()]
	r.Elapsed = time.Since(t.began)
	if code == 0 {
		t.checkTransfer(p)
	}
}

// checkTransfer compares the residual with what was moved. RFC 7143 §11.4.5.
func (t *Task) checkTransfer(p *PDU) {
	r, edtl := t.resp, max(t.cmd.In, len(t.cmd.Out))
	bad := func(format string, args ...any) { t.report(RuleResidual, p, format, args...) }
	switch {
	case r.Overflow && r.Underflow:
		bad("O and U together")
	case !r.Overflow && !r.Underflow && r.Residual != 0:
		t.report(RuleResidualUnused, p, "residual %d without O or U", r.Residual)
	case r.Underflow && int64(r.Residual) > int64(edtl):
		bad("underflow of %d, EDTL is %d", r.Residual, edtl)
	}
	if !t.lastFinal {
		t.report(RuleDataBurst, p, "last Data-In without F")
	}
	if !r.Good() {
		return
	}
	moved := edtl
	if r.Underflow {
		moved -= int(r.Residual)
	}
	if t.cmd.In > 0 && t.got.total() != moved {
		bad("%d bytes came, EDTL %d and the residual make it %d", t.got.total(), edtl, moved)
	}
	if len(t.cmd.Out) > 0 && t.sent < moved {
		bad("GOOD after %d bytes, EDTL %d and the residual make it %d", t.sent, edtl, moved)
	}
}
