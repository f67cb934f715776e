package scsi

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// rangeLock keeps read-modify-write commands (COMPARE AND WRITE, ORWRITE) apart
// from everything that overlaps them, on whatever path it comes. Plain reads
// and writes share: among themselves SCSI promises no order.
//
// The medium is seen as stripes, folded onto the 64 bits of a mask. A plain
// command puts its mask into a free slot and looks at the stripes that are
// held exclusively: two atomic operations on memory that it hardly shares, no
// allocation. An exclusive one announces its stripes and then looks at the
// slots. Whichever comes second sees the other. Folding and striping can make
// commands wait that do not overlap; they never let overlapping ones through.
//
// A command that holds one lock asks for no other.
type rangeLock struct {
	slots     [lockSlots]lockSlot
	exclusive atomic.Uint64 // stripes held or claimed exclusively; changes under mu
	waiting   atomic.Int32  // changes under mu

	mu   sync.Mutex
	cond sync.Cond // on mu; see newRangeLock
}

type lockSlot struct {
	mask atomic.Uint64
	_    [56]byte // a cache line of its own
}

const (
	lockSlots   = 64 // all workers of a unit, and inline calls, have one: who is stuck takes it from nobody
	stripeShift = 16 // 64 KiB
)

func newRangeLock() *rangeLock {
	l := &rangeLock{}
	l.cond.L = &l.mu
	return l
}

// stripes returns the mask of n blocks at lba. n is not zero.
func stripes(lba, n uint64, shift uint8) uint64 {
	first := lba << shift >> stripeShift
	count := (lba+n-1)<<shift>>stripeShift - first + 1
	if count >= 64 {
		return ^uint64(0)
	}
	return bits.RotateLeft64(1<<count-1, int(first%64))
}

// tryShare is share, or nil where that would wait.
func (l *rangeLock) tryShare(mask uint64) *lockSlot {
	s := l.claim(mask)
	if s != nil && l.exclusive.Load()&mask != 0 {
		l.unshare(s)
		return nil
	}
	return s
}

// share waits until nobody holds any of the stripes exclusively, and keeps it
// so until unshare.
func (l *rangeLock) share(mask uint64) *lockSlot {
	if s := l.tryShare(mask); s != nil {
		return s
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	for {
		if l.exclusive.Load()&mask == 0 {
			if s := l.claim(mask); s != nil {
				return s
			}
		}
		l.cond.Wait()
	}
}

// claim puts mask into a free slot, nil if there is none.
func (l *rangeLock) claim(mask uint64) *lockSlot {
	hint := bits.TrailingZeros64(mask)
	for i := range lockSlots {
		s := &l.slots[(hint+i)%lockSlots]
		if s.mask.Load() == 0 && s.mask.CompareAndSwap(0, mask) {
			return s
		}
	}
	return nil
}

func (l *rangeLock) unshare(s *lockSlot) {
	s.mask.Store(0)
	if l.waiting.Load() != 0 {
		// Under mu the waiter either has not looked yet or is waiting.
		l.mu.Lock()
		l.cond.Broadcast()
		l.mu.Unlock()
	}
}

// lock waits until it has the stripes alone.
func (l *rangeLock) lock(mask uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	for l.exclusive.Load()&mask != 0 {
		l.cond.Wait()
	}
	l.exclusive.Store(l.exclusive.Load() | mask) // from here on nobody new shares them
	for l.shared(mask) {
		l.cond.Wait()
	}
}

func (l *rangeLock) shared(mask uint64) bool {
	for i := range l.slots {
		if l.slots[i].mask.Load()&mask != 0 {
			return true
		}
	}
	return false
}

func (l *rangeLock) unlock(mask uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exclusive.Store(l.exclusive.Load() &^ mask)
	l.cond.Broadcast()
}
