package socket

import (
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Recv reads into p. With MSG_TRUNC, TCP throws the bytes away and leaves p as
// it is.
func Recv(fd int, p []byte, flags int) (int, error) {
	return result(unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(flags), 0, 0))
}

// Readv reads into what v describes.
func Readv(fd int, v []unix.Iovec) (int, error) {
	n, err := result(unix.RawSyscall(unix.SYS_READV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v))))
	runtime.KeepAlive(v)
	return n, err
}

// Writev writes what v describes.
func Writev(fd int, v []unix.Iovec) (int, error) {
	n, err := result(unix.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v))))
	runtime.KeepAlive(v)
	return n, err
}

// Piece describes p, which is not empty, for Readv and Writev.
func Piece(p []byte) unix.Iovec {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	return v
}

func result(n, _ uintptr, e unix.Errno) (int, error) {
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// Writable reports whether the socket takes bytes, or would say why it never
// will again.
func Writable(fd int) bool {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	var now unix.Timespec // arm64 has no poll
	n, err := result(unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0))
	return n > 0 || err != nil && err != unix.EINTR
}

// Unpace takes a TCP connection out of the hands of BBR, where that is the
// system's default: it spreads what is sent over timers, and a peer in the same
// network waits for them. Every other default is left alone. CUBIC is what
// Linux comes with; RENO is what every user may choose.
func Unpace(fd int) {
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if err != nil {
		return
	}
	for _, other := range insteadOf(name) {
		if unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, other) == nil {
			return
		}
	}
}

// Yield lets another thread that waits for this processor have it, for who
// looks at a socket again and again.
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// insteadOf returns what to choose instead of a congestion control, the best
// first.
func insteadOf(name string) []string {
	if strings.HasPrefix(name, "bbr") {
		return []string{"cubic", "reno"}
	}
	return nil
}
