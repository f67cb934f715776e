package decode

import (
	"time"

	"nas-target/internal/iscsi/pdu"
)

// keptData is how much of a data segment is looked into: more than login text,
// parameter lists and sense data have. The digest covers all of it.
const keptData = 64 << 10

// half is what one side of a connection sends: bytes in order, cut into PDUs.
type half struct {
	conn       *conn
	fromTarget bool

	offset  int64 // of the next byte
	skipped int   // bytes since the stream was lost
	lost    bool  // where PDUs begin is not known
	strange bool  // the last opcode was none
	began   time.Time

	digests pdu.Digests // of the PDU that is collected
	head    []byte      // header, AHS and header digest, as far as they came
	layout  pdu.Layout  // valid once there is a whole header
	at      int         // bytes of the PDU that came
	data    []byte      // at most keptData
	sum     pdu.Digest
	wire    []byte // of the data digest
}

// feed takes the next bytes.
func (h *half) feed(b []byte, at time.Time) {
	if h.lost && !h.findPDU(b, at) {
		return
	}
	for len(b) > 0 {
		if h.at == 0 {
			h.began = at
		}
		n := h.take(b)
		b, h.offset, h.at = b[n:], h.offset+int64(n), h.at+n
		if h.at >= pdu.BHSLen && h.at == h.layout.End {
			h.finish()
		}
		if h.lost {
			h.skip(len(b))
			return
		}
	}
}

// take puts the beginning of b where it belongs, and returns how much that was.
func (h *half) take(b []byte) int {
	switch {
	case h.at < pdu.BHSLen:
		n := min(len(b), pdu.BHSLen-h.at)
		h.head = append(h.head, b[:n]...)
		if len(h.head) == pdu.BHSLen {
			h.digests = h.conn.digests((*pdu.BHS)(h.head).Opcode())
			h.layout = (*pdu.BHS)(h.head).Layout(h.digests)
		}
		return n
	case h.at < h.layout.Data:
		n := min(len(b), h.layout.Data-h.at)
		h.head = append(h.head, b[:n]...)
		return n
	case h.at < h.layout.DataDigest: // data and padding, which the digest covers
		n := min(len(b), h.layout.DataDigest-h.at)
		if h.digests.Data {
			h.sum = h.sum.Update(b[:n])
		}
		if room := min(n, h.layout.Pad-h.at, keptData-len(h.data)); room > 0 {
			h.data = append(h.data, b[:room]...)
		}
		return n
	}
	n := min(len(b), h.layout.End-h.at)
	h.wire = append(h.wire, b[:n]...)
	return n
}

// finish hands the PDU on and begins the next one.
func (h *half) finish() {
	bhs := *(*pdu.BHS)(h.head)
	r := h.record(&bhs)
	ahs := h.head[pdu.BHSLen:min(len(h.head), h.layout.HeaderDigest)]
	if h.digests.Header {
		got, want := pdu.WireDigest([pdu.DigestLen]byte(h.head[h.layout.HeaderDigest:])), pdu.HeaderDigest(&bhs, ahs)
		if got != want {
			r.complain("header digest 0x%08x, should be 0x%08x", uint32(got), uint32(want))
		}
	}
	if h.digests.Data && len(h.wire) == pdu.DigestLen {
		if got := pdu.WireDigest([pdu.DigestLen]byte(h.wire)); got != h.sum {
			r.complain("data digest 0x%08x, should be 0x%08x", uint32(got), uint32(h.sum))
		}
	}
	if op := bhs.Opcode(); op.Known() && op.FromInitiator() != h.fromTarget {
		h.strange = false
		h.conn.pdu(h, r, &bhs, ahs, h.data)
	} else {
		if op.Known() {
			r.complain("%v is not for this side to send", op)
		} else {
			r.complain("unknown opcode 0x%02x", uint8(op))
		}
		h.conn.out(r)
		// Its length may be right. A second one means that it was not.
		h.lost, h.strange = h.strange, true
	}
	h.reset()
}

func (h *half) record(bhs *pdu.BHS) *Record {
	r := h.conn.record(h.fromTarget)
	r.Time, r.Offset = h.began, h.offset-int64(h.at)
	r.PDU, r.Opcode = bhs.Opcode().String(), uint8(bhs.Opcode())
	r.Data = bhs.DataSegmentLength()
	return r
}

func (h *half) reset() {
	h.head, h.data, h.wire = h.head[:0], h.data[:0], h.wire[:0]
	if cap(h.data) > keptData/4 {
		h.data = nil
	}
	h.at, h.sum, h.layout = 0, 0, pdu.Layout{}
}

// gap ends the PDU that is being collected: n bytes are missing; less than 0:
// nobody knows how many.
func (h *half) gap(n int, why string) {
	if h.at > 0 {
		h.cut(why)
	}
	if n > 0 {
		h.offset += int64(n)
	}
	h.lost = true
	h.conn.forget()
}

// cut tells of a PDU that has no end.
func (h *half) cut(why string) {
	var r *Record
	if h.at >= pdu.BHSLen {
		bhs := *(*pdu.BHS)(h.head)
		r = h.record(&bhs)
		if p := pdu.New(bhs.Opcode()); p != nil {
			p.Decode(&bhs)
			r.header(p)
		}
		r.complain("cut short after %d of %d bytes: %s", h.at, h.layout.End, why)
	} else {
		r = h.conn.record(h.fromTarget)
		r.Time, r.Offset, r.PDU = h.began, h.offset-int64(h.at), "header"
		r.complain("cut short after %d of %d bytes: %s", h.at, pdu.BHSLen, why)
	}
	h.conn.out(r)
	h.reset()
}

// findPDU looks whether a PDU begins with b. Senders begin a segment with one
// whenever they have been idle.
func (h *half) findPDU(b []byte, at time.Time) bool {
	if !h.plausible(b) {
		h.skip(len(b))
		return false
	}
	if h.skipped > 0 {
		r := h.conn.record(h.fromTarget)
		r.Time, r.Offset, r.PDU = at, h.offset-int64(h.skipped), "none"
		r.complain("%d bytes were skipped, to where a PDU begins", h.skipped)
		h.conn.out(r)
	}
	h.lost, h.strange, h.skipped = false, false, 0
	return true
}

func (h *half) skip(n int) {
	h.skipped += n
	h.offset += int64(n)
}

// plausible reports whether b may begin with a header of this side.
func (h *half) plausible(b []byte) bool {
	if len(b) < pdu.BHSLen {
		return false
	}
	bhs := (*pdu.BHS)(b)
	op := bhs.Opcode()
	// Bit 7 of the opcode is reserved, and no session has segments beyond 16 MiB - 1.
	return op.Known() && op.FromInitiator() != h.fromTarget && b[0]&0x80 == 0 && bhs.AHSLength() <= 64
}

// end is the end of the stream.
func (h *half) end(why string) {
	if h.at > 0 {
		h.cut(why)
	}
	if h.skipped > 0 {
		r := h.conn.record(h.fromTarget)
		r.Offset, r.PDU = h.offset-int64(h.skipped), "none"
		r.complain("%d bytes were skipped: no PDU begins where a segment does", h.skipped)
		h.conn.out(r)
		h.skipped = 0
	}
}
