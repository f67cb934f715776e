package iscsi

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nas-target/internal/socket"
)

// tcpTransport does raw, non-blocking I/O on a TCP socket: one system call per
// batch in each direction, none of Go's per-call bookkeeping, and the network
// poller only to park. The closures are made once.
type tcpTransport struct {
	nc      *net.TCPConn
	rc      syscall.RawConn
	closing sync.Once

	// Reader's.
	in     intake
	fd     int // valid while in is asked
	parked bool
	rn     int
	rerr   error
	onRead func(fd uintptr) bool
	riov   [2]unix.Iovec

	// Writer's.
	wseg    [][]byte
	wn      int
	werr    error
	onWrite func(fd uintptr) bool
	wiov    []unix.Iovec
}

func newTCPTransport(nc *net.TCPConn) (*tcpTransport, error) {
	rc, err := nc.SyscallConn()
	if err != nil {
		return nil, err
	}
	if err := rc.Control(func(fd uintptr) { socket.Unpace(int(fd)) }); err != nil {
		return nil, err
	}
	t := &tcpTransport{nc: nc, rc: rc, wiov: make([]unix.Iovec, 0, maxSegments)}
	t.onRead = func(fd uintptr) bool {
		t.fd = int(fd)
		for {
			t.rn, t.rerr = t.readv(t.fd)
			if t.rerr != errWouldBlock {
				return true
			}
			if t.parked {
				return false
			}
			switch t.in.idle() {
			case park:
				t.parked = true
				return false
			case leave:
				t.rerr = errLeave
				return true
			}
		}
	}
	t.onWrite = func(fd uintptr) bool {
		t.wn, t.werr = t.writev(int(fd))
		return true
	}
	return t, nil
}

func (t *tcpTransport) pollable() bool { return true }

func (t *tcpTransport) read(in intake) (int, error) {
	t.in, t.parked = in, false
	if err := t.rc.Read(t.onRead); err != nil {
		return 0, err
	}
	return t.rn, t.rerr
}

// readv is one read.
func (t *tcpTransport) readv(fd int) (int, error) {
	v := t.riov[:0]
	p, q := t.in.space()
	if len(p) > 0 {
		v = append(v, socket.Piece(p))
	}
	if len(q) > 0 {
		v = append(v, socket.Piece(q))
	}
	for {
		switch n, err := socket.Readv(fd, v); {
		case err == unix.EAGAIN:
			return 0, errWouldBlock
		case err == unix.EINTR:
		case err == nil && n == 0:
			return 0, io.EOF
		default:
			return n, err
		}
	}
}

func (t *tcpTransport) write(segs [][]byte) (int, error) {
	t.wseg = segs
	if err := t.rc.Write(t.onWrite); err != nil {
		return 0, err
	}
	return t.wn, t.werr
}

// writev sends what the socket takes.
func (t *tcpTransport) writev(fd int) (int, error) {
	v, want := t.wiov[:0], 0
	for _, s := range t.wseg {
		v = append(v, socket.Piece(s))
		want += len(s)
	}
	defer clear(v)
	for {
		switch n, err := socket.Writev(fd, v); {
		case err == unix.EAGAIN:
			return 0, errWouldBlock
		case err == unix.EINTR:
		case err == nil && n < want:
			return n, errWouldBlock // the socket is full
		default:
			return n, err
		}
	}
}

func (t *tcpTransport) writable() bool { return socket.Writable(t.fd) }

func (t *tcpTransport) waitWrite(d time.Duration) error {
	if err := t.nc.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	defer t.nc.SetWriteDeadline(time.Time{})
	return t.rc.Write(func(fd uintptr) bool {
		// The poller is edge triggered and forgets edges from before this
		// call, so look before parking.
		return socket.Writable(int(fd))
	})
}

func (t *tcpTransport) closeWrite() error { return t.nc.CloseWrite() }

// Close waits for nobody. Go's own waits until no call uses the descriptor, and
// the caller may be inside one: the reader that finds, while idle, that an
// answer cannot be written. The descriptor goes when its last user lets go.
func (t *tcpTransport) Close() error {
	t.closing.Do(func() { go t.nc.Close() })
	return nil
}
