package iscsi

import (
	"slices"
	"sync"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// Target is all a session needs of what it logged in to: one I_T nexus.
// *scsi.IT is one; tests script others.
type Target interface {
	// Submit takes a new task, Resume one that wanted data and has them.
	// They may run the medium's call right here.
	Submit(*scsi.Task) scsi.Progress
	Resume(*scsi.Task) scsi.Progress
	// Manage carries out a task management function; the answer may come
	// late and from any goroutine.
	Manage(scsi.TaskMgmt, func(r scsi.TMFResponse, info uint32))
	// Detach ends the nexus without waiting for the medium. Tasks that are
	// not over are aborted; Done is still called for each.
	Detach()
}

// sessionKey identifies a session. RFC 7143 §4.4.1: both ports of the nexus.
type sessionKey struct {
	initiator string
	isid      pdu.ISID
	target    string // "" for discovery without a name
	tpgt      uint16
	portal    string // discovery without a name only
}

// session is one I_T nexus, or a discovery session, over one connection or
// more.
type session struct {
	// Immutable.
	srv       *Server
	key       sessionKey
	tsih      uint16
	id        uint64
	params    *Params // of the leading connection
	node      *Node   // nil for discovery
	target    Target  // nil for discovery
	started   time.Time
	initiator InitiatorInfo

	endOnce sync.Once

	mu     sync.Mutex // guards all below; no other lock is taken under it
	w      window
	held   map[pdu.Serial]*heldPDU
	baton  bool // with several connections: a request has its turn just now
	conns  map[uint16]*conn
	over   Reason // why it ends; "" while it lives
	retain *time.Timer
	past   ConnStats // of connections that are gone
	ending []*tmf    // functions under way that end several tasks
	doomed []doomed  // commands they ended that are still to come
}

func (s *session) discovery() bool { return s.target == nil }

// arrive says what to do with a numbered request. For one whose turn it is,
// more tells that others wait for it.
func (s *session) arrive(sn pdu.Serial) (what arrival, more bool) {
	s.mu.Lock()
	what = s.w.classify(sn)
	switch {
	case what != inOrder:
	case s.baton:
		what = early
	default:
		s.w.take()
		s.baton = s.several()
		more = s.w.ahead > 0
	}
	s.mu.Unlock()
	return what, more
}

// hold keeps a request that came early, unless its turn has come meanwhile.
// It returns false if it is to be ignored.
func (s *session) hold(c *conn, p *heldPDU) bool {
	sn := p.h.CmdSN()
	s.mu.Lock()
	what := s.w.classify(sn)
	if what != ignore {
		s.w.hold(sn)
		if s.held == nil {
			s.held = map[pdu.Serial]*heldPDU{}
		}
		s.held[sn] = p
	}
	s.mu.Unlock()
	if what == inOrder {
		s.releaseDue(c)
	}
	return what != ignore
}

// releaseDue hands out the held requests whose turn has come, each to the
// connection it came on: all of them if there is but one, else one at a time.
// The caller has c's role.
func (s *session) releaseDue(c *conn) {
	for {
		s.mu.Lock()
		sn := s.w.exp
		if s.baton || !s.w.due() {
			s.mu.Unlock()
			return
		}
		s.w.take()
		p := s.held[sn]
		delete(s.held, sn)
		if p == nil { // skipped by a task management function
			s.w.release(1)
		} else {
			s.baton = s.several()
		}
		s.mu.Unlock()
		switch {
		case p == nil:
		case p.c == c:
			c.turnCame(p)
		default:
			p.c.post(func() { p.c.turnCame(p) })
		}
	}
}

// pass lets the next request have its turn: the last one is at the SCSI layer,
// or came to nothing. With several connections this keeps the commands in
// order on their way there.
func (s *session) pass(c *conn) {
	s.mu.Lock()
	s.baton = false
	s.doomed = slices.DeleteFunc(s.doomed, s.spent)
	s.mu.Unlock()
	s.releaseDue(c)
}

// skip marks a CmdSN as received although its command will not be executed any
// more. It returns false if the number is not in the window.
func (s *session) skip(sn pdu.Serial) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.held[sn]; p != nil {
		p.drop()
		delete(s.held, sn) // its turn still comes, and finds nothing
		return true
	}
	switch s.w.classify(sn) {
	case inOrder:
		s.w.take()
		s.w.release(1)
	case early:
		s.w.hold(sn)
	default:
		return false
	}
	return true
}

// numbers returns ExpCmdSN and MaxCmdSN.
func (s *session) numbers() (exp, max pdu.Serial) {
	s.mu.Lock()
	exp, max = s.w.exp, s.w.max
	s.mu.Unlock()
	return exp, max
}

