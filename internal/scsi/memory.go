package scsi

import "sync"

// Memory is what a unit has to know after a restart beside its reservations.
// The zero value is that of a new unit.
type Memory struct {
	Information string // SET IDENTIFYING INFORMATION, any bytes
	Text        string // its text information, UTF-8
	Erase       Erase  // FORMAT UNIT or SANITIZE that has not ended well
}

// memory holds what the unit remembers. What could not be saved did not
// happen.
type memory struct {
	save func(Memory) error // nil: there is none

	mu  sync.Mutex // also orders the saves
	now Memory
}

func (u *Unit) hasMemory() bool { return u.memory.save != nil }

func (u *Unit) recall() Memory {
	u.memory.mu.Lock()
	defer u.memory.mu.Unlock()
	return u.memory.now
}

// note changes what the unit remembers.
func (u *Unit) note(f func(*Memory)) error {
	u.memory.mu.Lock()
	defer u.memory.mu.Unlock()
	next := u.memory.now
	f(&next)
	if next == u.memory.now {
		return nil
	}
	if err := u.memory.save(next); err != nil {
		return ErrNotSaved.Because(err)
	}
	u.memory.now = next
	return nil
}
