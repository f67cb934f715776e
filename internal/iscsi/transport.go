package iscsi

import (
	"errors"
	"net"
	"time"
)

// transport is the socket of a connection in full feature phase, without
// blocking but where it says so. One goroutine reads, one at a time writes.
type transport interface {
	// read waits for bytes and puts them where in says.
	read(in intake) (int, error)

	// write sends what the socket takes of segs, errWouldBlock if not all.
	write(segs [][]byte) (int, error)

	// writable reports whether the socket takes bytes. It may be asked from
	// inside intake.idle, if pollable.
	writable() bool

	// waitWrite waits until the socket takes bytes again, or d has passed
	// (os.ErrDeadlineExceeded).
	waitWrite(d time.Duration) error

	// pollable reports whether looking again and again makes sense.
	pollable() bool

	// closeWrite ends our side of the stream; the peer's may go on.
	closeWrite() error

	// Close wakes all who wait. Any goroutine may call it.
	Close() error
}

// intake is the reader's side of a transport.
type intake interface {
	// space returns where bytes go: p first, then q. One of them has room.
	space() (p, q []byte)
	// idle is asked whenever nothing has arrived.
	idle() idleness
}

// idleness says what to do while nothing has arrived.
type idleness uint8

const (
	lookAgain idleness = iota // try again at once
	park                      // sleep until bytes come; idle is not asked again
	leave                     // return errLeave
)

var errLeave = errors.New("left for other work")

var errWouldBlock = errors.New("would block")

// newTransport chooses the way to do I/O on nc.
func newTransport(nc net.Conn) transport {
	if t, ok := nc.(*net.TCPConn); ok {
		if tr, err := newTCPTransport(t); err == nil {
			return tr
		}
	}
	return newStreamTransport(nc)
}