// settle gives back the slots of n requests. It reports whether that opened a
// closed window.
func (s *session) settle(n int32) (reopened bool) {
	s.mu.Lock()
	was := s.w.closed()
	s.w.release(n)
	reopened = was && !s.w.closed()
	s.mu.Unlock()
	return reopened
}

// closed reports whether the initiator may not send another command.
func (s *session) closed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.closed()
}

// several reports whether the session may have more than one connection.
func (s *session) several() bool { return s.params.MaxConnections > 1 }

// others returns the connections besides c.
func (s *session) others(c *conn) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*conn
	for _, o := range s.conns {
		if o != c {
			all = append(all, o)
		}
	}
	return all
}

// fail ends the session and all its connections.
func (s *session) fail(why Reason) {
	for _, c := range s.finish(why) {
		c.fail(why, nil)
	}
}

// dismiss ends the session of an initiator that did nothing wrong: it is told.
func (s *session) dismiss(why Reason) {
	for _, c := range s.finish(why) {
		c.post(func() { c.dismiss(why) })
	}
}

// finish marks the session as ending and returns its connections.
func (s *session) finish(why Reason) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == "" {
		s.over = why
	}
	if s.retain != nil {
		s.retain.Stop()
	}
	conns := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// logout ends the session at the wish of the initiator, who says so on c. The
// other connections are closed without a word.
func (s *session) logout(c *conn) {
	for _, o := range s.finish(ReasonLogout) {
		if o != c {
			o.fail(ReasonLogout, nil)
		}
	}
}

// logoutOther closes the connection with this CID at the wish of the
// initiator, who says so on c. RFC 7143 §11.14.1.
func (s *session) logoutOther(c *conn, cid uint16) bool {
	s.mu.Lock()
	o := s.conns[cid]
	s.mu.Unlock()
	if o == nil {
		return false
	}
	o.fail(ReasonLogout, nil)
	return true
}

// lost takes c, which is torn down, off the session. It returns false if the
// session lives on without it: other connections are left, or the initiator
// has some time to come back. RFC 7143 §6.3.5, §7.5.
func (s *session) lost(c *conn, why Reason) (ended bool) {
	s.mu.Lock()
	if s.conns[c.cid] == c {
		delete(s.conns, c.cid)
	}
	s.past.add(&c.stats)
	if len(s.conns) > 0 && s.over == "" {
		s.mu.Unlock()
		return false
	}
	keep := time.Duration(s.params.DefaultTime2Wait+s.params.DefaultTime2Retain) * time.Second
	if s.over == "" && why != ReasonLogout && s.params.DefaultTime2Retain > 0 && !s.discovery() {
		s.retain = time.AfterFunc(keep, func() {
			s.finish(ReasonSessionTimeout)
			s.end()
		})
		s.mu.Unlock()
		return false
	}
	if s.over == "" {
		s.over = why
	}
	last := len(s.conns) == 0
	s.mu.Unlock()
	if last {
		s.end()
	}
	return true
}

// end lets go of the nexus. Whoever calls it second waits for the first.
func (s *session) end() {
	s.endOnce.Do(func() {
		if s.target != nil {
			s.target.Detach()
		}
		s.mu.Lock()
		for _, p := range s.held {
			p.drop()
		}
		s.held = nil
		s.mu.Unlock()
		s.srv.sessionEnded(s)
	})
}

// join adds a further connection, or one that replaces another with the same
// CID. RFC 7143 §6.3.1, §6.3.4.
func (s *session) join(c *conn) *LoginError {
	s.mu.Lock()
	old := s.conns[c.cid]
	switch {
	case s.over != "":
		s.mu.Unlock()
		return refuse(pdu.LoginNoSession, ReasonLoginNoSession)
	case old == nil && len(s.conns) >= int(s.params.MaxConnections):
		s.mu.Unlock()
		return refuse(pdu.LoginTooManyConnections, ReasonLoginTooManyConns)
	}
	if s.retain != nil {
		s.retain.Stop()
		s.retain = nil
	}
	s.conns[c.cid] = c
	c.joined(s)
	s.mu.Unlock()
	if old == nil {
		return nil
	}
	// The old connection is logged out by this login. Its tasks are over
	// before the new one begins.
	old.fail(ReasonConnReinstated, nil)
	select {
	case <-old.gone:
		return nil
	case <-time.After(scsi.DrainLimit):
		return refuse(pdu.LoginServiceUnavailable, ReasonLoginSuperseded)
	}
}

// reason returns why the session ended.
func (s *session) reason() Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}
