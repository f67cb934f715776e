package isns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Portal is where initiators connect to.
type Portal struct {
	Addr  netip.AddrPort
	Group uint16
}

// Target is an iSCSI target node.
type Target struct {
	Name   string
	Alias  string
	Groups []uint16 // the portal groups it is reached through
}

// Entity is all that is registered.
type Entity struct {
	ID      string // of the network entity, unique among those of the server
	Portals []Portal
	Targets []Target
}

// Options sets up a Client.
type Options struct {
	Server string        // host:port
	Period time.Duration // a registration lasts so long. Default 5 minutes.
	Retry  time.Duration // the first pause after a failure; it doubles up to a minute. Default 1 s.

	Registered func(Entity) // may be nil
	Failed     func(error)  // may be nil
	// Asked: the server wanted to know whether we are alive. May be nil.
	Asked func()
}

const (
	// answerTime is how long the server has for an answer, and for a connection.
	answerTime = 10 * time.Second
	// goodbyeTime bounds the deregistration, hurriedTime that with a server which
	// did not answer last time. Who does not hear it finds out at the end of the
	// registration period.
	goodbyeTime = 2 * time.Second
	hurriedTime = 200 * time.Millisecond
	maxRetry    = time.Minute
	// esiInterval asks the server to look for us that often. It may choose
	// another one, and may not look at all.
	esiInterval = 60 * time.Second
	// esiConns bounds the connections on which servers ask.
	esiConns = 4
)

// Client keeps an entity registered until it is closed.
type Client struct {
	o      Options
	cancel context.CancelFunc
	done   chan struct{}
	change chan Entity
}

// Start begins to register e. It returns at once, whether or not there is a
// server.
func Start(o Options, e Entity) *Client {
	if o.Period == 0 {
		o.Period = 5 * time.Minute
	}
	if o.Retry == 0 {
		o.Retry = time.Second
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{o: o, cancel: cancel, done: make(chan struct{}), change: make(chan Entity, 1)}
	c.change <- e
	go c.run(ctx)
	return c
}

// Update registers e instead of what is registered.
func (c *Client) Update(e Entity) {
	for {
		select {
		case c.change <- e:
			return
		case <-c.change: // nobody has looked at the last one yet
		case <-c.done:
			return
		}
	}
}

// Close takes the entity off the server's list, if that can be done quickly.
func (c *Client) Close() {
	c.cancel()
	<-c.done
}

// run is the registration: one goroutine for all of it.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	var (
		e       Entity
		doors   *doors
		known   bool // to the server, perhaps
		patient = hurriedTime
		retry   = c.o.Retry
		again   = time.NewTimer(0)
	)
	defer again.Stop()
	defer func() {
		doors.close()
		if known {
			bye, cancel := context.WithTimeout(context.Background(), patient)
			defer cancel()
			if err := c.exchange(bye, deregistration(e)); err != nil {
				c.failed(fmt.Errorf("isns: deregistering: %w", err))
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case e = <-c.change:
			doors.close()
			doors = c.openDoors(e)
		case <-again.C:
		}
		if len(e.Targets) == 0 || len(e.Portals) == 0 {
			continue // nothing to tell until there is something
		}
		known = true // even if its answer gets lost
		patient = hurriedTime
		err := c.exchange(ctx, registration(e, doors.ports, c.o.Period))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.failed(err)
			again.Reset(retry)
			retry = min(2*retry, maxRetry)
		default:
			patient = goodbyeTime
			retry = c.o.Retry
			if c.o.Registered != nil {
				c.o.Registered(e)
			}
			// A server that was restarted has forgotten us.
			again.Reset(c.o.Period / 3)
		}
	}
}

func (c *Client) failed(err error) {
	if c.o.Failed != nil {
		c.o.Failed(err)
	}
}

