package load

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// poller is an epoll descriptor over the sockets of one worker.
type poller struct {
	fd     int
	events []unix.EpollEvent
}

func newPoller(sockets int) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &poller{fd: fd, events: make([]unix.EpollEvent, min(sockets, 256))}, nil
}

func (p *poller) close() { unix.Close(p.fd) }

// add registers a socket by the worker's index of its session.
func (p *poller) add(fd, index int) error {
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index)})
}

// wantWrite also waits for room to write.
func (p *poller) wantWrite(fd, index int, yes bool) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(index)}
	if yes {
		ev.Events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_MOD, fd, &ev)
}

func (p *poller) remove(fd int) { unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// wait returns the sessions that can go on.
func (p *poller) wait(timeout time.Duration) ([]unix.EpollEvent, error) {
	ms := int((timeout + time.Millisecond - 1) / time.Millisecond)
	n, err := unix.EpollWait(p.fd, p.events, ms)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, err
	}
	return p.events[:max(n, 0)], nil
}
