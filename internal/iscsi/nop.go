package iscsi

import (
	"maps"
	"slices"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pool"
)

// pinger watches over a quiet connection with pings of our own.
type pinger struct {
	timer *time.Timer
	ttt   uint32 // of the ping that is not answered yet
	open  bool
	sent  int64
}

// nopOut answers a ping of the initiator, or takes its answer to ours.
// RFC 7143 §11.18.
func (c *conn) nopOut(h *pdu.BHS, data []byte) {
	var p pdu.NOPOut
	p.Decode(h)
	if p.TTT != pdu.ReservedTag && c.ping.open && p.TTT == c.ping.ttt {
		c.ping.open = false
	}
	if p.ITT == pdu.ReservedTag {
		return
	}
	data = data[:min(len(data), int(c.maxSend))]
	a := pdu.NOPIn{
		LUN:               p.LUN,
		ITT:               p.ITT,
		TTT:               pdu.ReservedTag,
		StatSN:            c.nextStatSN(),
		DataSegmentLength: uint32(len(data)),
	}
	c.echo(&a, data)
}

// echo sends a NOP-In with a copy of data.
func (c *conn) echo(a *pdu.NOPIn, data []byte) {
	a.ExpCmdSN, a.MaxCmdSN = c.sess.numbers()
	h := c.header()
	a.Encode(h)
	if len(data) <= smallPayload {
		c.payload(h, data)
		return
	}
	buf := pool.Get(len(data))
	copy(buf.B, data)
	c.payload(h, buf.B)
	c.out.own(nil, buf)
}

// pings says when initiators are asked for a sign of life.
type pings struct {
	interval, timeout time.Duration
	none              bool
}

// SetPings replaces Options.PingInterval and PingTimeout, for the connections
// there are, too. Interval 0: an initiator may be silent for ever.
func (s *Server) SetPings(interval, timeout time.Duration) {
	p := &pings{interval, timeout, interval == 0}
	if p.none {
		p.interval = s.opt.PingInterval // at which the other timers are looked after
	}
	s.pings.Store(p)
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range all {
		c.post(c.tick)
	}
}

// sendPing asks the initiator for a sign of life. RFC 7143 §11.19.
func (c *conn) sendPing() {
	c.ping.ttt, c.ping.open, c.ping.sent = c.newTTT(), true, c.now
	c.echo(&pdu.NOPIn{ITT: pdu.ReservedTag, TTT: c.ping.ttt, StatSN: c.statSN}, nil)
}

// tellWindow sends the window to an initiator that found it closed and gets no
// response that could say so. RFC 7143 §11.4.11.
func (c *conn) tellWindow() {
	if c.quiet() {
		return
	}
	c.echo(&pdu.NOPIn{ITT: pdu.ReservedTag, TTT: pdu.ReservedTag, StatSN: c.statSN}, nil)
}

// Connections are looked after at moments that are a slot apart: so many of them
// in an interval, but no longer apart than maxSlot.
const (
	pingSlots = 8
	maxSlot   = time.Second
)

// watchOver begins to look after a connection.
func (c *conn) watchOver() {
	c.ping.timer = time.AfterFunc(c.untilLook(c.srv.pings.Load().interval), func() { c.post(c.tick) })
}

// lookAfter has tick run at the moment before d is over, together with those of
// other connections: waking a processor costs far more than a ping does.
func (c *conn) lookAfter(d time.Duration) { c.ping.timer.Reset(c.untilLook(d)) }

func (c *conn) untilLook(d time.Duration) time.Duration {
	now := time.Duration(c.now)
	return slotBefore(now, d, c.srv.pings.Load().slot()) - now
}

// slot is the time between two moments.
func (p *pings) slot() time.Duration {
	return max(min(p.interval/pingSlots, p.timeout/pingSlots, maxSlot), 1)
}

// slotBefore is the last multiple of slot up to now+d, but later than now.
func slotBefore(now, d, slot time.Duration) time.Duration {
	return max((now+d)/slot, now/slot+1) * slot
}

// tick looks after the connection's timers. It runs in the role.
func (c *conn) tick() {
	if c.quiet() {
		return
	}
	o, pings := &c.srv.opt, c.srv.pings.Load()
	next := pings.interval
	quiet := time.Duration(c.now - max(c.lastHeard, c.lastData))
	waited := time.Duration(c.now - c.ping.sent)
	since := c.in.since.Load()
	if c.congested() {
		// It is we who do not read: nothing is late. The writer watches.
		c.lastData = c.now
		c.in.since.CompareAndSwap(since, min(since, 1)*c.now)
		c.ping.sent = c.now
		c.lookAfter(next)
		return
	}
	switch {
	case c.collecting > 0 && time.Duration(c.now-c.lastData) >= o.DataOutStall:
		c.fail(ReasonDataOutStalled, nil)
		return
	case since != 0 && time.Duration(c.now-since) >= o.DataOutStall:
		c.fail(ReasonPDUStalled, nil)
		return
	case c.blocked: // a ping would not get through
		c.ping.sent = c.now
	case c.ping.open && waited >= pings.timeout:
		c.srv.events.pingTimeout(c)
		c.fail(ReasonPingTimeout, nil)
		return
	case c.ping.open:
		next = min(next, pings.timeout-waited)
	case pings.none: // the other timers go on
	case quiet > pings.interval-pings.slot():
		c.sendPing()
		next = min(next, pings.timeout)
	default:
		next -= quiet
	}
	c.giveBack()
	c.lookAfter(next)
}
