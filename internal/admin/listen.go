package admin

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// Listen opens the socket that belongs to the daemon's user, in the place of a
// dead daemon's. The caller sees to it that no other daemon is alive. Only that
// user and root get in: the file's mode says so, and the kernel is asked again
// for every connection.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	own := uint32(os.Geteuid())
	return &trusted{l, func(uid uint32) bool { return uid == own || uid == 0 }}, nil
}

// trusted closes the connections of users that are not.
type trusted struct {
	net.Listener
	allowed func(uid uint32) bool
}

func (l *trusted) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUID(c); err == nil && l.allowed(uid) {
			return c, nil
		}
		c.Close()
	}
}

var errNotUnix = errors.New("not a connection over a Unix socket")

// peerUID asks the kernel who connected.
func peerUID(c net.Conn) (uint32, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errNotUnix
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	var sockErr error
	if err := raw.Control(func(fd uintptr) {
		cred, sockErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if sockErr != nil {
		return 0, sockErr
	}
	return cred.Uid, nil
}

// ErrNeedsTLS refuses to serve the web door beyond loopback in the clear.
var ErrNeedsTLS = errors.New("beyond loopback the page and the API need TLS: give a certificate and a key, or listen on 127.0.0.1")

// maxWebConnections bounds what strangers can make the daemon hold.
const maxWebConnections = 256

// ListenWeb opens the web door at addr, an IP address with a port. Without conf
// it has to be a loopback address.
func ListenWeb(addr string, conf *tls.Config) (net.Listener, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("web address %q is not an IP address with a port, such as 127.0.0.1:3280", addr)
	}
	if conf == nil && !at.Addr().Unmap().IsLoopback() {
		return nil, fmt.Errorf("%s: %w", addr, ErrNeedsTLS)
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, err
	}
	l = &bounded{l, make(chan struct{}, maxWebConnections)}
	if conf != nil {
		conf = conf.Clone()
		conf.MinVersion = tls.VersionTLS13
		conf.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, conf)
	}
	return l, nil
}

// bounded accepts no more connections than it has places, and closes those that
// come when all are taken.
type bounded struct {
	net.Listener
	places chan struct{}
}

func (l *bounded) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.places <- struct{}{}:
			return &placed{Conn: c, free: sync.OnceFunc(func() { <-l.places })}, nil
		default:
			c.Close()
		}
	}
}

// placed is a connection that gives its place back when it is closed.
type placed struct {
	net.Conn
	free func()
}

func (c *placed) Close() error {
	c.free()
	return c.Conn.Close()
}
