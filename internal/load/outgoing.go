package load

import (
	"golang.org/x/sys/unix"

	"nas-target/internal/socket"
)

// copyLimit is the longest payload that is copied behind its header; longer ones
// are referred to and leave by a vectored write.
const copyLimit = 8 << 10

// maxVector is how many pieces one vectored write takes without an allocation.
const maxVector = 8

// outgoing is what a session has to send: pieces of its arena and payloads, in
// order. It grows to its working size in the first turns and is used again.
type outgoing struct {
	arena  []byte
	pieces []piece
	first  int // piece to go on with
	offset int // bytes of it that are out
}

// piece is payload, or arena[from:to] when payload is nil.
type piece struct {
	payload  []byte
	from, to int
}

func (o *outgoing) empty() bool { return o.first == len(o.pieces) }

// small reserves n bytes of the arena at the end of the stream.
func (o *outgoing) small(n int) []byte {
	from := len(o.arena)
	if cap(o.arena)-from < n {
		grown := make([]byte, from, 2*cap(o.arena)+n)
		copy(grown, o.arena)
		o.arena = grown
	}
	o.arena = o.arena[:from+n]
	if k := len(o.pieces) - 1; k >= o.first && o.pieces[k].payload == nil {
		o.pieces[k].to = from + n
	} else {
		o.pieces = append(o.pieces, piece{from: from, to: from + n})
	}
	return o.arena[from : from+n : from+n]
}

// payload puts data behind what is there. It must not change until it is sent.
func (o *outgoing) payload(data []byte) {
	if len(data) <= copyLimit {
		copy(o.small(len(data)), data)
		return
	}
	o.pieces = append(o.pieces, piece{payload: data})
}

// flush sends as much as the socket takes; blocked means that something is left.
func (o *outgoing) flush(fd int) (blocked bool, err error) {
	for !o.empty() {
		var list [maxVector]unix.Iovec
		n, err := socket.Writev(fd, o.vector(list[:0]))
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return true, nil
		case err != nil:
			return false, err
		}
		o.sent(n)
	}
	o.arena, o.pieces, o.first = o.arena[:0], o.pieces[:0], 0
	return false, nil
}

func (o *outgoing) bytes(p piece) []byte {
	if p.payload != nil {
		return p.payload
	}
	return o.arena[p.from:p.to]
}

func (o *outgoing) vector(list []unix.Iovec) []unix.Iovec {
	skip := o.offset
	for i := o.first; i < len(o.pieces) && len(list) < cap(list); i++ {
		list = append(list, socket.Piece(o.bytes(o.pieces[i])[skip:]))
		skip = 0
	}
	return list
}

func (o *outgoing) sent(n int) {
	for n > 0 {
		left := len(o.bytes(o.pieces[o.first])) - o.offset
		if n < left {
			o.offset += n
			return
		}
		n -= left
		o.first++
		o.offset = 0
	}
}
