package backstore

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dio is what direct I/O demands, and the locks of read-modify-write.
type dio struct {
	align int // of offsets and lengths; a power of two
	mem   int // of buffer addresses; a power of two
	locks rangeLock
}

func (d *dio) down(off int64) int64 { return off &^ int64(d.align-1) }
func (d *dio) up(off int64) int64   { return (off + int64(d.align-1)) &^ int64(d.align-1) }

func (d *dio) alignedRange(off, n int64) bool { return (off|n)&int64(d.align-1) == 0 }

func (d *dio) alignedMemory(p []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(p)))&uintptr(d.mem-1) == 0
}

// bounceSize is the length of a bounce buffer: one request to the device.
const bounceSize = 256 << 10

type bounce struct{ b []byte }

var bounces = sync.Pool{New: func() any { return &bounce{alignedBytes(bounceSize)} }}

func getBounce() *bounce  { return bounces.Get().(*bounce) }
func putBounce(b *bounce) { bounces.Put(b) }

// alignedBytes returns n bytes at an address that any direct I/O accepts.
func alignedBytes(n int) []byte {
	const page = 4096
	b := make([]byte, n+page)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	return b[skip : skip+n : skip+n]
}

// setUpDirect learns the alignment; fallback is used when nobody tells.
func (f *fdio) setUpDirect(fallback int64) error {
	mem, off, err := f.sys.DirectAlign(f.fd)
	if err != nil && err != unix.ENOSYS {
		return f.fail("open", err)
	}
	if off == 0 {
		mem, off = int(fallback), int(fallback)
	}
	if off&(off-1) != 0 || mem&(mem-1) != 0 || off > bounceSize || mem > 4096 {
		return &Error{Op: "open", Path: f.path, Reason: ReasonNoDirect, Err: fmt.Errorf("alignment of %d and %d bytes", off, mem)}
	}
	if f.size.Load()%int64(off) != 0 {
		return &Error{Op: "open", Path: f.path, Reason: ReasonUnaligned, Err: fmt.Errorf("direct I/O needs a multiple of %d bytes", off)}
	}
	f.dio = &dio{align: off, mem: mem}
	f.unit = max(f.unit, int64(off))
	f.dio.locks.init()
	return f.setUpAtomic()
}

func (f *fdio) readDirect(p []byte, off int64) (done int, err error) {
	if f.dio.alignedRange(off, int64(len(p))) && f.dio.alignedMemory(p) {
		return f.read(p, off)
	}
	buf := getBounce()
	defer putBounce(buf)
	for done < len(p) {
		at := off + int64(done)
		start := f.dio.down(at)
		end := min(f.dio.up(off+int64(len(p))), start+int64(len(buf.b)))
		b := buf.b[:end-start]
		n, err := f.read(b, start)
		skip := int(at - start)
		if n > skip {
			done += copy(p[done:], b[skip:n])
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (f *fdio) writeDirect(p []byte, off int64, durable bool) (int, error) {
	// Aligned writes share the range among each other, and exclude those that
	// read, modify and write back a block of theirs.
	exclusive := !f.dio.alignedRange(off, int64(len(p)))
	defer f.dio.locks.lock(f.dio.down(off), f.dio.up(off+int64(len(p))), exclusive)()
	return f.writeDirectLocked(p, off, durable)
}

func (f *fdio) writeDirectLocked(p []byte, off int64, durable bool) (done int, err error) {
	if f.dio.alignedRange(off, int64(len(p))) && f.dio.alignedMemory(p) {
		return f.pwrite(p, off, durable)
	}
	buf := getBounce()
	defer putBounce(buf)
	for done < len(p) {
		at := off + int64(done)
		start := f.dio.down(at)
		end := min(f.dio.up(off+int64(len(p))), start+int64(len(buf.b)))
		b := buf.b[:end-start]
		skip := int(at - start)
		n := min(len(p)-done, len(b)-skip)
		if err := f.readEdges(b, start, skip, skip+n); err != nil {
			return done, err
		}
		copy(b[skip:], p[done:done+n])
		w, err := f.pwrite(b, start, durable)
		if err != nil {
			return done + max(0, min(w-skip, n)), err
		}
		done += n
	}
	return done, nil
}

// readEdges fills the first and the last block of b as far as [from, to) does
// not cover them.
func (f *fdio) readEdges(b []byte, start int64, from, to int) error {
	a := f.dio.align
	if from > 0 {
		if _, err := f.read(b[:a], start); err != nil {
			return err
		}
	}
	last := len(b) - a
	if to < len(b) && (last > 0 || from == 0) {
		if _, err := f.read(b[last:], start+int64(last)); err != nil {
			return err
		}
	}
	return nil
}

// rangeLock lends ranges of offsets, to one holder or to several that share.
type rangeLock struct {
	mu    sync.Mutex
	freed sync.Cond
	held  []*span
	spare []*span // what the next locks use, so that none allocates
}

type span struct {
	off, end  int64
	exclusive bool
	unlock    func()
}

func (l *rangeLock) init() { l.freed.L = &l.mu }

// lock waits until [off, end) is free, or shared if not exclusive, and returns
// what gives it back.
func (l *rangeLock) lock(off, end int64, exclusive bool) (unlock func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.taken(off, end, exclusive) {
		l.freed.Wait()
	}
	var s *span
	if n := len(l.spare); n > 0 {
		s, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		s = &span{}
		s.unlock = func() { l.release(s) }
	}
	s.off, s.end, s.exclusive = off, end, exclusive
	l.held = append(l.held, s)
	return s.unlock
}

func (l *rangeLock) taken(off, end int64, exclusive bool) bool {
	for _, s := range l.held {
		if off < s.end && s.off < end && (exclusive || s.exclusive) {
			return true
		}
	}
	return false
}

func (l *rangeLock) release(s *span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, h := range l.held {
		if h == s {
			n := len(l.held) - 1
			l.held[i], l.held = l.held[n], l.held[:n]
			break
		}
	}
	l.spare = append(l.spare, s)
	l.freed.Broadcast()
}
