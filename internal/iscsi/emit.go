package iscsi

import (
	"time"

	"nas-target/internal/iscsi/pdu"
)

// header reserves a header in the outbox; payload must follow at once.
func (c *conn) header() *pdu.BHS {
	if !c.out.fits(smallPayload) {
		c.flush()
	}
	return (*pdu.BHS)(c.out.grab(pdu.BHSLen))
}

// payload completes the PDU of h, which is encoded now: digests, data segment,
// padding. Data longer than smallPayload are sent from where they are.
func (c *conn) payload(h *pdu.BHS, data []byte) {
	if len(data) <= smallPayload {
		c.copied(h, data)
		return
	}
	c.headerDigest(h)
	c.out.refer(data)
	c.trailer(data)
}

// copied completes the PDU of h with a copy of data, at most smallPayload
// bytes.
func (c *conn) copied(h *pdu.BHS, data []byte) {
	c.headerDigest(h)
	if len(data) > 0 {
		copy(c.out.grab(len(data)), data)
		c.trailer(data)
	}
}

func (c *conn) headerDigest(h *pdu.BHS) {
	if c.params.HeaderDigest {
		d := pdu.HeaderDigest(h, nil).Wire()
		copy(c.out.grab(pdu.DigestLen), d[:])
	}
}

// trailer puts padding and digest behind a data segment.
func (c *conn) trailer(data []byte) {
	if pad := pdu.Pad(len(data)); pad > 0 {
		clear(c.out.grab(pad))
	}
	if c.params.DataDigest {
		d := pdu.DataDigest(data).Wire()
		copy(c.out.grab(pdu.DigestLen), d[:])
	}
}

func (c *conn) nextStatSN() pdu.Serial {
	sn := c.statSN
	c.statSN++
	return sn
}

// flush writes the outbox and refills it with answers until there are none, or
// the socket is full.
func (c *conn) flush() {
	if c.dead {
		return
	}
	for !c.blocked {
		c.fill()
		if c.out.empty() {
			break
		}
		n, err := c.tr.write(c.out.unsent())
		c.stats.Writes++
		c.stats.BytesOut += uint64(n)
		c.now = c.srv.clock() // once for all that this write finished
		c.out.wrote(n, c.onWritten)
		if err == errWouldBlock {
			c.blocked = true
			return // release sees to it that somebody waits for room
		}
		if err != nil {
			c.fail(ReasonWriteError, err)
			return
		}
	}
	if c.leaving && !c.blocked && !c.lingering {
		c.linger()
	}
}

// awaitRoom starts the writer if the socket is full and nobody waits for room.
func (c *conn) awaitRoom() {
	if c.blocked && !c.writing && c.failure.Load() == nil {
		c.writing = true
		go c.writer()
	}
}

// retry goes on with a full socket, and reports true, if it takes bytes again.
// Only the reader, inside idle, may call it.
func (c *conn) retry() bool {
	if !c.blocked || c.writing || !c.tr.writable() {
		return false
	}
	c.blocked = false
	c.now = c.srv.clock()
	c.flush()
	return true
}

// writer goes on with a full socket as soon as it takes bytes again. It lives
// while the connection is blocked.
func (c *conn) writer() {
	for {
		err := c.tr.waitWrite(c.srv.opt.WriteStall)
		c.role.Lock()
		c.reading = false
		c.now = c.srv.clock()
		if err != nil {
			c.fail(ReasonSlowReader, err)
		}
		c.blocked = false
		if c.failure.Load() == nil {
			c.news()
			c.flush()
		}
		if !c.blocked {
			c.writing = false
			c.wake()
			c.errand()
			return
		}
		c.release()
	}
}

// freeOwner releases who waited for the last byte to be written.
func (c *conn) freeOwner(o owner) {
	if o.t != nil {
		o.t.scsi.Took(time.Duration(c.now - o.t.started))
		c.recycle(o.t)
	}
	o.buf.Release()
}
