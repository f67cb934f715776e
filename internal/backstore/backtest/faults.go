package backtest

import (
	"errors"

	"nas-target/internal/backstore"
)

// The names of the system calls, as Faults counts them.
const (
	SysOpen          = "open"
	SysClose         = "close"
	SysReopen        = "reopen"
	SysLock          = "lock"
	SysLink          = "link"
	SysRemove        = "remove"
	SysStat          = "stat"
	SysStatfs        = "statfs"
	SysDirectAlign   = "statx"
	SysPread         = "pread"
	SysPreadNoWait   = "preadv2"
	SysPwrite        = "pwrite"
	SysPwriteDsync   = "pwritev2"
	SysPwriteAtomic  = "pwritev2 atomic"
	SysAtomicUnits   = "statx atomic"
	SysFdatasync     = "fdatasync"
	SysFsync         = "fsync"
	SysFtruncate     = "ftruncate"
	SysFallocate     = "fallocate"
	SysSeek          = "lseek"
	SysCopyFileRange = "copy_file_range"
	SysBlockSizes    = "blocksizes"
	SysBlockDiscard  = "blkdiscard"
)

// Faults stands between a file or block store and the kernel (or CrashFS) and
// makes chosen system calls fail. A nil Next is the kernel.
type Faults struct {
	Next backstore.Files
	// Before, if set, runs before every call that is let through: a test can
	// block there, or change the file behind the store's back. Its error fails
	// the call.
	Before func(sys string) error

	plan plan
}

var _ backstore.Files = (*Faults)(nil)

// Nth lets the nth call of sys from now on (1 is the next) fail with err;
// "" counts every system call.
func (f *Faults) Nth(sys string, nth int, err error) {
	f.plan.add(rule{op: sys, nth: nth, err: err, short: -1})
}

// From is Nth for that call and all after it.
func (f *Faults) From(sys string, nth int, err error) {
	f.plan.add(rule{op: sys, nth: nth, on: true, err: err, short: -1})
}

// Short lets the nth transfer by sys move at most k bytes and succeed, as the
// kernel may.
func (f *Faults) Short(sys string, nth, k int) {
	f.plan.add(rule{op: sys, nth: nth, short: k})
}

// AlwaysShort is Short for every transfer from now on.
func (f *Faults) AlwaysShort(sys string, k int) {
	f.plan.add(rule{op: sys, nth: 1, on: true, short: k})
}

// Pass removes all rules.
func (f *Faults) Pass() { f.plan.clear() }

// Calls is how often sys was called; "" counts all.
func (f *Faults) Calls(sys string) int { return f.plan.count(sys) }

func (f *Faults) next() backstore.Files {
	if f.Next == nil {
		return backstore.Kernel{}
	}
	return f.Next
}

// strike counts a call and returns its error, and how many bytes it may move.
func (f *Faults) strike(sys string, n int) (int, error) {
	if r := f.plan.next(sys); r != nil {
		if r.err != nil {
			return 0, r.err
		}
		n = min(n, r.short)
	}
	if f.Before != nil {
		return n, f.Before(sys)
	}
	return n, nil
}

func (f *Faults) check(sys string) error {
	_, err := f.strike(sys, 0)
	return err
}

// errNoFD is what a store gets that goes on with a descriptor whose open
// failed.
var errNoFD = errors.New("backtest: descriptor of a failed open")

func (f *Faults) Open(path string, flags int, mode uint32) (int, error) {
	if err := f.check(SysOpen); err != nil {
		return -1, err
	}
	return f.next().Open(path, flags, mode)
}

func (f *Faults) Reopen(fd int) (int, error) {
	if err := f.check(SysReopen); err != nil {
		return -1, err
	}
	return f.next().Reopen(fd)
}

func (f *Faults) Close(fd int) error {
	if fd < 0 {
		return errNoFD
	}
	// The kernel closes even when it reports an error.
	err := f.check(SysClose)
	if cerr := f.next().Close(fd); err == nil {
		err = cerr
	}
	return err
}

func (f *Faults) Lock(fd int) error {
	if err := f.check(SysLock); err != nil {
		return err
	}
	return f.next().Lock(fd)
}

