package iscsi

import (
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
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
	parked bool
	rn     int
	rerr   error
	onRead func(fd uintptr) bool
	riov   [2]syscall.Iovec

	// Writer's.
	wseg    [][]byte
	wn      int
	werr    error
	onWrite func(fd uintptr) bool
	wiov    []syscall.Iovec
}

func newTCPTransport(nc *net.TCPConn) (*tcpTransport, error) {
	rc, err := nc.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &tcpTransport{nc: nc, rc: rc, wiov: make([]syscall.Iovec, 0, maxSegments)}
	t.onRead = func(fd uintptr) bool {
		for {
			t.rn, t.rerr = t.readv(fd)
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
		t.wn, t.werr = t.writev(fd)
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

// readv is one non-blocking read. RawSyscall: the socket is non-blocking, so
// the scheduler need not know.
func (t *tcpTransport) readv(fd uintptr) (int, error) {
	n, p := 0, t.riov[:]
	first, second := t.in.space()
	for _, b := range [2][]byte{first, second} {
		if len(b) > 0 {
			p[n].Base = &b[0]
			p[n].SetLen(len(b))
			n++
		}
	}
	for {
		// unsafe: the kernel wants the address of the vector.
		r, _, e := syscall.RawSyscall(syscall.SYS_READV, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(n))
		switch {
		case e == 0 && r == 0:
			return 0, io.EOF
		case e == 0:
			return int(r), nil
		case e == syscall.EAGAIN:
			return 0, errWouldBlock
		case e != syscall.EINTR:
			return 0, e
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

// writev sends all segments with as few calls as the socket allows.
func (t *tcpTransport) writev(fd uintptr) (int, error) {
	t.wiov = t.wiov[:0]
	want := 0
	for _, s := range t.wseg {
		var v syscall.Iovec
		v.Base = &s[0]
		v.SetLen(len(s))
		t.wiov = append(t.wiov, v)
		want += len(s)
	}
	defer func() { clear(t.wiov) }()
	for {
		r, _, e := syscall.Syscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&t.wiov[0])), uintptr(len(t.wiov)))
		runtime.KeepAlive(t.wseg)
		switch {
		case e == 0 && int(r) == want:
			return want, nil
		case e == 0:
			// A short write of a non-blocking socket means that it is full.
			return int(r), errWouldBlock
		case e == syscall.EAGAIN:
			return 0, errWouldBlock
		case e != syscall.EINTR:
			return 0, e
		}
	}
}

func (t *tcpTransport) waitWrite(d time.Duration) error {
	if err := t.nc.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	defer t.nc.SetWriteDeadline(time.Time{})
	return t.rc.Write(func(fd uintptr) bool {
		// The poller is edge triggered and forgets edges from before this
		// call, so look before parking.
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds[:], 0)
		return n > 0 || err != nil && err != unix.EINTR
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
