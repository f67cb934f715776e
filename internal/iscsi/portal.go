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
			s.welcome(nc, p)
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

// welcome lets a new connection begin its login, or puts it in line.
func (s *Server) welcome(nc net.Conn, p *portal) {
	v := &visitor{nc: nc, info: ConnInfo{
		ID:      s.lastID.Add(1),
		Remote:  addrPort(nc.RemoteAddr()),
		Local:   addrPort(nc.LocalAddr()),
		Portal:  p.Address,
		TPGT:    p.TPGT,
		Started: time.Now(),
	}}
	v.patience = time.AfterFunc(s.opt.LoginTimeout, func() {
		if s.gate.abandon(&s.opt, v, time.Now()) {
			s.sendAway(v, ReasonLoginLineTooLong)
		}
	})
	s.mu.Lock()
	s.waiting[nc] = struct{}{}
	s.mu.Unlock()
	switch in, why := s.gate.enter(&s.opt, v, v.info.Started); {
	case in:
		s.admit(v)
	case why != "":
		s.sendAway(v, why)
	}
}

// sendAway closes a connection that cannot begin its login.
func (s *Server) sendAway(v *visitor, why Reason) {
	v.patience.Stop()
	v.nc.Close()
	s.noLongerWaits(v, true)
	s.events.loginFailed(InitiatorInfo{ConnInfo: v.info}, refuse(0, why))
}

func (s *Server) noLongerWaits(v *visitor, failed bool) {
	s.mu.Lock()
	delete(s.waiting, v.nc)
	if failed {
		s.signalIdle()
	}
	s.mu.Unlock()
}

// admit runs the login of a connection whose turn it is. The caller is counted
// in s.wg.
func (s *Server) admit(v *visitor) {
	v.patience.Stop()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		s.events.connected(v.info)
		c, who, err := s.login(v.nc, v.info)
		next, away := s.gate.leave(&s.opt, v, time.Now(), err.suspicious())
		if next != nil {
			s.admit(next)
		}
		for _, x := range away {
			s.sendAway(x, ReasonLoginBackOff)
		}
		s.noLongerWaits(v, err != nil)
		if err != nil {
			s.events.loginFailed(who, err)
			v.nc.Close()
			return
		}
		s.start(c)
	}()
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
