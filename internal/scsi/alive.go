package scsi

import "errors"

var errNoWorker = errors.New("commands wait and no worker runs")

// Alive returns nil if the unit can still take and run commands: its locks are
// let go of, and whatever waits has a worker. It does not return while a lock
// is held. A medium that hangs is none of its business: the workers that wait
// for it are alive, and another process would have to wait just as long.
func (u *Unit) Alive() error {
	u.mu.Lock()
	u.mu.Unlock() //lint:ignore SA2001 that it could be had is the answer
	return errors.Join(u.data.alive(), u.ctl.alive())
}

func (q *queue) alive() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.len > 0 && q.running+q.sparing == 0 {
		return errNoWorker
	}
	return nil
}
