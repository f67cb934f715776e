package iscsitest

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Listener is a net.Listener in memory.
type Listener struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	port   atomic.Uint32
}

// NewListener listens at an address that exists nowhere, "10.0.0.1:3260".
func NewListener(addr string) *Listener {
	return &Listener{
		addr:  net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)),
		conns: make(chan net.Conn), closed: make(chan struct{}),
	}
}

// Dial connects from an address that nobody else has.
func (l *Listener) Dial() (net.Conn, error) {
	return l.DialFrom(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.99"), uint16(l.port.Add(1))))
}

// DialFrom connects from the given address.
func (l *Listener) DialFrom(from netip.AddrPort) (net.Conn, error) {
	client, server := net.Pipe()
	remote := net.TCPAddrFromAddrPort(from)
	select {
	case l.conns <- &memConn{server, l.addr, remote}:
		return &memConn{client, remote, l.addr}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }

// memConn is a pipe with addresses.
type memConn struct {
	net.Conn
	local, remote net.Addr
}

func (c *memConn) LocalAddr() net.Addr  { return c.local }
func (c *memConn) RemoteAddr() net.Addr { return c.remote }
