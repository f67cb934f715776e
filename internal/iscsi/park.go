package iscsi

import "sync/atomic"

// Waking an idle processor costs many times what an I/O does. So a connection
// that has just been busy looks at its socket again for a little while before
// it parks in the network poller.

const (
	// maxPollers bounds how many goroutines of the process look again and
	// again at the same time.
	maxPollers = 1
	// pollFor is how long one connection does so, in nanoseconds.
	pollFor = 50_000
)

// pollers counts who is polling.
var pollers atomic.Int32

// patience is how long a connection has been polling.
type patience struct {
	since   int64 // 0: not polling
	polling bool
}

// idle implements intake: nothing has arrived. The reader has the role, and
// gives it up before it parks.
func (c *conn) idle() idleness {
	if c.hasNews() {
		c.now = c.srv.clock()
		c.news()
		c.flush()
		if c.runnable() || c.failure.Load() != nil {
			return leave
		}
	}
	if c.tr.pollable() && c.patience.more(c.srv.clock()) {
		return lookAgain
	}
	c.patience.stop()
	c.in.mark(c.srv.clock())
	c.in.rest()
	c.stats.Parks++
	c.parked = true
	c.release()
	return park
}

// more reports whether to look again.
func (p *patience) more(now int64) bool {
	switch {
	case p.polling:
		return now-p.since < pollFor
	case pollers.Add(1) > maxPollers:
		pollers.Add(-1)
		return false
	}
	p.polling, p.since = true, now
	return true
}

// stop ends polling, if it was going on.
func (p *patience) stop() {
	if p.polling {
		p.polling = false
		pollers.Add(-1)
	}
}
