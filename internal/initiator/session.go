package initiator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Session is one I_T nexus: an initiator port logged in to a target port over
// one or more connections. All methods may be called from any goroutine.
type Session struct {
	cfg    Config
	params Params // of the leading connection
	log    violationLog
	wg     sync.WaitGroup

	answerNOP atomic.Bool
	async     chan AsyncMessage
	rejects   chan Reject

	mu      sync.Mutex // guards what follows
	window  window
	cmdSN   uint32        // next to be sent
	opened  chan struct{} // closed and replaced whenever something changes for waiters
	nextITT uint32
	live    map[uint32]*exchange
	aborted map[uint32]struct{} // ITTs whose abort the target confirmed
	conns   []*Conn
	turn    int // round robin over conns
	closed  bool
}

// newsBacklog bounds the channels of async messages and rejects.
const newsBacklog = 256

// Dial connects and logs in.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	s := &Session{
		cfg:     cfg,
		cmdSN:   cfg.InitialCmdSN,
		opened:  make(chan struct{}),
		live:    make(map[uint32]*exchange),
		aborted: make(map[uint32]struct{}),
		async:   make(chan AsyncMessage, newsBacklog),
		rejects: make(chan Reject, newsBacklog),
	}
	s.log.notify = cfg.OnViolation
	s.answerNOP.Store(!cfg.IgnoreNOPIn)
	raw, err := connect(ctx, cfg, s.cmdSN, &s.log)
	if err != nil {
		return nil, err
	}
	s.params, s.window = raw.Params, raw.window
	c := newConn(s, raw)
	s.conns = []*Conn{c}
	c.start()
	return s, nil
}

// AddConnection logs one more connection in to the session. An empty addr is the
// leading connection's. A CID in use reinstates that connection.
func (s *Session) AddConnection(ctx context.Context, addr string, cid uint16) (*Conn, error) {
	cfg := s.cfg
	cfg.TSIH, cfg.CID, cfg.Keys = s.params.TSIH, cid, nil
	if addr != "" {
		cfg.Addr = addr
	}
	s.mu.Lock()
	cmdSN := s.cmdSN
	s.mu.Unlock()
	raw, err := connect(ctx, cfg, cmdSN, &s.log)
	if err != nil {
		return nil, err
	}
	c := newConn(s, raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		raw.Close()
		return nil, ErrClosed
	}
	s.conns = append(s.conns, c)
	c.start()
	return c, nil
}

// Params returns what the leading login negotiated.
func (s *Session) Params() Params { return s.params }

// ISID returns the initiator session id in use.
func (s *Session) ISID() [6]byte { return s.cfg.ISID }

// InitiatorName returns the name logged in with.
func (s *Session) InitiatorName() string { return s.cfg.InitiatorName }

// Conns returns the living connections.
func (s *Session) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Conn(nil), s.conns...)
}

// Violations returns every deviation of the target seen so far.
func (s *Session) Violations() []Violation { return s.log.snapshot() }

// Async delivers the target's async messages. Beyond a backlog of 256 they are dropped.
func (s *Session) Async() <-chan AsyncMessage { return s.async }

// Rejects delivers the target's Reject PDUs. Beyond a backlog of 256 they are dropped.
func (s *Session) Rejects() <-chan Reject { return s.rejects }

// SetAnswerNOP says whether the target's pings are answered.
func (s *Session) SetAnswerNOP(yes bool) { s.answerNOP.Store(yes) }

// CmdSN returns the next CmdSN, and the window as the target announced it.
func (s *Session) CmdSN() (next, expCmdSN, maxCmdSN uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmdSN, s.window.exp, s.window.max
}

// SkipCmdSN leaves a gap of n commands, as a lossy initiator would, or with a
// negative n sends numbers again.
func (s *Session) SkipCmdSN(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmdSN += uint32(n)
}

