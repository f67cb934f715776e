package scsi

import "sync"

// background is what a unit does on its own, after the command that asked for
// it was answered.
type background struct {
	running sync.WaitGroup

	mu       sync.Mutex
	flushing bool
	again    bool // flush once more
}

// Close waits until the unit does nothing on its own any more. Detach its
// nexuses before and close its medium afterwards.
func (u *Unit) Close() { u.behind.running.Wait() }
