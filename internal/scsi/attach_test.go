package scsi

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A nexus comes back while calls of its previous session leave the medium: each
// of them is either waited for or gone. For the race detector.
func TestAttachWhileCallsLeave(t *testing.T) {
	const calls, nexuses, rounds = 8, 300, 20
	s := newSlowly(t)
	for n := range nexuses { // which are looked through, and take their time
		s.attach(fmt.Sprintf("iqn.2026-11.test:h%d", n))
	}
	it := s.it
	for range rounds {
		ended := make(chan struct{}, calls)
		for range calls {
			task := &Task{Done: func(*Task) { ended <- struct{}{} }}
			copy(task.CDB[:], unhex(flushAll))
			require.Equal(t, Pending, it.Submit(task))
		}
		var inside []chan struct{}
		for range calls {
			inside = append(inside, <-s.inside)
		}
		it.Detach()
		go func() {
			for _, let := range inside {
				close(let)
			}
		}()
		it = s.attach("iqn.2026-11.test:a")
		for range calls {
			<-ended
		}
	}
	require.Equal(t, Good, s.through(it, 0, "00 00 00 00 00 00", nil, 0).Status)
}
