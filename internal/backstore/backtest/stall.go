package backtest

import (
	"sync"
	"time"

	"nas-target/internal/backstore"
)

// Stall holds chosen calls back before they reach the volume, as a stuck disk
// does, or delays them, as a slow one does.
type Stall struct {
	backstore.Volume

	mu      sync.Mutex
	changed sync.Cond // waiting or inside changed
	hold    func(c *Call) bool
	gate    chan struct{} // closed by Release
	waiting int
	delay   map[Op]time.Duration
}

// NewStall wraps v. Nothing is held until asked for.
func NewStall(v backstore.Volume) *Stall {
	s := &Stall{delay: map[Op]time.Duration{}}
	s.changed.L = &s.mu
	s.Volume = Wrap(v, s.around)
	return s
}

// StallIf holds every call from now on that hold picks, until Release. hold
// must not block.
func (s *Stall) StallIf(hold func(c *Call) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
	if s.gate == nil {
		s.gate = make(chan struct{})
	}
}

// StallWrites holds every call that changes data.
func (s *Stall) StallWrites() { s.StallIf(func(c *Call) bool { return c.Op.Changes() }) }

// StallReads holds every read.
func (s *Stall) StallReads() { s.StallIf(func(c *Call) bool { return c.Op == OpRead }) }

// StallSyncs holds every flush, that of a durable write included.
func (s *Stall) StallSyncs() {
	s.StallIf(func(c *Call) bool { return c.Op == OpSync || c.Op == OpWriteDurable })
}

// Release lets every held call go on and holds no more.
func (s *Stall) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = nil
	if s.gate != nil {
		close(s.gate)
		s.gate = nil
	}
}

// Waiting is the number of calls held now.
func (s *Stall) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting
}

// WaitFor returns once at least n calls are held.
func (s *Stall) WaitFor(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.waiting < n {
		s.changed.Wait()
	}
}

// Delay lets every call of op take d longer; zero ends it.
func (s *Stall) Delay(op Op, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay[op] = d
}

func (s *Stall) around(c *Call, do func() error) error {
	s.mu.Lock()
	if c.Op == OpClose { // waits for what is held, as a file store's Close does
		for s.waiting > 0 {
			s.changed.Wait()
		}
	}
	gate, delay := s.gate, s.delay[c.Op]
	held := s.hold != nil && s.hold(c)
	if held {
		s.waiting++
		s.changed.Broadcast()
	}
	s.mu.Unlock()
	if held {
		<-gate
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	err := do()
	if held {
		s.mu.Lock()
		s.waiting--
		s.changed.Broadcast()
		s.mu.Unlock()
	}
	return err
}
