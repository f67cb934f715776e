package backtest

import (
	"math/rand/v2"
	"slices"
)

// sectors is a medium behind a volatile cache: what is read is what was
// written last; what survives a power cut is what was flushed, and of the rest
// any version of any sector.
type sectors struct {
	current image
	durable image
	// pending holds, for each sector changed since its last flush, every
	// version it had, oldest first.
	pending map[int64][]version
	seq     uint64 // of the last version
	bonds   uint64 // the last bond
	bond    uint64 // of what is written now
}

// version is what one write made of a sector; nil is a sector of zeros.
type version struct {
	seq  uint64
	bond uint64 // versions of one bond reach the medium together; 0: alone
	*sector
}

const sectorSize = 512

type sector [sectorSize]byte

// image is a sparse array of sectors; a sector that does not exist is zeros.
type image map[int64]*sector

func newSectors() *sectors {
	return &sectors{current: image{}, durable: image{}, pending: map[int64][]version{}}
}

func (s *sectors) read(p []byte, off int64) {
	for len(p) > 0 {
		at := off % sectorSize
		n := min(int64(len(p)), sectorSize-at)
		if v := s.current[off/sectorSize]; v != nil {
			copy(p[:n], v[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+n
	}
}

func (s *sectors) write(p []byte, off int64) {
	for len(p) > 0 {
		at := off % sectorSize
		n := min(int64(len(p)), sectorSize-at)
		v := new(sector)
		if old := s.current[off/sectorSize]; old != nil {
			*v = *old
		}
		copy(v[at:], p[:n])
		s.set(off/sectorSize, v)
		p, off = p[n:], off+n
	}
}

// writeAtomic is a write that a power cut keeps whole or not at all. It covers
// whole sectors.
func (s *sectors) writeAtomic(p []byte, off int64) {
	s.bonds++
	s.bond = s.bonds
	defer func() { s.bond = 0 }()
	s.write(p, off)
}

// extent is the run of sectors from off on that exist, or do not.
func (s *sectors) extent(off, size int64) (n int64, mapped bool) {
	i := off / sectorSize
	mapped = s.current[i] != nil
	for i++; i*sectorSize < size && (s.current[i] != nil) == mapped; i++ {
	}
	return min(i*sectorSize, size) - off, mapped
}

func (s *sectors) zero(off, n int64) {
	for end := off + n; off < end; {
		if off%sectorSize == 0 && end-off >= sectorSize {
			if s.current[off/sectorSize] != nil {
				s.set(off/sectorSize, nil)
			}
			off += sectorSize
			continue
		}
		k := min(end-off, sectorSize-off%sectorSize)
		if s.current[off/sectorSize] != nil {
			s.write(make([]byte, k), off)
		}
		off += k
	}
}

func (s *sectors) set(i int64, v *sector) {
	s.current.set(i, v)
	s.seq++
	s.pending[i] = append(s.pending[i], version{s.seq, s.bond, v})
}

func (m image) set(i int64, v *sector) {
	if v == nil {
		delete(m, i)
	} else {
		m[i] = v
	}
}

// beginFlush is the moment up to which a flush that starts now counts.
func (s *sectors) beginFlush() uint64 { return s.seq }

// endFlush makes durable what was written up to the moment; later versions
// stay pending.
func (s *sectors) endFlush(upTo uint64) {
	for i := range s.pending {
		s.settle(i, upTo)
	}
}

func (s *sectors) flush() { s.endFlush(s.beginFlush()) }

// flushRange makes [off, off+n) durable, whole sectors at a time.
func (s *sectors) flushRange(off, n int64, upTo uint64) {
	for i := off / sectorSize; i*sectorSize < off+n; i++ {
		s.settle(i, upTo)
	}
}

func (s *sectors) settle(i int64, upTo uint64) {
	versions := s.pending[i]
	k := 0
	for k < len(versions) && versions[k].seq <= upTo {
		k++
	}
	if k == 0 {
		return
	}
	s.durable.set(i, versions[k-1].sector)
	if k == len(versions) {
		delete(s.pending, i)
	} else {
		s.pending[i] = versions[k:]
	}
}

// drop forgets all that is not durable.
func (s *sectors) drop() { s.crash(nil) }

// crash keeps of each pending sector the durable version or any later one; a
// nil rnd keeps the durable one.
func (s *sectors) crash(rnd *rand.Rand) {
	if rnd != nil {
		survive := []float64{0, 0.1, 0.5, 0.9, 1}[rnd.IntN(5)]
		changed := make([]int64, 0, len(s.pending))
		for i := range s.pending {
			changed = append(changed, i)
		}
		slices.Sort(changed) // one seed, one outcome
		reached := map[uint64]bool{0: true}
		for bond := s.bonds; bond > 0; bond-- {
			reached[bond] = rnd.Float64() < survive
		}
		for _, i := range changed {
			versions := slices.DeleteFunc(slices.Clone(s.pending[i]), func(v version) bool { return !reached[v.bond] })
			keep := 0 // how many of them; what is bonded to one that is there is there too
			for k, v := range versions {
				if v.bond != 0 {
					keep = k + 1
				}
			}
			if rnd.Float64() < survive {
				k := len(versions)
				if rnd.IntN(4) == 0 && k > 0 {
					k = 1 + rnd.IntN(k)
				}
				keep = max(keep, k)
			}
			if keep > 0 {
				s.durable.set(i, versions[keep-1].sector)
			}
		}
	}
	s.pending, s.bonds = map[int64][]version{}, 0
	s.current = image{}
	for i, v := range s.durable {
		s.current[i] = v
	}
}
