package backstore

import "golang.org/x/sys/unix"

const (
	punchHole = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	zeroRange = unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
)

// zeros is what is written where the file system cannot zero by itself.
var zeros = alignedBytes(256 << 10)

// Discard keeps the Volume contract. A preallocated file keeps its space.
func (f *File) Discard(off, n int64) error {
	if err := f.begin("discard", off, n, true); err != nil {
		return err
	}
	defer f.calls.leave()
	return f.changed(f.clear(off, n))
}

func (f *File) clear(off, n int64) error {
	if f.preallocated {
		return f.zero(off, n, zeroRange)
	}
	return f.zero(off, n, punchHole, zeroRange)
}

// WriteZeros keeps the Volume contract.
func (f *File) WriteZeros(off, n int64) error {
	if err := f.begin("write zeros", off, n, true); err != nil {
		return err
	}
	defer f.calls.leave()
	if f.preallocated {
		return f.changed(f.zero(off, n, zeroRange))
	}
	return f.changed(f.zero(off, n, zeroRange, punchHole))
}

// NextExtent keeps the Volume contract.
func (f *File) NextExtent(off int64) (length int64, mapped bool, err error) {
	if err := f.begin("seek", off, 1, false); err != nil {
		return 0, false, err
	}
	defer f.calls.leave()
	return f.extent(off)
}

func (f *File) extent(off int64) (length int64, mapped bool, err error) {
	end := f.size.Load()
	data, err := f.sys.Seek(f.fd, off, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO: // a hole up to the end, or no such offset any more
		if err := f.whole(); err != nil {
			return 0, false, err
		}
		return end - off, false, nil
	case err == unix.EINVAL || err == unix.EOPNOTSUPP:
		return end - off, true, nil // nobody knows: call it data
	case err != nil:
		return 0, false, f.fail("seek", err)
	case data > off:
		return min(data, end) - off, false, nil
	}
	hole, err := f.sys.Seek(f.fd, off, unix.SEEK_HOLE)
	switch {
	case err == unix.ENXIO: // shrunk or punched between the two calls
		return 0, false, f.endOfFile()
	case err != nil:
		return 0, false, f.fail("seek", err)
	case hole <= off: // punched between the two calls
		return 1, false, nil
	}
	return min(hole, end) - off, true, nil
}

// zero makes [off, off+n) read as zeros by the first of the fallocate modes
// that the medium knows, or by writing. What covers no whole unit is written.
func (f *fdio) zero(off, n int64, modes ...uint32) error {
	if err := f.beforeEnd(off, n); err != nil {
		return err
	}
	if f.dio != nil {
		defer f.dio.locks.lock(f.dio.down(off), f.dio.up(off+n), true)()
	}
	first, last := inner(off, n, f.unit, 0)
	if err := f.writeZeros(off, first-off); err != nil {
		return err
	}
	if err := f.zeroWhole(first, last-first, modes); err != nil {
		return err
	}
	return f.writeZeros(last, off+n-last)
}

// inner is the part [first, last) of [off, off+n) that whole units cover,
// where a unit begins at phase; without any, first and last are off+n.
func inner(off, n, unit, phase int64) (first, last int64) {
	end := off + n
	first = off + (unit-(off-phase)%unit)%unit
	last = end - (end-phase)%unit
	if first >= last {
		return end, end
	}
	return first, last
}

func (f *fdio) zeroWhole(off, n int64, modes []uint32) error {
	if n == 0 {
		return nil // fallocate refuses an empty range
	}
	for _, mode := range modes {
		switch err := f.sys.Fallocate(f.fd, mode, off, n); err {
		case nil:
			return nil
		case unix.EOPNOTSUPP, unix.ENOSYS:
		default:
			return f.fail("zero", err)
		}
	}
	return f.writeZeros(off, n)
}

// writeZeros writes zeros; with direct I/O the caller holds the range.
func (f *fdio) writeZeros(off, n int64) error {
	for n > 0 {
		p := zeros[:min(n, int64(len(zeros)))]
		var err error
		if f.dio != nil {
			_, err = f.writeDirectLocked(p, off, false)
		} else {
			_, err = f.pwrite(p, off, false)
		}
		if err != nil {
			return err
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return nil
}