func (f *Faults) Link(fd int, path string) error {
	if err := f.check(SysLink); err != nil {
		return err
	}
	return f.next().Link(fd, path)
}

func (f *Faults) Remove(path string) error {
	if err := f.check(SysRemove); err != nil {
		return err
	}
	return f.next().Remove(path)
}

func (f *Faults) Stat(fd int) (backstore.FileInfo, error) {
	if err := f.check(SysStat); err != nil {
		return backstore.FileInfo{}, err
	}
	return f.next().Stat(fd)
}

func (f *Faults) Statfs(fd int) (backstore.FSInfo, error) {
	if err := f.check(SysStatfs); err != nil {
		return backstore.FSInfo{}, err
	}
	return f.next().Statfs(fd)
}

func (f *Faults) DirectAlign(fd int) (mem, off int, err error) {
	if err := f.check(SysDirectAlign); err != nil {
		return 0, 0, err
	}
	return f.next().DirectAlign(fd)
}

func (f *Faults) Pread(fd int, p []byte, off int64) (int, error) {
	n, err := f.strike(SysPread, len(p))
	if err != nil {
		return 0, err
	}
	return f.next().Pread(fd, p[:n], off)
}

func (f *Faults) PreadNoWait(fd int, p []byte, off int64) (int, error) {
	n, err := f.strike(SysPreadNoWait, len(p))
	if err != nil {
		return 0, err
	}
	return f.next().PreadNoWait(fd, p[:n], off)
}

func (f *Faults) Pwrite(fd int, p []byte, off int64) (int, error) {
	n, err := f.strike(SysPwrite, len(p))
	if err != nil {
		return 0, err
	}
	return f.next().Pwrite(fd, p[:n], off)
}

func (f *Faults) PwriteDsync(fd int, p []byte, off int64) (int, error) {
	n, err := f.strike(SysPwriteDsync, len(p))
	if err != nil {
		return 0, err
	}
	return f.next().PwriteDsync(fd, p[:n], off)
}

func (f *Faults) PwriteAtomic(fd int, p []byte, off int64) (int, error) {
	n, err := f.strike(SysPwriteAtomic, len(p))
	if err != nil {
		return 0, err
	}
	return f.next().PwriteAtomic(fd, p[:n], off)
}

func (f *Faults) AtomicUnits(fd int) (least, most int, err error) {
	if err := f.check(SysAtomicUnits); err != nil {
		return 0, 0, err
	}
	return f.next().AtomicUnits(fd)
}

func (f *Faults) Fdatasync(fd int) error {
	if err := f.check(SysFdatasync); err != nil {
		return err
	}
	return f.next().Fdatasync(fd)
}

func (f *Faults) Fsync(fd int) error {
	if err := f.check(SysFsync); err != nil {
		return err
	}
	return f.next().Fsync(fd)
}

func (f *Faults) Ftruncate(fd int, n int64) error {
	if err := f.check(SysFtruncate); err != nil {
		return err
	}
	return f.next().Ftruncate(fd, n)
}

func (f *Faults) Fallocate(fd int, mode uint32, off, n int64) error {
	if err := f.check(SysFallocate); err != nil {
		return err
	}
	return f.next().Fallocate(fd, mode, off, n)
}

func (f *Faults) Seek(fd int, off int64, whence int) (int64, error) {
	if err := f.check(SysSeek); err != nil {
		return 0, err
	}
	return f.next().Seek(fd, off, whence)
}

func (f *Faults) CopyFileRange(dst int, dstOff int64, src int, srcOff int64, n int64) (int64, error) {
	k, err := f.strike(SysCopyFileRange, int(n))
	if err != nil {
		return 0, err
	}
	return f.next().CopyFileRange(dst, dstOff, src, srcOff, int64(k))
}

func (f *Faults) BlockSizes(fd int) (logical, physical int, err error) {
	if err := f.check(SysBlockSizes); err != nil {
		return 0, 0, err
	}
	return f.next().BlockSizes(fd)
}

func (f *Faults) BlockDiscard(fd int, off, n int64) error {
	if err := f.check(SysBlockDiscard); err != nil {
		return err
	}
	return f.next().BlockDiscard(fd, off, n)
}
