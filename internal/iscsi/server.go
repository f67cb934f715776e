package iscsi

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// Server accepts connections at its portals and runs sessions with the nodes
// it was given.
type Server struct {
	opt     Options
	events  *Events
	epoch   time.Time
	monitor monitor
	nodes   atomic.Pointer[map[string]*Node]
	pings   atomic.Pointer[pings]

	memory     atomic.Int64 // bytes that connections have drawn
	gate       gate
	challenges challenges

	state  atomic.Int32
	lastID atomic.Uint64
	wg     sync.WaitGroup // accept loops and logins

	mu       sync.Mutex // guards all below; never held during a call out
	portals  map[string]*portal
	waiting  map[net.Conn]struct{} // connections in login, and in line
	conns    map[*conn]struct{}
	sessions sessionTable
	idle     chan struct{} // closed when the last connection is gone, while draining
}

// States of a server.
const (
	stateStarting int32 = iota // logins are told to come back
	stateServing
	stateDraining
	stateClosed
)

// NewServer returns a server that refuses logins with "service unavailable"
// until Serve is called: initiators retry that, while "not found" is final.
func NewServer(o Options) *Server {
	s := &Server{
		opt: o.withDefaults(), epoch: time.Now(),
		portals: map[string]*portal{}, waiting: map[net.Conn]struct{}{}, conns: map[*conn]struct{}{},
	}
	s.events = s.opt.Events
	s.pings.Store(&pings{s.opt.PingInterval, s.opt.PingTimeout, s.opt.NoPings})
	s.sessions.init()
	s.nodes.Store(&map[string]*Node{})
	return s
}

// Serve lets initiators in. Call it when all nodes are set.
func (s *Server) Serve() { s.state.CompareAndSwap(stateStarting, stateServing) }

// clock returns nanoseconds since the server was made. It is monotonic, and
// never 0, which stands for "not at all".
func (s *Server) clock() int64 { return int64(time.Since(s.epoch)) + 1 }

// Node is a target node: what initiators see as a target.
type Node struct {
	Name   string   // iSCSI name, lower case
	Alias  string   // for people; at most 255 bytes
	Groups []uint16 // tags of the portal groups it can be reached through

	// Digests is which digests its sessions have.
	Digests Digests

	// Authorize decides whether an initiator may see the node, and how it
	// must prove who it is. It is asked before authentication, again at
	// every login and for every discovery.
	Authorize func(InitiatorInfo) (*Auth, *LoginError)

	// Attach brings the I_T nexus to life after authentication.
	Attach func(scsi.Nexus, InitiatorInfo) (Target, error)

	// Redirect, if not nil, may send an initiator to another portal:
	// "host:port". RFC 7143 §13.8.
	Redirect func(InitiatorInfo) (address string, permanent bool)
}

// InitiatorInfo is what is known of who logs in. The name is what the
// initiator claims; what is proven, if Authorize asked for proof, is the user.
type InitiatorInfo struct {
	ConnInfo
	Name      string
	Alias     string
	User      string // CHAP user that it proved to be; "" if it proved nothing, or not yet
	ISID      pdu.ISID
	Discovery bool
}

// SetNodes replaces the nodes. Sessions with nodes that are gone, or no longer
// reached through the session's portal group, end.
func (s *Server) SetNodes(nodes []*Node) {
	m := make(map[string]*Node, len(nodes))
	for _, n := range nodes {
		m[n.Name] = n
	}
	s.nodes.Store(&m)
	for _, sess := range s.sessions.all() {
		if n := m[sess.key.target]; !sess.discovery() && (n == nil || !n.reachable(sess.key.tpgt)) {
			sess.dismiss(ReasonTargetRemoved)
		}
	}
}

func (s *Server) node(name string) *Node { return (*s.nodes.Load())[name] }

func (n *Node) reachable(tpgt uint16) bool {
	for _, g := range n.Groups {
		if g == tpgt {
			return true
		}
	}
	return false
}

// start brings a connection that is logged in to life.
func (s *Server) start(c *conn) {
	c.tr = newTransport(c.nc)
	c.now = s.clock()
	c.lastHeard = c.now
	c.watchOver()
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	s.monitor.add(c)
	s.events.connUp(c)
	if s.state.Load() == stateDraining {
		c.askLogout()
	}
	c.started.Store(true)
	go c.serve()
}

// connEnded forgets a connection that is torn down.
func (s *Server) connEnded(c *conn) {
	s.monitor.remove(c)
	s.mu.Lock()
	delete(s.conns, c)
	s.signalIdle()
	s.mu.Unlock()
}

// signalIdle tells Shutdown when nothing is left. s.mu is held.
func (s *Server) signalIdle() {
	if s.idle != nil && len(s.conns) == 0 && len(s.waiting) == 0 {
		close(s.idle)
		s.idle = nil
	}
}

func (s *Server) sessionEnded(sess *session) {
	s.sessions.remove(sess)
	s.events.sessionDown(sess, sess.reason())
}

// Shutdown drains the server: no new connections, logins are told to come
// back, initiators are asked to log out. When ctx ends, what is left is
// closed. It returns ctx's error in that case.
func (s *Server) Shutdown(ctx context.Context) error {
	s.state.Store(stateDraining)
	s.mu.Lock()
	for _, p := range s.portals {
		p.close()
	}
	idle := make(chan struct{})
	s.idle = idle
	var conns []*conn
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.signalIdle()
	s.mu.Unlock()
	for _, c := range conns {
		c.post(c.askLogout)
	}
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.state.Store(stateClosed)
	for _, v := range s.gate.close() {
		s.sendAway(v, ReasonShutdown)
	}
	s.mu.Lock()
	for nc := range s.waiting {
		nc.Close()
	}
	s.mu.Unlock()
	for _, sess := range s.sessions.all() {
		sess.dismiss(ReasonShutdown)
		sess.end()
	}
	s.wg.Wait()
	return err
}
