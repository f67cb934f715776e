package scsi

import (
	"sync"
	"sync/atomic"
)

// background is what a unit does on its own, after the command that asked for
// it was answered.
type background struct {
	running sync.WaitGroup
	closing atomic.Bool
	stop    chan struct{} // closed with closing

	mu       sync.Mutex
	flushing bool
	again    bool // flush once more
}

// Close waits until the unit does nothing on its own any more. An erase stops
// and goes on when a unit with the same memory is built again. Detach the
// nexuses before and close the medium afterwards.
func (u *Unit) Close() {
	if !u.behind.closing.Swap(true) {
		close(u.behind.stop)
	}
	u.behind.running.Wait()
}
