package iscsi

import (
	"runtime"
	"sync/atomic"

	"nas-target/internal/socket"
)

// Waking an idle processor costs many times what an I/O does. So a connection
// whose next bytes usually come soon looks at its socket again for a little
// while before it parks in the network poller.

const (
	// pollMost is the longest time one connection looks again and again, in
	// nanoseconds.
	pollMost = 150_000
	// pollLeast is the shortest time that makes sense: less than being woken
	// would take.
	pollLeast = 30_000
	// pollWorth is the usual gap above which polling is given up. It is more
	// than pollMost because a gap that ended in a wake-up includes the
	// wake-up.
	pollWorth = 250_000
	// pollLost is how long a look lasts only if somebody else got the
	// processor meanwhile: then it is not idle, and being woken costs little.
	// Polling pauses for pollPause.
	pollLost  = 200_000
	pollPause = 5_000_000
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
	last    int64 // when it looked last
	pause   int64 // no polling before
	polling bool
}

// more reports whether to look again. The first call begins the wait.
func (p *patience) more(now int64) bool {
	if p.since == 0 {
		p.since, p.last = now, now
		if p.gap > pollWorth || now < p.pause {
			return false
		}
		if pollers.Add(1) > maxPollers() {
			pollers.Add(-1)
			return false
		}
		p.polling = true
		return true
	}
	if p.polling && now-p.last > pollLost {
		p.pause = now + pollPause
		return false
	}
	p.last = now
	return p.polling && now-p.since < min(max(2*p.gap, pollLeast), pollMost)
}

// stop ends polling, if it was going on.
func (p *patience) stop() {
	if p.polling {
		p.polling = false
		pollers.Add(-1)
	}
}

// arrived ends the wait, learns from it, and returns how long it was.
func (p *patience) arrived(now int64) (waited int64) {
	p.stop()
	if p.since != 0 {
		waited = min(now-p.since, gapMost)
	}
	p.since = 0
	p.gap += (waited - p.gap) / 8
	return waited
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
		if c.retry() {
			c.patience.last = c.srv.clock() // that was no look
		}
		if c.runnable() || c.failure.Load() != nil {
			return leave
		}
		socket.Yield()
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
