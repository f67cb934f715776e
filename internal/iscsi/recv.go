package iscsi

import (
	"sync/atomic"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pool"
)

const (
	// receiveSize is the receive buffer: what one read may bring.
	receiveSize = 128 << 10
	// inPlace is the largest data segment that is waited for in the receive
	// buffer. A longer one that has not arrived as a whole goes to a buffer
	// of its own, the rest of it straight from the socket.
	inPlace = 16 << 10
)

// receiver is what has arrived and is not yet understood.
type receiver struct {
	buf  *pool.Buf // nil while nothing is buffered and nobody reads
	r, w int       // buf.B[r:w] is not parsed yet

	body  body
	done  body         // the last one, while it is handled
	since atomic.Int64 // when the PDU began that is still incomplete; 0: none is
	fresh bool         // a PDU was completed since
}

// body is a PDU whose header is understood and whose data segment is being
// placed where it belongs.
type body struct {
	active bool
	h      pdu.BHS
	ahs    []byte
	data   []byte    // the data segment; nil: thrown away
	buf    *pool.Buf // backs data, unless a task's buffer does
	rest   []byte    // of data, not arrived yet
	skip   int       // bytes to throw away
	tail   int       // padding and digest behind it
	place  placement // Data-Out
}

func (in *receiver) bytes() []byte {
	if in.buf == nil {
		return nil
	}
	return in.buf.B[in.r:in.w]
}

// space returns where the next bytes go: first the rest of a data segment that
// is being placed, then the buffer.
func (in *receiver) space() (p, q []byte) {
	if in.buf == nil {
		in.buf = pool.Get(receiveSize)
	}
	if in.r == in.w {
		in.r, in.w = 0, 0
	} else if in.r > 0 && len(in.buf.B)-in.r < 2*inPlace {
		in.w = copy(in.buf.B, in.buf.B[in.r:in.w])
		in.r = 0
	}
	return in.body.rest, in.buf.B[in.w:]
}

// took notes that n bytes came into what space returned.
func (in *receiver) took(n int) {
	k := min(n, len(in.body.rest))
	in.body.rest = in.body.rest[k:]
	in.w += n - k
}

// rest gives the buffer back while nothing is in it.
func (in *receiver) rest() {
	if in.buf != nil && in.r == in.w {
		in.buf.Release()
		in.buf, in.r, in.w = nil, 0, 0
	}
}

// abandon lets go of everything. The receive buffer is left to the garbage
// collector: a call may still look at it.
func (c *conn) abandon() {
	in := &c.in
	if t := in.body.place.t; t != nil {
		if t.placing--; t.gone {
			c.recycle(t)
		}
	}
	in.body.buf.Release()
	in.body = body{}
	in.buf, in.r, in.w = nil, 0, 0
}

// mark notes since when a PDU is incomplete.
func (in *receiver) mark(now int64) {
	switch {
	case !in.body.active && in.r == in.w:
		in.since.Store(0)
	case in.fresh || in.since.Load() == 0:
		in.since.Store(now)
	}
	in.fresh = false
}

// leave moves what is not parsed to a new buffer: the old one is still looked
// at by a call that was left behind.
func (in *receiver) leave() {
	if in.buf == nil {
		return
	}
	fresh := pool.Get(receiveSize)
	in.w = copy(fresh.B, in.buf.B[in.r:in.w])
	in.r = 0
	in.buf = fresh
}

