package backstore

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// smallDurable is the longest write that RWF_DSYNC carries alone. Longer ones
// gain nothing from it: their own data dominates the flush.
const smallDurable = 64 << 10

// flushLanes is how many flushes of one medium run at once.
const flushLanes = 2

// fdio is the way to the bytes behind one descriptor; file and block stores
// are built on it.
type fdio struct {
	// Set when opened.
	sys  Files
	path string
	fd   int
	dio  *dio  // nil: through the page cache
	unit int64 // offsets and lengths that fallocate takes: 1, or a device's block
	// atomic is the length of a write that nothing tears; 0: there is none.
	atomic int64
	// whole latches a *ShrunkError when the medium lost a part.
	whole func() error
	// extends is true where a write past the end makes the medium longer, so
	// that a lost part can hide: then every write looks.
	extends bool
	// inMemory is true where the page cache is the medium (tmpfs), so that a
	// read never waits.
	inMemory bool

	size  atomic.Int64
	calls inflight
	flush committer
	// flushing are descriptions of the same file that nothing but a flush
	// uses, one for each lane: the kernel reports a failed writeback to each
	// description once, so a call that shares one may take the report away
	// from another.
	flushing []int

	durable  atomic.Int64 // WriteDurable calls inside
	noDsync  atomic.Bool  // RWF_DSYNC is not supported here
	noNoWait atomic.Bool  // RWF_NOWAIT is not supported here
}

func (f *fdio) init(sys Files, path string, fd int) {
	f.sys, f.path, f.fd = sys, path, fd
	for range flushLanes {
		if again, err := sys.Reopen(fd); err == nil {
			f.flushing = append(f.flushing, again)
		}
	}
	if len(f.flushing) == 0 { // no /proc, or no permission to read
		f.flushing = []int{fd}
	}
	f.flush.init(len(f.flushing), f.fdatasync)
}

// closeAll closes the descriptors.
func (f *fdio) closeAll() error {
	for _, fd := range f.flushing {
		if fd != f.fd {
			f.sys.Close(fd) // was read from, if anything
		}
	}
	return f.sys.Close(f.fd)
}

func (f *fdio) Size() int64 { return f.size.Load() }

// begin admits a call on [off, off+n). The caller must calls.leave when err is
// nil. A latched flush failure stops changes, a lost medium stops reads too.
func (f *fdio) begin(op string, off, n int64, change bool) error {
	if !f.calls.enter() {
		return &Error{Op: op, Path: f.path, Reason: ReasonClosed}
	}
	err := checkRange(off, n, f.size.Load())
	if l := f.flush.failed.Load(); l != nil && err == nil {
		if _, gone := l.err.(*ShrunkError); change || gone {
			err = l.err
		}
	}
	if err != nil {
		f.calls.leave()
	}
	return err
}

func (f *fdio) fail(op string, err error) error {
	return &Error{Op: op, Path: f.path, Reason: ReasonIO, Err: err}
}

// ReadAt keeps the package contract.
func (f *fdio) ReadAt(p []byte, off int64) (int, error) {
	if err := f.begin("read", off, int64(len(p)), false); err != nil {
		return 0, err
	}
	defer f.calls.leave()
	if f.dio != nil {
		return f.readDirect(p, off)
	}
	return f.read(p, off)
}

func (f *fdio) read(p []byte, off int64) (done int, err error) {
	for done < len(p) {
		n, err := f.sys.Pread(f.fd, p[done:], off+int64(done))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return done, f.fail("read", err)
		case n == 0:
			return done, f.endOfFile()
		default:
			done += n
		}
	}
	return done, nil
}

// endOfFile is what a read inside the size means that finds nothing there.
func (f *fdio) endOfFile() error {
	if err := f.whole(); err != nil {
		return err
	}
	return f.fail("read", unix.EIO) // whole again, but this read has failed
}

// changed decides the result of a change: what the call said, unless the
// medium lost a part meanwhile.
func (f *fdio) changed(err error) error {
	if err != nil || f.extends {
		if gone := f.whole(); gone != nil {
			return gone
		}
	}
	return err
}

// beforeEnd checks the medium before a change that reaches its end: it would
// give a truncated file its length back, with a hole in it that nobody could
// tell from good data.
func (f *fdio) beforeEnd(off, n int64) error {
	if f.extends && off+n == f.size.Load() {
		return f.whole()
	}
	return nil
}

