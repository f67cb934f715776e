package iscsi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// LoginError ends a login: what the initiator is told, and what we know.
type LoginError struct {
	Status  pdu.LoginStatus // 0: nothing is told, the connection just closes
	Reason  Reason
	Address string // of a redirection, "host:port"
	Err     error  // for the log alone
}

func (e *LoginError) Error() string {
	s := fmt.Sprintf("iscsi: %s: %v", e.Reason, e.Status)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *LoginError) Unwrap() error { return e.Err }

// suspicious reports whether a login failed in a way that counts against its
// source: a mistake of ours, a host whose target is gone, or somebody who only
// looks whether the port is open does not.
func (e *LoginError) suspicious() bool {
	if e == nil {
		return false
	}
	switch e.Status {
	case 0:
		return e.Reason != ReasonLoginNothingSaid
	case pdu.LoginTargetNotFound, pdu.LoginTargetRemoved, pdu.LoginTooManyConnections, pdu.LoginNoSession:
		return false
	}
	return e.Status.Class() == pdu.LoginClassInitiator
}

func refuse(st pdu.LoginStatus, r Reason) *LoginError { return &LoginError{Status: st, Reason: r} }

const (
	// loginSegment is the largest data segment of a login PDU: the default
	// MaxRecvDataSegmentLength holds until full feature phase.
	loginSegment = 8192
	// loginText bounds the text of one request, all its PDUs together.
	loginText = 16 << 10
	// loginParts bounds the PDUs that the text of one request is spread over.
	loginParts = 64
	// loginLinger is how long the initiator has to read a refusal.
	loginLinger = time.Second
)

// login is one login under way: straight-line code on the connection's
// goroutine, over blocking I/O with deadlines. It is thrown away when full
// feature phase begins, and leaves a conn. RFC 7143 §6.3.
type login struct {
	srv  *Server
	nc   net.Conn
	info InitiatorInfo
	end  time.Time // by when it must be over

	req    pdu.LoginRequest // the last PDU
	first  pdu.LoginRequest
	begun  bool // first is set
	stage  pdu.Stage
	keys   keyState
	node   *Node
	key    sessionKey
	auth   authentication
	told   bool // the portal group was told
	statSN pdu.Serial
	buf    []byte
}

// login runs the login of nc. On failure the initiator has been told.
func (s *Server) login(nc net.Conn, info ConnInfo) (*conn, InitiatorInfo, *LoginError) {
	l := &login{srv: s, nc: nc, info: InitiatorInfo{ConnInfo: info}, statSN: 1}
	l.end = time.Now().Add(s.opt.LoginTimeout)
	nc.SetDeadline(l.end)
	c, err := l.run()
	l.auth.chap.end()
	if err != nil {
		l.tell(err)
		return nil, l.info, err
	}
	nc.SetDeadline(time.Time{})
	return c, l.info, nil
}

func (l *login) run() (*conn, *LoginError) {
	for n := 1; ; n++ {
		offer, err := l.request()
		if err != nil {
			return nil, err
		}
		if n > l.srv.opt.LoginRounds {
			return nil, refuse(pdu.LoginInitiatorError, ReasonLoginRounds)
		}
		if !l.told {
			l.keys = l.srv.keysFor(l, offer)
		}
		reply, kerr := negotiate(offer, &l.keys, l.stage)
		if kerr != nil {
			return nil, &LoginError{Status: kerr.Status, Reason: Reason(kerr.Reason), Err: kerr}
		}
		if !l.told {
			if err := l.identify(); err != nil {
				return nil, err
			}
		}
		if l.stage == pdu.SecurityNegotiation {
			more, err := l.auth.step(l, offer)
			if err != nil {
				return nil, err
			}
			reply = append(reply, more...)
		} else if !l.auth.satisfied() {
			return nil, refuse(pdu.LoginAuthenticationFailed, ReasonLoginAuthRequired)
		}
		if !l.told {
			l.told = true
			reply = append(l.declarations(), reply...)
		}
		next := l.stage
		if l.req.Transit && (l.stage != pdu.SecurityNegotiation || l.auth.satisfied()) {
			next = l.req.NSG
		}
		if next == pdu.FullFeaturePhase {
			return l.finish(reply)
		}
		if err := l.respond(reply, next != l.stage, next, 0); err != nil {
			return nil, err
		}
		l.stage = next
	}
}

