package backstore

import (
	"slices"
	"sync"
	"sync/atomic"
)

// committer lets concurrent callers share flushes, and remembers one that
// failed.
//
// A caller is served by a flush that began after it asked: one that is running
// already may have looked at the caller's pages before they were written. So
// at most one flush runs in each lane, everybody who asks meanwhile waits for
// the next, and the first of them to wake leads it.
//
// A second lane keeps the disk busy while the first waits for its cache: with 32
// and 128 outstanding 1.1 times as many durable writes on a machine that does
// nothing else, 1.5 to 1.8 times on one whose disk is busy. Four lanes gain
// nothing more.
type committer struct {
	flush func(lane int) error // runs without mu, in each lane one at a time

	failed atomic.Pointer[failure] // latched; read on every call
	// failures counts what was ever latched. Who was under way when a failure
	// struck has failed, even if an operator clears the latch before it looks.
	failures atomic.Uint64

	mu    sync.Mutex
	turn  sync.Cond
	busy  []bool // the lanes in which a flush runs
	begun uint64 // flushes begun
	done  uint64 // the youngest flush that ended well
	last  error  // the last failure latched
}

type failure struct{ err error }

func (c *committer) init(lanes int, flush func(lane int) error) {
	c.flush = flush
	c.busy = make([]bool, lanes)
	c.turn.L = &c.mu
}

// failure is the latched error or nil.
func (c *committer) failure() error {
	if f := c.failed.Load(); f != nil {
		return f.err
	}
	return nil
}

// fail latches err unless something is latched, and returns what is.
func (c *committer) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failLocked(err)
}

func (c *committer) failLocked(err error) error {
	if f := c.failed.Load(); f != nil {
		return f.err
	}
	c.last = err
	c.failures.Add(1)
	c.failed.Store(&failure{err})
	c.turn.Broadcast()
	return err
}

func (c *committer) clear() { c.failed.Store(nil) }

// sync returns nil once a flush that began after the call has ended well.
// since is the value of failures when the caller's work began.
func (c *committer) sync(since uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for want := c.begun + 1; ; {
		switch {
		case c.failures.Load() != since:
			return c.last
		case c.failed.Load() != nil:
			return c.failure()
		case c.done >= want:
			return nil
		}
		lane := slices.Index(c.busy, false)
		if c.begun < want && lane >= 0 {
			c.lead(lane)
		} else {
			c.turn.Wait()
		}
	}
}

// lead runs one flush. mu is held on entry and on return.
func (c *committer) lead(lane int) {
	c.busy[lane] = true
	c.begun++
	n := c.begun
	c.mu.Unlock()
	err := c.flush(lane)
	c.mu.Lock()
	c.busy[lane] = false
	if err != nil {
		c.failLocked(err)
	} else {
		c.done = max(c.done, n)
	}
	c.turn.Broadcast()
}
