package iscsi

import (
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pool"
)

// Bounds of one batch, whatever comes first.
const (
	arenaSize    = 8 << 10
	maxSegments  = 256
	smallPayload = 512 // bytes; below, copying is cheaper than a segment
	// pduRoom is what one PDU may take of the arena besides its payload.
	pduRoom = pdu.BHSLen + 2*pdu.DigestLen + 4
)

// outbox is one batch of bytes for the socket: headers, digests and small
// payloads in an arena, large payloads where they are. The arena never grows,
// so segments into it stay valid; the batch is filled, written, perhaps in
// several steps, and reused only when all of it is written. Owned by the serve
// role.
type outbox struct {
	arena  []byte
	segs   [][]byte
	first  int // segments before it are written
	owners []owner
	paid   int    // owners before it are released
	queued uint64 // bytes ever put in
	done   uint64 // bytes ever written
}

// owner is who may be released once everything before end is written.
type owner struct {
	end uint64
	t   *task
	buf *pool.Buf
}

func (o *outbox) init() {
	o.arena = make([]byte, 0, arenaSize)
	o.segs = make([][]byte, 0, maxSegments)
	o.owners = make([]owner, 0, 32)
}

// fits reports whether one more PDU with small bytes of copied payload fits
// this batch.
func (o *outbox) fits(small int) bool {
	return len(o.arena)+pduRoom+small <= cap(o.arena) && len(o.segs)+4 <= cap(o.segs)
}

func (o *outbox) empty() bool { return o.queued == o.done }

// pending is how many bytes wait to be written.
func (o *outbox) pending() int { return int(o.queued - o.done) }

// grab reserves n bytes of the arena as the next to be sent.
func (o *outbox) grab(n int) []byte {
	at := len(o.arena)
	if at+n > cap(o.arena) {
		// The socket is full and this cannot wait. Segments into the old
		// arena keep it alive.
		o.arena, at = make([]byte, 0, arenaSize), 0
	}
	o.arena = o.arena[:at+n]
	p := o.arena[at : at+n : at+n]
	if k := len(o.segs); k > 0 && o.adjoins(o.segs[k-1], at) {
		s := o.segs[k-1]
		o.segs[k-1] = o.arena[at-len(s) : at+n]
	} else {
		o.segs = append(o.segs, p)
	}
	o.queued += uint64(n)
	return p
}

// adjoins reports whether s is the part of the arena that ends at offset at.
func (o *outbox) adjoins(s []byte, at int) bool {
	return at > 0 && len(s) > 0 && &s[len(s)-1] == &o.arena[at-1]
}

// refer adds p itself; it must stay unchanged until its owner is released.
func (o *outbox) refer(p []byte) {
	o.segs = append(o.segs, p)
	o.queued += uint64(len(p))
}

// unsent returns what to write next.
func (o *outbox) unsent() [][]byte {
	return o.segs[o.first:min(len(o.segs), o.first+maxSegments)]
}

// own releases t or buf once everything put in so far is written.
func (o *outbox) own(t *task, buf *pool.Buf) {
	o.owners = append(o.owners, owner{o.queued, t, buf})
}

// wrote notes that n more bytes went out, and hands over whom that frees.
func (o *outbox) wrote(n int, free func(owner)) {
	o.done += uint64(n)
	for n > 0 {
		s := o.segs[o.first]
		if n < len(s) {
			o.segs[o.first] = s[n:]
			break
		}
		n -= len(s)
		o.segs[o.first] = nil
		o.first++
	}
	for o.paid < len(o.owners) && o.owners[o.paid].end <= o.done {
		free(o.owners[o.paid])
		o.owners[o.paid] = owner{}
		o.paid++
	}
	if o.done == o.queued {
		o.arena, o.segs, o.owners = o.arena[:0], o.segs[:0], o.owners[:0]
		o.first, o.paid = 0, 0
	}
}

// drop forgets what is not written, releasing all owners.
func (o *outbox) drop(free func(owner)) {
	for ; o.paid < len(o.owners); o.paid++ {
		free(o.owners[o.paid])
	}
	clear(o.segs)
	clear(o.owners)
	o.arena, o.segs, o.owners = o.arena[:0], o.segs[:0], o.owners[:0]
	o.first, o.paid, o.done = 0, 0, o.queued
}
