package iscsi

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Portal is an address initiators connect to, and the portal group it belongs
// to.
type Portal struct {
	Address string // host:port to listen on; its name in this server
	TPGT    uint16 // portal group tag
	// Announce is what discovery tells initiators, "host:port", if it is
	// not Address: behind a NAT, for example.
	Announce string
	// Listener, if not nil, is used instead of listening on Address.
	Listener net.Listener
}

// portal is one that is open.
type portal struct {
	Portal
	l      net.Listener
	closed chan struct{}
}

// AddPortal opens a portal.
func (s *Server) AddPortal(p Portal) error {
	l := p.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", p.Address); err != nil {
			return err
		}
	}
	if p.Address == "" {
		p.Address = l.Addr().String()
	}
	o := &portal{Portal: p, l: l, closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.portals[p.Address] != nil || s.state.Load() >= stateDraining {
		l.Close()
		return fmt.Errorf("iscsi: portal %s cannot be opened again", p.Address)
	}
	s.portals[p.Address] = o
	s.wg.Add(1)
	go s.accept(o)
	return nil
}

// RemovePortal closes a portal. Connections that came through it stay.
func (s *Server) RemovePortal(address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.portals[address]
	if p == nil {
		return fmt.Errorf("iscsi: no portal %s", address)
	}
	delete(s.portals, address)
	p.close()
	return nil
}

func (p *portal) close() {
	select {
	case <-p.closed:
	default:
		close(p.closed)
		p.l.Close()
	}
}

// Addr returns where the portal with this address listens, nil if it does not
// exist.
func (s *Server) Addr(address string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.portals[address]; p != nil {
		return p.l.Addr()
	}
	return nil
}

// accept takes connections. When descriptors run out it waits a little instead
// of spinning.
func (s *Server) accept(p *portal) {
	defer s.wg.Done()
	pause := time.Duration(0)
	for {
		nc, err := p.l.Accept()
		if err == nil {
			pause = 0
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				s.welcome(nc, p)
			}()
			continue
		}
		select {
		case <-p.closed:
			return
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		s.events.acceptFailed(p.Address, err)
		if errors.Is(err, syscall.ECONNABORTED) {
			continue
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(pause):
		case <-p.closed:
			return
		}
	}
}

// welcome runs the login of a new connection.
func (s *Server) welcome(nc net.Conn, p *portal) {
	info := ConnInfo{
		ID:      s.lastID.Add(1),
		Remote:  addrPort(nc.RemoteAddr()),
		Local:   addrPort(nc.LocalAddr()),
		Portal:  p.Address,
		TPGT:    p.TPGT,
		Started: time.Now(),
	}
	if why := s.gate.enter(&s.opt, info.Remote.Addr(), info.Started); why != "" {
		nc.Close()
		s.events.loginFailed(InitiatorInfo{ConnInfo: info}, refuse(0, why))
		return
	}
	s.mu.Lock()
	s.waiting[nc] = struct{}{}
	s.mu.Unlock()
	s.events.connected(info)
	c, who, err := s.login(nc, info)
	s.gate.leave(&s.opt, info.Remote.Addr(), time.Now(), err.suspicious())
	s.mu.Lock()
	delete(s.waiting, nc)
	if err != nil {
		s.signalIdle()
	}
	s.mu.Unlock()
	if err != nil {
		s.events.loginFailed(who, err)
		nc.Close()
		return
	}
	s.start(c)
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// addresses lists what discovery tells about the portal group: all its
// portals together. A wildcard is replaced by the address the initiator
// reached us at. RFC 7143 appendix C.
func (s *Server) addresses(tpgt uint16, local netip.AddrPort) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, p := range s.portals {
		if p.TPGT == tpgt {
			all = append(all, p.announced(local))
		}
	}
	slices.Sort(all)
	return all
}

func (p *portal) announced(local netip.AddrPort) string {
	if p.Announce != "" {
		return p.Announce
	}
	a := addrPort(p.l.Addr())
	if a.Addr().IsUnspecified() && local.IsValid() {
		a = netip.AddrPortFrom(local.Addr(), a.Port())
	}
	if !a.IsValid() {
		return p.Address
	}
	return a.String()
}