// Close closes all connections without a logout and waits for the session's
// goroutines. It returns the violations unless Config.Tolerant is set.
func (s *Session) Close() error {
	s.mu.Lock()
	s.closed = true
	conns := append([]*Conn(nil), s.conns...)
	s.mu.Unlock()
	for _, c := range conns {
		c.fail(ErrClosed)
	}
	s.wg.Wait()
	return s.verdict()
}

// Reset breaks all connections so that the target sees TCP resets.
func (s *Session) Reset() {
	for _, c := range s.Conns() {
		c.Reset()
	}
	s.Close()
}

func (s *Session) verdict() error {
	if s.cfg.Tolerant {
		return nil
	}
	return s.log.err()
}

// dropConn takes a dead connection out and ends its requests.
func (s *Session) dropConn(c *Conn, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.conns {
		if other == c {
			s.conns = append(s.conns[:i], s.conns[i+1:]...)
			break
		}
	}
	for itt, x := range s.live {
		if x.conn == c {
			delete(s.live, itt)
			x.finish(cause)
		}
	}
	s.wakeLocked()
}

func (s *Session) wakeLocked() {
	close(s.opened)
	s.opened = make(chan struct{})
}

// pickLocked chooses the connection of a request.
func (s *Session) pickLocked(want *Conn) (*Conn, error) {
	if want != nil {
		if err := want.Err(); err != nil {
			return nil, err
		}
		return want, nil
	}
	if len(s.conns) == 0 {
		return nil, ErrClosed
	}
	s.turn++
	return s.conns[s.turn%len(s.conns)], nil
}

// exchange is one request that awaits its answer, known by its ITT.
type exchange struct {
	itt, cmdSN uint32
	request    Opcode
	immediate  bool
	lun        LUN
	conn       *Conn
	abandoned  bool              // nobody waits; guarded by Session.mu
	answer     func(p *PDU) bool // called with Session.mu held; true ends the exchange
	err        error             // valid once done is closed
	done       chan struct{}
}

func (x *exchange) finish(err error) {
	x.err = err
	close(x.done)
}

var errNoTags = errors.New("initiator: no free task tag")

// begin waits for the command window, assigns CmdSN and ITT, lets build make the
// PDUs and queues them, so that CmdSN order is the order on the wire.
func (s *Session) begin(ctx context.Context, want *Conn, x *exchange, build func() []*PDU) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.closed {
			return ErrClosed
		}
		c, err := s.pickLocked(want)
		if err != nil {
			return err
		}
		x.conn = c
		if x.immediate || s.window.open(s.cmdSN) {
			break
		}
		opened := s.opened
		s.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("waiting for the command window: %w", err)
		}
	}
	if err := s.tagLocked(x); err != nil {
		return err
	}
	x.cmdSN = s.cmdSN
	if !x.immediate {
		s.cmdSN++
	}
	x.done = make(chan struct{})
	pdus := build()
	items := make([]outItem, len(pdus))
	for i, p := range pdus {
		if p.Opcode() != OpDataOut {
			p.SetUint32(offCmdSN, x.cmdSN)
		}
		items[i] = outItem{p: p}
	}
	s.live[x.itt] = x
	x.conn.out.put(items...)
	return nil
}

func (s *Session) tagLocked(x *exchange) error {
	for range 1 << 16 {
		s.nextITT++
		if s.nextITT == NoTag {
			s.nextITT = 0
		}
		if s.live[s.nextITT] == nil {
			delete(s.aborted, s.nextITT)
			x.itt = s.nextITT
			return nil
		}
	}
	return errNoTags
}

// wait blocks until the exchange ends. When ctx ends first the exchange stays
// known, so that a late answer is not taken for a violation.
func (s *Session) wait(ctx context.Context, x *exchange) error {
	select {
	case <-x.done:
		return x.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-x.done:
		return x.err
	default:
	}
	x.abandoned = true
	return ctx.Err()
}
