package backstore

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Writes that nothing tears. The kernel promises them for direct I/O where the
// device below does, in lengths that are powers of two, at offsets that are
// multiples of the length. What initiators are told can only name one unit for
// both, so one length is offered out of those.

// atomicPage is that length where the medium has it: the largest page that
// databases commonly write.
const atomicPage = 16 << 10

// atomicUnit chooses out of what the medium takes.
func atomicUnit(least, most int) int64 {
	if least <= 0 || most < least {
		return 0
	}
	unit := most
	for unit > atomicPage && unit/2 >= least {
		unit /= 2
	}
	if unit&(unit-1) != 0 || unit > bounceSize {
		return 0
	}
	return int64(unit)
}

// setUpAtomic asks the kernel what it promises about an open file with direct
// I/O. A kernel that does not know the question promises nothing.
func (f *fdio) setUpAtomic() error {
	least, most, err := f.sys.AtomicUnits(f.fd)
	if err != nil && err != unix.ENOSYS && err != unix.EINVAL {
		return f.fail("open", err)
	}
	if unit := atomicUnit(least, most); unit >= int64(f.dio.align) {
		f.atomic = unit
	}
	return nil
}

// Atomic keeps the Volume contract.
func (f *fdio) Atomic() (unit, most int64) { return f.atomic, f.atomic }

// WriteAtomic keeps the Volume contract.
func (f *fdio) WriteAtomic(p []byte, off int64) error {
	if err := f.begin("write", off, int64(len(p)), true); err != nil {
		return err
	}
	defer f.calls.leave()
	switch {
	case f.atomic == 0:
		return &Error{Op: "write", Path: f.path, Reason: ReasonUnsupported}
	case int64(len(p)) != f.atomic || off%f.atomic != 0:
		return &Error{Op: "write", Path: f.path, Reason: ReasonUnaligned,
			Err: fmt.Errorf("%d bytes at %d, atomic are %d at multiples of them", len(p), off, f.atomic)}
	}
	if err := f.beforeEnd(off, int64(len(p))); err != nil {
		return err
	}
	defer f.dio.locks.lock(off, off+int64(len(p)), false)()
	if !f.dio.alignedMemory(p) {
		buf := getBounce()
		defer putBounce(buf)
		p = buf.b[:copy(buf.b, p)]
	}
	return f.changed(f.pwriteAtomic(p, off))
}

// pwriteAtomic never continues a write: its parts would not be one.
func (f *fdio) pwriteAtomic(p []byte, off int64) error {
	for {
		n, err := f.sys.PwriteAtomic(f.fd, p, off)
		switch {
		case err == unix.EINTR:
			continue
		case err == nil && n != len(p):
			err = unix.EIO
		}
		if err != nil {
			return f.fail("write", err)
		}
		return nil
	}
}