// request reads one request with all the PDUs its text is spread over, and
// answers all but the last. RFC 7143 §6.2.
func (l *login) request() (pdu.Text, *LoginError) {
	var text []byte
	for n := 1; ; n++ {
		if n > loginParts {
			return nil, refuse(pdu.LoginInitiatorError, ReasonLoginRounds)
		}
		part, err := l.readPDU(loginText - len(text))
		if err != nil {
			return nil, err
		}
		text = append(text, part...)
		if !l.req.Continue {
			break
		}
		if err := l.respond(nil, false, l.req.CSG, 0); err != nil {
			return nil, err
		}
	}
	offer, err := pdu.ParseText(text, pdu.TextLimits{ValueLen: maxCHAPText})
	if err != nil {
		return nil, &LoginError{Status: pdu.LoginInitiatorError, Reason: ReasonLoginText, Err: err}
	}
	return offer, nil
}

// readPDU reads one login PDU, of at most room bytes of text, into l.req.
func (l *login) readPDU(room int) ([]byte, *LoginError) {
	if !l.begun {
		// Who connects and says nothing goes first.
		l.nc.SetReadDeadline(time.Now().Add(l.srv.opt.HeaderTimeout))
	}
	var h pdu.BHS
	if n, err := io.ReadFull(l.nc, h[:]); err != nil {
		e := ioFailure(err)
		if !l.begun && n == 0 && e.Reason == ReasonLoginIO {
			e.Reason = ReasonLoginNothingSaid
		}
		return nil, e
	}
	if op := h.Opcode(); op != pdu.OpLoginRequest {
		if !l.begun || !op.FromInitiator() {
			return nil, refuse(0, ReasonLoginNotFirst)
		}
		return nil, refuse(pdu.LoginInvalidRequest, ReasonLoginOtherRequest)
	}
	if !l.begun {
		l.nc.SetReadDeadline(l.end)
	}
	l.req.Decode(&h)
	lerr := l.checkHeader(&h, room)
	n := h.DataSegmentLength()
	if n > loginSegment {
		return nil, lerr
	}
	if l.buf == nil {
		l.buf = make([]byte, loginSegment)
	}
	// Read before refusing, too: closing with unread data would destroy the
	// refusal on its way.
	text := l.buf[:pdu.Padded(n)]
	if _, err := io.ReadFull(l.nc, text); err != nil {
		return nil, ioFailure(err)
	}
	return text[:n], lerr
}

func ioFailure(err error) *LoginError {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &LoginError{Reason: ReasonLoginTimeout, Err: err}
	}
	return &LoginError{Reason: ReasonLoginIO, Err: err}
}

// checkHeader judges a login header: by itself, and against the first one.
func (l *login) checkHeader(h *pdu.BHS, room int) *LoginError {
	r := &l.req
	if !l.begun {
		l.first, l.begun = *r, true
		l.info.ISID = r.ISID
		if r.VersionMin > 0 {
			return refuse(pdu.LoginUnsupportedVersion, ReasonLoginVersion)
		}
		l.stage = r.CSG
	}
	f := &l.first
	switch {
	case h.DataSegmentLength() > min(loginSegment, room):
		return refuse(pdu.LoginInitiatorError, ReasonLoginTooLong)
	case h.AHSLength() > 0:
		return refuse(pdu.LoginInitiatorError, ReasonLoginAHS)
	case r.Continue && r.Transit:
		return refuse(pdu.LoginInitiatorError, ReasonLoginContinue)
	case r.ITT != f.ITT, r.ISID != f.ISID, r.TSIH != f.TSIH, r.CID != f.CID, r.VersionMin != f.VersionMin, r.VersionMax != f.VersionMax:
		return refuse(pdu.LoginInitiatorError, ReasonLoginChanged)
	case !l.legalStages():
		return refuse(pdu.LoginInitiatorError, ReasonLoginStage)
	}
	return nil
}

