package scsi

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// A ROD token stands for the data of some ranges of a unit at the moment when
// it was made. There are no snapshots below, so tokens are of the kind that a
// write to their ranges revokes. They live in memory: after a restart they are
// unknown, and initiators copy by hand. SPC-4 r36f 5.17.6, SBC-4 r22 4.28.

const (
	rodChangeVulnerable = 0x00800001
	rodAnyPointInTime   = 0x0080ffff
	rodZero             = 0xffff0001
	rodTokenSize        = 512
	rodTokenLength      = 0x01f8 // of what follows the field

	maxRODs          = 256 // tokens of one unit
	maxRODRanges     = 256
	maxRODBytes      = 256 << 20 // of one token or WRITE USING TOKEN
	optimalRODBytes  = 64 << 20  // what a medium without offload copies in time
	defaultRODIdle   = 60 * time.Second
	maxRODIdle       = time.Hour
	rodSecretAt      = 128
	rodSecretLength  = 32
	rodIdentifiersAt = 8
)

type rod struct {
	unit    *Unit
	token   [rodTokenSize]byte
	ranges  []extent
	bytes   int64
	idle    time.Duration
	expires time.Time // guarded by rods.mu
	revoked atomic.Bool
}

// rods are the tokens of one unit.
type rods struct {
	live atomic.Int32 // not revoked: writes look for them

	mu   sync.Mutex
	byID map[uint64]*rod
}

// touch revokes the tokens of what is about to change. The range is held, so
// whoever makes a token of it either sees the change or is seen here.
func (u *Unit) touch(e extent) {
	if u.rods.live.Load() == 0 {
		return
	}
	u.rods.mu.Lock()
	defer u.rods.mu.Unlock()
	for _, r := range u.rods.byID {
		for _, o := range r.ranges {
			if e.overlaps(o) && !r.revoked.Swap(true) {
				u.rods.live.Add(-1)
			}
		}
	}
}

func (e extent) overlaps(o extent) bool {
	return e.n > 0 && o.n > 0 && e.lba < o.lba+o.n && o.lba < e.lba+e.n
}

// newROD makes a token of ranges. It waits for writes in them that began
// before, so that none of those changes what the token stands for.
func (u *Unit) newROD(ranges []extent, idle time.Duration) (*rod, error) {
	f := u.conf.Load()
	r := &rod{unit: u, ranges: ranges, idle: idle}
	mask := uint64(0)
	for _, e := range ranges {
		r.bytes += int64(e.n) << f.shift
		if e.n > 0 {
			mask |= stripes(e.lba, e.n, f.shift)
		}
	}
	r.fillToken()
	if mask != 0 {
		u.ranges.lock(mask)
		defer u.ranges.unlock(mask)
	}
	return r, u.rods.add(r)
}

// fillToken is SPC-4 r36f 5.17.6.4: type, identifier, creator, size, and more
// randomness than anybody can guess.
func (r *rod) fillToken() {
	b := r.token[:]
	binary.BigEndian.PutUint32(b, rodChangeVulnerable)
	binary.BigEndian.PutUint16(b[6:], rodTokenLength)
	rand.Read(b[rodIdentifiersAt : rodIdentifiersAt+8])
	r.unit.appendCSCD(b[16:16])
	binary.BigEndian.PutUint64(b[56:], uint64(r.bytes))
	binary.BigEndian.PutUint32(b[96:], r.unit.conf.Load().blockSize)
	rand.Read(b[rodSecretAt : rodSecretAt+rodSecretLength])
}

func (r *rod) id() uint64 { return binary.BigEndian.Uint64(r.token[rodIdentifiersAt:]) }

func (s *rods) add(r *rod) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.byID) >= maxRODs {
		for _, o := range s.byID {
			if o.revoked.Load() || now.After(o.expires) {
				s.drop(o)
			}
		}
	}
	if len(s.byID) >= maxRODs {
		return ErrNoRODs
	}
	if s.byID == nil {
		s.byID = map[uint64]*rod{}
	}
	r.expires = now.Add(r.idle)
	s.byID[r.id()] = r
	s.live.Add(1)
	return nil
}

// drop forgets a token. s.mu is held.
func (s *rods) drop(r *rod) {
	if !r.revoked.Swap(true) {
		s.live.Add(-1)
	}
	delete(s.byID, r.id())
}

func (s *rods) delete(r *rod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(r)
}

// clear forgets all tokens, as a reset does.
func (s *rods) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.byID {
		s.drop(r)
	}
}

// find returns the token that p is a copy of and keeps it from expiring.
func (s *rods) find(p []byte) (*rod, *Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.byID[binary.BigEndian.Uint64(p[rodIdentifiersAt:])]
	now := time.Now()
	switch {
	case r == nil:
		return nil, ErrTokenUnknown
	case !bytes.Equal(r.token[:], p):
		return nil, ErrTokenCorrupt
	case r.revoked.Load():
		return nil, ErrTokenRevoked
	case now.After(r.expires):
		return nil, ErrTokenExpired
	}
	r.expires = now.Add(r.idle)
	return r, nil
}

// valid tells whether what was read from the ranges is still what the token
// stands for.
func (r *rod) valid() error {
	if r.revoked.Load() {
		return ErrTokenRevoked
	}
	return nil
}

// findROD looks for a token in the units that the nexus may see.
func (it *IT) findROD(p []byte) (*rod, *itl, *Check) {
	v := it.view.Load()
	for _, l := range v.luns {
		x := v.find(NewLUN(l))
		r, c := x.unit.rods.find(p)
		if c != ErrTokenUnknown {
			return r, x, c
		}
	}
	return nil, nil, ErrTokenUnknown
}
