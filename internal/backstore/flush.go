package backstore

import (
	"sync"
	"sync/atomic"
)

// committer lets concurrent callers share flushes, and remembers one that
// failed.
//
// A caller is served by a flush that began after it asked: the one that is
// running already may have looked at the caller's pages before they were
// written. So at most one flush runs, everybody who asks meanwhile waits for
// the next, and the first of them to wake leads it.
type committer struct {
	flush func() error // runs without mu

	failed atomic.Pointer[failure] // latched; read on every call
	// failures counts what was ever latched. Who was under way when a failure
	// struck has failed, even if an operator clears the latch before it looks.
	failures atomic.Uint64

	mu      sync.Mutex
	turn    sync.Cond
	running bool
	begun   uint64 // flushes begun
	done    uint64 // the last flush that ended well
	last    error  // the last failure latched
}

type failure struct{ err error }

func (c *committer) init(flush func() error) {
	c.flush = flush
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
		case c.running:
			c.turn.Wait()
		default:
			c.lead()
		}
	}
}

// lead runs one flush. mu is held on entry and on return.
func (c *committer) lead() {
	c.running = true
	c.begun++
	n := c.begun
	c.mu.Unlock()
	err := c.flush()
	c.mu.Lock()
	c.running = false
	if err != nil {
		c.failLocked(err)
	} else {
		c.done = n
	}
	c.turn.Broadcast()
}
