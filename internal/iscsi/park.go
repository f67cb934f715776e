package iscsi

import (
	"runtime"
	"sync/atomic"
)

// Waking an idle processor costs many times what an I/O does. So a connection
// whose next bytes usually come soon looks at its socket again for a little
// while before it parks in the network poller.

const (
	// pollMost is the longest time one connection looks again and again, in
	// nanoseconds.
	pollMost = 100_000
	// pollLeast is the shortest time that makes sense: a few looks.
	pollLeast = 5_000
	// pollWorth is the usual gap above which polling is given up. It is more
	// than pollMost because a gap that ended in a wake-up includes the
	// wake-up.
	pollWorth = 250_000
	// gapMost keeps one long pause from being remembered for ever.
	gapMost = 1_000_000
)

// pollers counts who is polling, in the whole process. At least half of the
// processors stay for everybody else, so with one there is none.
var pollers atomic.Int32

func maxPollers() int32 { return int32(runtime.GOMAXPROCS(0) / 2) }

// patience decides how long a connection polls. Times are nanoseconds of any
// clock that is never 0.
type patience struct {
	gap     int64 // how long bytes usually take to come, smoothed
	since   int64 // when the wait began; 0: not waiting
	polling bool
}

// more reports whether to look again. The first call begins the wait.
func (p *patience) more(now int64) bool {
	if p.since == 0 {
		p.since = now
		if p.gap > pollWorth {
			return false
		}
		if pollers.Add(1) > maxPollers() {
			pollers.Add(-1)
			return false
		}
		p.polling = true
		return true
	}
	return p.polling && now-p.since < min(max(2*p.gap, pollLeast), pollMost)
}

// stop ends polling, if it was going on.
func (p *patience) stop() {
	if p.polling {
		p.polling = false
		pollers.Add(-1)
	}
}

// arrived ends the wait and learns from it.
func (p *patience) arrived(now int64) {
	p.stop()
	waited := int64(0)
	if p.since != 0 {
		waited = min(now-p.since, gapMost)
	}
	p.since = 0
	p.gap += (waited - p.gap) / 8
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
	now := c.srv.clock()
	if c.tr.pollable() && c.patience.more(now) {
		return lookAgain
	}
	c.patience.stop()
	c.in.mark(now)
	c.in.rest()
	c.stats.Parks++
	c.parked = true
	c.release()
	return park
}
