package daemon

import (
	"sync"
	"time"
)

// space remembers how much room a medium takes up. Whoever asks never waits
// long for the medium: when it hangs, people look at the daemon most.
type space struct {
	mu      sync.Mutex
	known   int64
	at      time.Time
	looking bool
}

const (
	// spaceAge is how long an answer is good.
	spaceAge = 5 * time.Second
	// spacePatience is how long a question may wait for a new one.
	spacePatience = 50 * time.Millisecond
)

// allocated returns what look says, or what it said last. At most one look goes
// on at a time.
func (s *space) allocated(look func() (n int64, ok bool)) int64 {
	s.mu.Lock()
	if s.looking || !s.at.IsZero() && time.Since(s.at) < spaceAge {
		defer s.mu.Unlock()
		return s.known
	}
	s.looking = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, ok := look()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.looking, s.at = false, time.Now()
		if ok {
			s.known = n
		}
	}()
	select {
	case <-done:
	case <-time.After(spacePatience):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}