// next takes the next PDU from what has arrived and handles it. It returns
// false if bytes are missing, or if the connection failed.
func (c *conn) next() bool {
	in := &c.in
	if in.body.active {
		return c.endBody()
	}
	have := in.bytes()
	if len(have) < pdu.BHSLen {
		return false
	}
	h := (*pdu.BHS)(have)
	l := h.Layout(c.digests())
	if len(have) < l.Data {
		return false
	}
	ahs := have[l.AHS:l.HeaderDigest]
	if c.params.HeaderDigest && pdu.WireDigest([4]byte(have[l.HeaderDigest:l.Data])) != pdu.HeaderDigest(h, ahs) {
		c.stats.DigestErrors++
		c.srv.events.digestError(c, ReasonHeaderDigest)
		c.fail(ReasonHeaderDigest, nil) // the length can no longer be trusted
		return false
	}
	if reason := c.frameError(h); reason != "" {
		c.sess.fail(reason) // RFC 7143 §7.7: a format error ends the session
		return false
	}
	if len(have) >= l.End {
		in.r += l.End
		in.fresh = true
		data := have[l.Data:l.Pad]
		if l.End > l.DataDigest && !c.dataDigestMatches(data, have[l.Pad:l.End]) {
			c.dataDigestError(h, ahs)
			if h.Opcode() == pdu.OpDataOut {
				c.dataOutDamaged(c.placeDataOut(h))
			}
			return true
		}
		c.arrived(h, ahs, data, nil)
		return true
	}
	if n := l.Pad - l.Data; n > inPlace || h.Opcode() == pdu.OpDataOut {
		c.beginBody(h, ahs, l, have)
	}
	return false
}

func (c *conn) digests() pdu.Digests {
	return pdu.Digests{Header: c.params.HeaderDigest, Data: c.params.DataDigest}
}

// frameError names what makes the stream unreadable.
func (c *conn) frameError(h *pdu.BHS) Reason {
	switch {
	case !h.Opcode().FromInitiator():
		return ReasonTargetOpcode
	case h.DataSegmentLength() > int(c.params.MaxRecv):
		return ReasonDataSegmentTooLong
	}
	return ""
}

// beginBody goes over to placing the data segment of the PDU in have.
func (c *conn) beginBody(h *pdu.BHS, ahs []byte, l pdu.Layout, have []byte) {
	b := &c.in.body
	*b = body{active: true, h: *h, tail: l.End - l.Pad}
	n := l.Pad - l.Data
	if h.Opcode() == pdu.OpDataOut {
		b.place = c.placeDataOut(h)
		b.data = b.place.dst
	} else {
		b.ahs = append([]byte(nil), ahs...)
		b.buf = pool.Get(n)
		b.data = b.buf.B
	}
	part := have[l.Data:min(len(have), l.Pad)]
	c.in.r += l.Data + len(part)
	if b.data == nil {
		b.skip = n - len(part)
		return
	}
	b.rest = b.data[copy(b.data, part):]
}

// endBody handles the PDU whose data segment was placed, once all of it is
// there.
func (c *conn) endBody() bool {
	in := &c.in
	b := &in.body
	if b.skip > 0 {
		n := min(b.skip, in.w-in.r)
		in.r += n
		b.skip -= n
	}
	if b.skip > 0 || len(b.rest) > 0 || in.w-in.r < b.tail {
		return false
	}
	tail := in.buf.B[in.r : in.r+b.tail]
	in.r += b.tail
	in.done = *b
	done := &in.done
	defer func() { *done = body{} }()
	*b = body{}
	in.fresh = true
	if c.params.DataDigest && done.data != nil && !c.dataDigestMatches(done.data, tail) {
		c.dataDigestError(&done.h, done.ahs)
		if done.h.Opcode() == pdu.OpDataOut {
			c.dataOutDamaged(done.place)
		}
		done.buf.Release()
		return true
	}
	if done.h.Opcode() == pdu.OpDataOut {
		c.heard(&done.h)
		c.dataOutPlaced(done.place)
		return true
	}
	c.arrived(&done.h, done.ahs, done.data, done.buf)
	return true
}

// dataDigestMatches checks the digest at the end of tail, which holds padding
// and digest.
func (c *conn) dataDigestMatches(data, tail []byte) bool {
	pad := len(tail) - pdu.DigestLen
	return pdu.WireDigest([4]byte(tail[pad:])) == pdu.Digest(0).Update(data).Update(tail[:pad])
}

// space implements intake. Only the reader looks at c.in, so it may do so
// without the role.
func (c *conn) space() (p, q []byte) { return c.in.space() }
