package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// sockets are the listening sockets that the service manager opened and no
// portal has taken yet.
type sockets struct{ free []net.Listener }

// take returns the socket that listens at the address, nil if there is none.
func (s *sockets) take(a netip.AddrPort) net.Listener {
	for i, l := range s.free {
		if at, err := netip.ParseAddrPort(l.Addr().String()); err == nil && unmapped(at) == unmapped(a) {
			s.free = append(s.free[:i:i], s.free[i+1:]...)
			return l
		}
	}
	return nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// left complains about sockets that no portal took. Initiators would connect to
// them and never hear a word.
func (s *sockets) left() error {
	if len(s.free) == 0 {
		return nil
	}
	var at []string
	for _, l := range s.free {
		at = append(at, l.Addr().String())
	}
	return fmt.Errorf("the service manager listens on %s, where the configuration has no portal: make the socket unit and portals agree", strings.Join(at, " and "))
}

func (s *sockets) close() error {
	var errs []error
	for _, l := range s.free {
		errs = append(errs, l.Close())
	}
	s.free = nil
	return errors.Join(errs...)
}

// listen opens the socket of a portal, or takes the one handed over.
func (d *Daemon) listen(a netip.AddrPort) (net.Listener, error) {
	l := d.sockets.take(a)
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", a.String()); err != nil {
			return nil, err
		}
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("a %s socket, not TCP", l.Addr().Network())
	}
	p := &pulse{TCPListener: tcp}
	d.heart.add(p)
	return p, nil
}