// legalStages judges the stages of a request. RFC 7143 §6.3, §11.12.3.
func (l *login) legalStages() bool {
	r := &l.req
	if r.CSG != l.stage || r.CSG > pdu.OperationalNegotiation {
		return false
	}
	return !r.Transit || r.NSG > r.CSG && (r.NSG == pdu.OperationalNegotiation || r.NSG == pdu.FullFeaturePhase)
}

// identify finds out, from the first request, who wants to log in where, and
// whether that is possible at all.
func (l *login) identify() *LoginError {
	s, p := l.srv, &l.keys.params
	if kerr := l.keys.named(); kerr != nil {
		return &LoginError{Status: kerr.Status, Reason: Reason(kerr.Reason), Err: kerr}
	}
	l.info.Name, l.info.Alias = p.InitiatorName, p.InitiatorAlias
	l.info.Discovery = p.SessionType == SessionDiscovery
	l.key = sessionKey{initiator: p.InitiatorName, isid: l.first.ISID, target: p.TargetName, tpgt: l.info.TPGT}
	if s.state.Load() != stateServing {
		return refuse(pdu.LoginServiceUnavailable, ReasonLoginUnavailable)
	}
	decide := s.opt.Discovery
	if l.info.Discovery {
		// Sessions for discovery are told apart from those with the target.
		l.key.portal = l.info.Portal
	} else {
		l.node = s.node(p.TargetName)
		if l.node == nil || !l.node.reachable(l.info.TPGT) {
			return refuse(pdu.LoginTargetNotFound, ReasonLoginTargetNotFound)
		}
		decide = l.node.Authorize
	}
	auth, err := decide(l.info)
	if err != nil {
		return err
	}
	l.auth.require(auth)
	if l.node != nil && l.node.Redirect != nil {
		if to, forGood := l.node.Redirect(l.info); to != "" {
			st := pdu.LoginMovedTemporarily
			if forGood {
				st = pdu.LoginMovedPermanently
			}
			return &LoginError{Status: st, Reason: ReasonLoginRedirected, Address: to}
		}
	}
	return nil
}

// declarations is what the first response tells about us.
func (l *login) declarations() pdu.Text {
	var t pdu.Text
	if l.keys.params.TargetName != "" {
		t.Add("TargetPortalGroupTag", fmt.Sprint(l.info.TPGT))
	}
	if l.node != nil && l.node.Alias != "" {
		t.Add("TargetAlias", l.node.Alias)
	}
	return t
}

// finish enters full feature phase: the session stands before the initiator is
// told so.
func (l *login) finish(reply pdu.Text) (*conn, *LoginError) {
	if kerr := l.keys.complete(); kerr != nil {
		return nil, &LoginError{Status: kerr.Status, Reason: Reason(kerr.Reason), Err: kerr}
	}
	l.info.User = l.auth.user
	params := l.keys.params
	c := l.srv.newConn(l.nc, l.info.ConnInfo, &params)
	c.cid = l.first.CID
	if err := l.srv.enter(l, c); err != nil {
		return nil, err
	}
	if err := l.respond(reply, true, pdu.FullFeaturePhase, c.sess.tsih); err != nil {
		c.stillborn(err.Reason)
		return nil, err
	}
	c.statSN = l.statSN
	return c, nil
}

// respond sends one login response.
func (l *login) respond(reply pdu.Text, transit bool, next pdu.Stage, tsih uint16) *LoginError {
	if reply.Len() > loginSegment {
		return refuse(pdu.LoginInitiatorError, ReasonLoginReplyTooLong)
	}
	p := l.response()
	p.Transit = transit
	p.CSG = l.req.CSG
	if transit {
		p.NSG = next
	}
	if tsih != 0 {
		p.TSIH = tsih
	}
	p.StatSN = l.statSN
	l.statSN++
	p.ExpCmdSN = l.first.CmdSN
	p.MaxCmdSN = p.ExpCmdSN.Add(l.srv.opt.QueueDepth - 1)
	return l.write(p, reply)
}

