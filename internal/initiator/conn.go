package initiator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// ErrClosed is the cause of every request that ends because its connection does.
var ErrClosed = errors.New("initiator: connection closed")

// Conn is one connection of a session.
type Conn struct {
	s   *Session
	raw *Raw // its reading side belongs to the reader, its writing side to the writer
	cid uint16

	out  outbox
	gate gate // holds the reader while paused

	expStatSN atomic.Uint32
	last      window // values of the last PDU; reader only

	logoutSeen bool          // a Logout Response arrived; reader only
	failOnce   sync.Once     // the first cause wins
	cause      error         // why it ended; valid once done is closed
	done       chan struct{} // closed when the connection has failed or ended
}

// CID returns the connection's id within the session.
func (c *Conn) CID() uint16 { return c.cid }

// NetConn returns the transport, e.g. to cut it.
func (c *Conn) NetConn() *CutConn { return c.raw.nc }

// Params returns what this connection negotiated.
func (c *Conn) Params() Params { return c.raw.Params }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection ended, nil while it lives.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return c.cause
	default:
		return nil
	}
}

// Pause stops the reader: at most one more PDU and what fits its buffer of 64 KiB
// is taken from the socket, and nothing is handled until Resume.
func (c *Conn) Pause() { c.gate.close() }

// Resume undoes Pause.
func (c *Conn) Resume() { c.gate.open() }

// Send queues a PDU of the caller's making. Nothing but ExpStatSN, lengths and
// digests is filled in, and not even those if the fault says so.
func (c *Conn) Send(p *PDU, f Fault) { c.out.put(outItem{p: p, fault: f}) }

// Reset breaks the connection at once: the target sees a TCP reset.
func (c *Conn) Reset() {
	c.raw.Reset()
	c.fail(ErrClosed)
}

func newConn(s *Session, raw *Raw) *Conn {
	c := &Conn{s: s, raw: raw, cid: raw.cid, last: raw.window, done: make(chan struct{})}
	c.out.wake = make(chan struct{}, 1)
	c.expStatSN.Store(raw.ExpStatSN)
	return c
}

func (c *Conn) start() {
	c.s.wg.Add(2)
	go c.readLoop()
	go c.writeLoop()
}

func (c *Conn) report(r Rule, p *PDU, detail string) { c.s.log.add(c.cid, r, p.BHS, detail) }

// fail ends the connection: its requests end with the cause.
func (c *Conn) fail(cause error) {
	c.failOnce.Do(func() {
		c.cause = cause
		close(c.done)
		c.gate.open()
		c.raw.nc.Close()
		c.s.dropConn(c, cause)
	})
}

func (c *Conn) readLoop() {
	defer c.s.wg.Done()
	isData := func(p *PDU) bool { return p.Opcode() == OpDataIn }
	for {
		p := new(PDU)
		if err := c.raw.in.read(p, isData); err != nil {
			c.readFailed(p, err)
			return
		}
		c.gate.wait()
		if c.logoutSeen {
			c.report(RulePDUAfterLogout, p, "nothing may follow the Logout Response")
		}
		if checkLayout(p, c.report) {
			c.s.receive(c, p)
		}
	}
}

func (c *Conn) readFailed(p *PDU, err error) {
	var fe *FrameError
	switch {
	case errors.As(err, &fe):
		c.s.log.add(c.cid, fe.Rule, fe.Header, fe.Detail)
	case errors.Is(err, io.ErrUnexpectedEOF) && c.Err() == nil:
		c.report(RuleTruncated, p, "connection closed inside a PDU")
	}
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		c.fail(ErrClosed)
		return
	}
	c.fail(fmt.Errorf("%w: %w", ErrClosed, err))
}

// writeLoop sends what is queued, as many PDUs per system call as there are.
func (c *Conn) writeLoop() {
	defer c.s.wg.Done()
	var batch []outItem
	var buf []byte
	for {
		batch = c.out.take(batch[:0])
		for i := 0; i < len(batch); {
			for buf = buf[:0]; i < len(batch) && len(buf) < 256<<10; i++ {
				item := batch[i]
				if item.fault&KeepExpStatSN == 0 {
					item.p.SetUint32(offExpStatSN, c.expStatSN.Load())
				}
				e := c.raw.out
				e.Fault = item.fault
				buf = e.Append(buf, item.p)
			}
			if _, err := c.raw.nc.Write(buf); err != nil {
				c.fail(fmt.Errorf("%w: %w", ErrClosed, err))
				return
			}
		}
		clear(batch)
		select {
		case <-c.out.wake:
		case <-c.done:
			return
		}
	}
}

// outItem is one PDU on its way to the writer.
type outItem struct {
	p     *PDU
	fault Fault
}

// outbox is the writer's queue. It is bounded by the callers: the command window,
// MaxOutstandingR2T and one answer per target ping.
type outbox struct {
	mu    sync.Mutex
	items []outItem
	wake  chan struct{}
}

func (o *outbox) put(items ...outItem) {
	o.mu.Lock()
	o.items = append(o.items, items...)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take moves the queue to batch.
func (o *outbox) take(batch []outItem) []outItem {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch = append(batch, o.items...)
	clear(o.items)
	o.items = o.items[:0]
	return batch
}

// gate lets a goroutine pass, or holds it. The zero value is open.
type gate struct {
	mu  sync.Mutex
	bar chan struct{} // nil: open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bar == nil {
		g.bar = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bar != nil {
		close(g.bar)
		g.bar = nil
	}
}

func (g *gate) wait() {
	g.mu.Lock()
	bar := g.bar
	g.mu.Unlock()
	if bar != nil {
		<-bar
	}
}

// connect dials and logs in one connection of a session.
func connect(ctx context.Context, cfg Config, cmdSN uint32, log *violationLog) (*Raw, error) {
	nc, err := cfg.Dial(ctx, cfg.Addr)
	if err != nil {
		return nil, err
	}
	raw := NewRaw(nc)
	raw.log = log
	if err := raw.login(ctx, cfg, cmdSN); err != nil {
		raw.Close()
		return nil, err
	}
	return raw, nil
}