// TryReadAt keeps the Volume contract.
func (f *fdio) TryReadAt(p []byte, off int64) (bool, error) {
	if f.dio != nil || !f.inMemory && f.noNoWait.Load() {
		return false, nil
	}
	if err := f.begin("read", off, int64(len(p)), false); err != nil {
		return true, err
	}
	defer f.calls.leave()
	if f.inMemory {
		_, err := f.read(p, off)
		return true, err
	}
	if len(p) == 0 {
		return true, nil
	}
	n, err := f.sys.PreadNoWait(f.fd, p, off)
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.EINVAL {
		f.noNoWait.Store(true)
	}
	// Anything but a whole read is left to ReadAt, errors included.
	return err == nil && n == len(p), nil
}

// WriteAt keeps the package contract.
func (f *fdio) WriteAt(p []byte, off int64) (int, error) {
	if err := f.begin("write", off, int64(len(p)), true); err != nil {
		return 0, err
	}
	defer f.calls.leave()
	return f.write(p, off, false)
}

// write is WriteAt inside the store; durable asks for RWF_DSYNC.
func (f *fdio) write(p []byte, off int64, durable bool) (int, error) {
	if err := f.beforeEnd(off, int64(len(p))); err != nil {
		return 0, err
	}
	var n int
	var err error
	if f.dio != nil {
		n, err = f.writeDirect(p, off, durable)
	} else {
		n, err = f.pwrite(p, off, durable)
	}
	return n, f.changed(err)
}

func (f *fdio) pwrite(p []byte, off int64, durable bool) (done int, err error) {
	for done < len(p) {
		var n int
		if durable {
			n, err = f.sys.PwriteDsync(f.fd, p[done:], off+int64(done))
		} else {
			n, err = f.sys.Pwrite(f.fd, p[done:], off+int64(done))
		}
		switch {
		case err == unix.EINTR:
		case err != nil:
			return done, f.fail("write", err)
		case n == 0: // not an answer a disk file can give; do not spin on it
			return done, f.fail("write", unix.EIO)
		default:
			done += n
		}
	}
	return done, nil
}

// WriteDurable keeps the Volume contract: alone and small by RWF_DSYNC, in
// company by group commit.
func (f *fdio) WriteDurable(p []byte, off int64) error {
	since := f.flush.failures.Load()
	if err := f.begin("write", off, int64(len(p)), true); err != nil {
		return err
	}
	defer f.calls.leave()
	alone := f.durable.Add(1) == 1
	defer f.durable.Add(-1)
	if alone && len(p) <= smallDurable && !f.noDsync.Load() {
		if done, err := f.writeDsync(p, off); done || err != nil {
			return err
		}
	}
	if _, err := f.write(p, off, false); err != nil {
		return err
	}
	return f.flush.sync(since)
}

// writeDsync reports false when RWF_DSYNC is not to be had.
//
// When it fails the kernel does not say which half did, and the two differ: a
// failed write is this command's affair, a failed flush may have dropped data
// of others and must latch. Writing again without the flag tells.
func (f *fdio) writeDsync(p []byte, off int64) (bool, error) {
	_, err := f.write(p, off, true)
	if err == nil {
		return true, nil
	}
	if l := f.flush.failure(); l != nil {
		return true, l
	}
	if e := errnoOf(err); e == unix.EOPNOTSUPP || e == unix.EINVAL || e == unix.ENOSYS {
		f.noDsync.Store(true)
		return false, nil
	}
	if _, again := f.write(p, off, false); again != nil {
		return true, again
	}
	return true, f.flush.fail(&FlushError{Path: f.path, Err: errnoOf(err)})
}

// Sync keeps the package contract.
func (f *fdio) Sync() error {
	since := f.flush.failures.Load()
	if err := f.begin("sync", 0, 0, true); err != nil {
		return err
	}
	defer f.calls.leave()
	return f.flush.sync(since)
}

// fdatasync is one flush: what the committer shares. What cannot be examined
// cannot be trusted to have been flushed either.
func (f *fdio) fdatasync(lane int) (err error) {
	if f.extends {
		err = f.whole()
	}
	if err == nil {
		err = f.sys.Fdatasync(f.flushing[lane])
	}
	if _, gone := err.(*ShrunkError); err == nil || gone {
		return err
	}
	return &FlushError{Path: f.path, Err: errnoOf(err)}
}

// Failure keeps the Failing contract.
func (f *fdio) Failure() error { return f.flush.failure() }

// ClearFailure keeps the Failing contract.
func (f *fdio) ClearFailure() { f.flush.clear() }

// Close keeps the package contract.
func (f *fdio) Close() error {
	if !f.calls.close() {
		return &Error{Op: "close", Path: f.path, Reason: ReasonClosed}
	}
	if err := f.closeAll(); err != nil {
		return f.fail("close", err)
	}
	return nil
}

func errnoOf(err error) unix.Errno {
	for {
		switch e := err.(type) {
		case unix.Errno:
			return e
		case *Error:
			err = e.Err
		case *FlushError:
			err = e.Err
		default:
			return unix.EIO
		}
	}
}