func (l *login) response() *pdu.LoginResponse {
	return &pdu.LoginResponse{ISID: l.first.ISID, TSIH: l.first.TSIH, ITT: l.first.ITT}
}

func (l *login) write(p *pdu.LoginResponse, reply pdu.Text) *LoginError {
	text := reply.Append(nil)
	p.DataSegmentLength = uint32(len(text))
	var h pdu.BHS
	p.Encode(&h)
	if _, err := l.nc.Write(pdu.AppendFrame(nil, &h, nil, text, pdu.Digests{})); err != nil {
		return ioFailure(err)
	}
	return nil
}

// tell sends the status of a failed login, if the peer is one who would
// understand it, and lets it read before the connection closes.
func (l *login) tell(e *LoginError) {
	if e.Status == 0 || !l.begun {
		return
	}
	p := l.response()
	p.Status = e.Status
	var reply pdu.Text
	if e.Address != "" {
		reply.Add("TargetAddress", e.Address)
	}
	if l.write(p, reply) != nil {
		return
	}
	if c, ok := l.nc.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
		l.nc.SetReadDeadline(time.Now().Add(loginLinger))
		io.CopyN(io.Discard, l.nc, 64<<10)
	}
}

// keysFor starts the negotiation: that of a new session, or of a further
// connection of the one that the first request names.
func (s *Server) keysFor(l *login, offer pdu.Text) keyState {
	limits := s.opt.Limits
	target, _ := offer.Get("TargetName")
	target, _ = keyISCSIName(target)
	if n := s.node(target); n != nil {
		limits.Digests = n.Digests
	}
	if l.first.TSIH != 0 {
		initiator, _ := offer.Get("InitiatorName")
		initiator, _ = keyISCSIName(initiator)
		key := sessionKey{initiator: initiator, isid: l.first.ISID, target: target, tpgt: l.info.TPGT}
		if old := s.sessions.get(key); old != nil && old.tsih == l.first.TSIH {
			return joinKeyState(limits, *old.params)
		}
	}
	return newKeyState(limits)
}

// enter gives a connection that proved who it is its place in a session.
// RFC 7143 §6.3.1.
func (s *Server) enter(l *login, c *conn) *LoginError {
	place := s.sessions.lock(l.key)
	defer s.sessions.unlock(place)
	old := s.sessions.get(l.key)
	if l.first.TSIH != 0 {
		if old == nil || old.tsih != l.first.TSIH {
			return refuse(pdu.LoginNoSession, ReasonLoginNoSession)
		}
		return old.join(c)
	}
	if old != nil {
		// Session reinstatement. The nexus is let go of without waiting
		// for calls inside the medium; the SCSI layer keeps our commands
		// behind them.
		old.fail(ReasonReinstated)
		old.end()
	}
	sess := &session{
		srv: s, key: l.key, id: s.lastID.Add(1), params: c.params, node: l.node,
		started: time.Now(), initiator: l.info,
		w: newWindow(l.first.CmdSN, s.opt.QueueDepth), conns: map[uint16]*conn{},
	}
	if err := s.sessions.room(&s.opt, l.key); err != nil {
		return err
	}
	if l.node != nil {
		nexus := scsi.Nexus{
			Initiator: fmt.Sprintf("%s,i,0x%s", l.key.initiator, l.key.isid),
			Target:    fmt.Sprintf("%s,t,0x%04x", l.key.target, l.key.tpgt),
		}
		target, err := l.node.Attach(nexus, l.info)
		if err != nil {
			e := &LoginError{Status: pdu.LoginTargetError, Reason: ReasonLoginAttach, Err: err}
			errors.As(err, &e)
			return e
		}
		sess.target = target
	}
	if !s.sessions.put(place, sess) {
		sess.end()
		return refuse(pdu.LoginOutOfResources, ReasonLoginNoTSIH)
	}
	c.joined(sess)
	sess.conns[c.cid] = c
	s.events.sessionUp(sess)
	return nil
}