// registration is the whole of e, instead of whatever is there. RFC 4171
// §5.6.5.1.
func registration(e Entity, esi map[netip.AddrPort]uint16, period time.Duration) Message {
	m := Message{Function: DevAttrReg, Flags: FlagClient | FlagReplace, Attrs: []Attr{
		Text(TagNodeName, e.Targets[0].Name), // the source
		Text(TagEntityID, e.ID),              // the message key
		{Tag: TagDelimiter},
		Text(TagEntityID, e.ID),
		Number(TagProtocol, protocolISCSI),
		Number(TagPeriod, uint32(max(1, period/time.Second))),
	}}
	for _, p := range e.Portals {
		m.Attrs = append(m.Attrs, Address(TagPortalIP, p.Addr.Addr()), Number(TagPortalPort, uint32(p.Addr.Port())))
		if port := esi[p.Addr]; port != 0 {
			m.Attrs = append(m.Attrs, Number(TagESIInterval, uint32(esiInterval/time.Second)), Number(TagESIPort, uint32(port)))
		}
	}
	for _, t := range e.Targets {
		m.Attrs = append(m.Attrs, Text(TagNodeName, t.Name), Number(TagNodeType, nodeTypeTarget))
		if t.Alias != "" {
			m.Attrs = append(m.Attrs, Text(TagNodeAlias, t.Alias))
		}
	}
	// Which target is behind which portal. Without a tag it is not.
	for _, t := range e.Targets {
		for _, p := range e.Portals {
			tag := Attr{Tag: TagGroup}
			if slices.Contains(t.Groups, p.Group) {
				tag = Number(TagGroup, uint32(p.Group))
			}
			ip := Address(TagGroupIP, p.Addr.Addr())
			m.Attrs = append(m.Attrs, Text(TagGroupNode, t.Name), ip, Number(TagGroupPort, uint32(p.Addr.Port())), tag)
		}
	}
	return m
}

// deregistration takes all of e off the list. RFC 4171 §5.6.5.4.
func deregistration(e Entity) Message {
	return Message{Function: DevDereg, Flags: FlagClient, Attrs: []Attr{
		Text(TagNodeName, e.Targets[0].Name),
		{Tag: TagDelimiter},
		Text(TagEntityID, e.ID),
	}}
}

// exchange sends m over a connection of its own and waits for the answer.
func (c *Client) exchange(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", c.o.Server)
	if err != nil {
		return err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	m.Transaction = 1
	b, err := m.Append(nil)
	if err != nil {
		return err
	}
	if _, err := nc.Write(b); err != nil {
		return err
	}
	a, err := read(nc)
	switch {
	case err != nil:
		return err
	case a.Function != m.Function|Response || a.Transaction != m.Transaction:
		return errors.New("isns: the answer is to something else")
	case a.Status != 0:
		return a.Status
	}
	return nil
}

// read reads one message.
func read(r io.Reader) (Message, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Message{}, err
	}
	n, err := PayloadLen(h)
	if err != nil {
		return Message{}, err
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(r, p); err != nil {
		return Message{}, err
	}
	return Parse(h, p)
}

// doors are where the server asks whether we are alive: one port beside every
// portal, on the portal's own address, so that no network sees a port that has
// no portal. RFC 4171 §5.6.5.13.
type doors struct {
	ports map[netip.AddrPort]uint16
	wg    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[io.Closer]struct{}
}

func (c *Client) openDoors(e Entity) *doors {
	d := &doors{ports: map[netip.AddrPort]uint16{}, open: map[io.Closer]struct{}{}}
	for _, p := range e.Portals {
		l, err := net.Listen("tcp", netip.AddrPortFrom(p.Addr.Addr(), 0).String())
		if err != nil {
			c.failed(err) // then the registration lives by being repeated
			continue
		}
		d.ports[p.Addr] = l.Addr().(*net.TCPAddr).AddrPort().Port()
		d.keep(l)
		d.wg.Go(func() { d.accept(l, c.o.Asked) })
	}
	return d
}

// keep remembers what close closes. It returns false if that is over.
func (d *doors) keep(x io.Closer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.open) > esiConns+len(d.ports) {
		x.Close()
		return false
	}
	d.open[x] = struct{}{}
	return true
}

func (d *doors) forget(x io.Closer) {
	x.Close()
	d.mu.Lock()
	delete(d.open, x)
	d.mu.Unlock()
}

func (d *doors) close() {
	if d == nil {
		return
	}
	d.mu.Lock()
	d.closed = true
	for x := range d.open {
		x.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

func (d *doors) accept(l net.Listener, asked func()) {
	for {
		nc, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(100 * time.Millisecond) // no descriptors
			continue
		}
		if d.keep(nc) {
			d.wg.Go(func() {
				defer d.forget(nc)
				answer(nc, asked)
			})
		}
	}
}

// answer says to each ESI that we are alive: its own attributes come back.
// Anything else ends the connection.
func answer(nc net.Conn, asked func()) {
	for {
		nc.SetDeadline(time.Now().Add(10 * esiInterval))
		m, err := read(nc)
		if err != nil || m.Function != ESI {
			return
		}
		m.Function, m.Flags = ESI|Response, FlagClient
		b, err := m.Append(nil)
		if err != nil {
			return
		}
		if _, err := nc.Write(b); err != nil {
			return
		}
		if asked != nil {
			asked()
		}
	}
}
