package iscsi

import (
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// fill moves answers into the outbox as far as the batch has room.
func (c *conn) fill() {
	for c.answers.head != nil && c.held == 0 && c.out.pending() < batchBytes {
		t := c.answers.head
		if !c.out.fits(smallPayload) {
			return
		}
		if c.answer(t) {
			c.answers.pop()
			c.out.own(t, nil)
		}
	}
}

// answer puts the next PDU of t into the outbox. It returns true after the
// last one.
func (c *conn) answer(t *task) (last bool) {
	in := t.scsi.In
	if int(t.sent) == len(in) {
		c.scsiResponse(t)
		return true
	}
	n := min(uint32(len(in))-t.sent, c.maxSend)
	burst := c.params.MaxBurstLength - t.sent%c.params.MaxBurstLength
	p := pdu.DataIn{
		ITT:          t.itt,
		TTT:          pdu.ReservedTag,
		DataSN:       t.dataSN,
		BufferOffset: t.sent,
	}
	if n >= burst {
		n = burst
		p.Final = true
	} else if int(t.sent+n) < len(in) {
		n &^= 3 // RFC 7143 §11.7: only the end of a sequence may be odd
	}
	if int(t.sent+n) == len(in) {
		p.Final = true
		last = t.collapsible()
	}
	p.DataSegmentLength = n
	if last {
		p.HasStatus = true
		p.Status = uint8(t.scsi.Status)
		p.StatSN = c.nextStatSN()
		p.Overflow, p.Underflow, p.Residual = residual(t.scsi.Want, t.edtl)
		c.close(t)
	}
	p.ExpCmdSN, p.MaxCmdSN = c.sess.numbers()
	h := c.header()
	p.Encode(h)
	c.payload(h, in[t.sent:t.sent+n])
	t.sent += n
	t.dataSN++
	c.queued -= int(n)
	c.stats.DataIn += uint64(n)
	return last
}

// collapsible reports whether the status may ride on the last Data-In PDU.
// RFC 7143 §11.7.3.
func (t *task) collapsible() bool {
	return (t.scsi.Status == scsi.Good || t.scsi.Status == scsi.ConditionMet) && t.scsi.SenseLen == 0 && !t.bidi
}

// scsiResponse ends t with a PDU of its own.
func (c *conn) scsiResponse(t *task) {
	s := &t.scsi
	p := pdu.SCSIResponse{
		Status: uint8(s.Status),
		ITT:    t.itt,
		StatSN: c.nextStatSN(),
	}
	if t.sent > 0 { // 0 if no Data-In was sent, however many R2Ts. RFC 7143 §11.4.8
		p.ExpDataSN = t.dataSN
	}
	c.residuals(t, &p)
	c.close(t)
	p.ExpCmdSN, p.MaxCmdSN = c.sess.numbers()
	n := s.SenseLen
	if s.Status != scsi.CheckCondition && c.params.ProtocolLevel < 2 {
		n = 0 // RFC 7144 §7.1.1: only level 2 expects it with other statuses
	}
	if n > 0 {
		p.DataSegmentLength = uint32(2 + n)
	}
	h := c.header()
	p.Encode(h)
	c.headerDigest(h)
	if n > 0 {
		data := c.out.grab(2 + n)
		pdu.AppendSense(data[:0], s.Sense[:n])
		c.trailer(data)
	}
}

// residuals fills both residual counts. RFC 7143 §11.4.5.
func (c *conn) residuals(t *task, p *pdu.SCSIResponse) {
	if !t.bidi {
		p.Overflow, p.Underflow, p.Residual = residual(t.scsi.Want, t.edtl)
		return
	}
	var in, out int64
	if len(t.scsi.In) > 0 {
		in = t.scsi.Want
	} else {
		out = t.scsi.Want
	}
	p.Overflow, p.Underflow, p.Residual = residual(out, t.edtl)
	p.BidiOverflow, p.BidiUnderflow, p.BidiResidual = residual(in, t.bidiRead)
}

// residual compares what the command called for with what the initiator
// expected.
func residual(want int64, edtl uint32) (over, under bool, n uint32) {
	switch d := want - int64(edtl); {
	case d > 0:
		return true, false, uint32(min(d, 1<<32-1))
	case d < 0:
		return false, true, uint32(-d)
	}
	return false, false, 0
}

// close ends t towards the initiator: the PDU with its status is being built.
func (c *conn) close(t *task) {
	t.stage = stageSent
	c.stats.Commands++
	c.unlist(t)
}
