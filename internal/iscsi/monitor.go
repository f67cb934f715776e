package iscsi

import (
	"sync"
	"sync/atomic"
	"time"
)

// Commands run on the goroutine that serves the connection, and one of them
// may get stuck in the kernel. So that NOPs, task management and other
// commands are still answered, a monitor takes the role away from a call that
// lasts too long and lets a new goroutine go on; the stuck one, when it
// returns, delivers its result like a worker and ends.
//
// conn.call is the contract between them: even while the connection computes,
// odd while it is inside a call, never the same value twice. Only who changes
// the odd value to the next even one owns the role.

// watchInterval is how often the monitor looks. A call is left behind when two
// looks find it: after one to two intervals.
const watchInterval = 10 * time.Millisecond

func (c *conn) beginCall() (seq uint64) {
	seq = c.callSeq + 1
	c.callSeq = seq
	c.call.Store(seq) // odd; from here on the monitor may take everything away
	c.srv.monitor.busy()
	return seq
}

// endCall reports whether the role is still ours. If not, nothing of the
// connection may be touched.
func (c *conn) endCall(seq uint64) bool {
	if !c.call.CompareAndSwap(seq, seq+1) {
		return false
	}
	c.callSeq = seq + 1
	return true
}

// takeOver runs on a new goroutine that has taken the role, with seq as the
// call counter.
func (c *conn) takeOver(seq uint64) {
	c.callSeq = seq
	c.now = c.srv.clock()
	c.stats.LeftBehind++
	if t := c.current; t != nil {
		t.adrift = true
		c.current = nil
		c.passOn(t)
		if t.borrowed {
			c.in.leave()
		}
		c.srv.events.callLeftBehind(c, t)
	}
	if c.reading {
		c.serve()
	} else {
		c.assist()
	}
}

// monitor watches all connections of a server while any of them is busy.
type monitor struct {
	awake atomic.Bool
	mu    sync.Mutex
	conns map[*conn]uint64 // the call seen last
}

func (m *monitor) add(c *conn) {
	m.mu.Lock()
	if m.conns == nil {
		m.conns = map[*conn]uint64{}
	}
	m.conns[c] = 0
	m.mu.Unlock()
}

func (m *monitor) remove(c *conn) {
	m.mu.Lock()
	delete(m.conns, c)
	m.mu.Unlock()
}

// busy makes sure that somebody watches, after a call has begun: a ping is none,
// so idle sessions keep nobody awake.
func (m *monitor) busy() {
	if !m.awake.Load() && m.awake.CompareAndSwap(false, true) {
		go m.watch()
	}
}

func (m *monitor) watch() {
	quiet := 0
	for {
		time.Sleep(watchInterval)
		if m.look() {
			quiet = 0
			continue
		}
		if quiet++; quiet < 10 {
			continue
		}
		m.awake.Store(false)
		// A call may have begun since the look, by a connection that saw
		// us awake.
		if !m.look() || !m.awake.CompareAndSwap(false, true) {
			return
		}
		quiet = 0
	}
}

// look takes the role away from calls it has seen before. It reports whether
// any connection has been inside a call since the last look.
func (m *monitor) look() (active bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, last := range m.conns {
		now := c.call.Load()
		active = active || now != last || now&1 == 1
		if now&1 == 1 && now == last && c.call.CompareAndSwap(now, now+1) {
			now++
			go c.takeOver(now)
		}
		m.conns[c] = now
	}
	return active
}
