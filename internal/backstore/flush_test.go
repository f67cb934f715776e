package backstore_test

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// faulty opens a file store whose system calls can be made to fail.
func faulty(t testing.TB, o backstore.FileOptions) (*backstore.File, *backtest.Faults) {
	t.Helper()
	faults := &backtest.Faults{Next: o.Files}
	o.Files = faults
	return newFile(t, o), faults
}

func flushFailed(err error) bool {
	var f interface{ FlushFailed() bool }
	return errors.As(err, &f) && f.FlushFailed()
}

// everyChange calls f with each operation that changes data or promises
// durability.
func everyChange(s backstore.Volume, f func(name string, op func() error)) {
	p := fillBytes('x', 1024)
	f("write", func() error { _, err := s.WriteAt(p, 0); return err })
	f("write durable", func() error { return s.WriteDurable(p, 0) })
	f("discard", func() error { return s.Discard(0, 4096) })
	f("write zeros", func() error { return s.WriteZeros(0, 4096) })
	f("copy", func() error { _, err := s.CopyRange(0, 8192, 4096); return err })
	f("resize", func() error { return s.Resize(2 * s.Size()) })
	f("sync", s.Sync)
}

// G4, F16.
func TestFailedFlushLatches(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EDQUOT} {
		f, faults := faulty(t, backstore.FileOptions{})
		before := readAll(t, f)
		faults.Nth(backtest.SysFdatasync, 1, errno) // a second one would succeed
		first := f.Sync()
		require.True(t, flushFailed(first))
		require.ErrorIs(t, first, errno)
		require.ErrorIs(t, first, backstore.ReasonFlushFailed)
		require.Equal(t, first, f.Failure())
		everyChange(f, func(name string, op func() error) {
			require.Equal(t, first, op(), "%s after the failure", name)
		})
		require.Equal(t, 1, faults.Calls(backtest.SysFdatasync), "a failed flush is never tried again")
		require.Equal(t, before, readAll(t, f), "reads go on, changes were refused")
		f.ClearFailure()
		require.NoError(t, f.Failure())
		everyChange(f, func(name string, op func() error) { require.NoError(t, op(), name) })
		require.NoError(t, f.Close())
	}
}

// A failing RWF_DSYNC does not say whether the write or the flush failed.
func TestDurableWriteTellsWriteFromFlush(t *testing.T) {
	p := fillBytes('x', 512)

	f, faults := faulty(t, backstore.FileOptions{})
	faults.Nth(backtest.SysPwriteDsync, 1, unix.ENOSPC)
	faults.Nth(backtest.SysPwrite, 1, unix.ENOSPC)
	err := f.WriteDurable(p, 0)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.False(t, flushFailed(err), "a full disk is this command's affair")
	require.NoError(t, f.Failure())
	require.NoError(t, f.WriteDurable(p, 0), "and over when there is space again")

	faults.Nth(backtest.SysPwriteDsync, 1, unix.EIO) // the write alone succeeds
	err = f.WriteDurable(p, 0)
	require.True(t, flushFailed(err))
	require.ErrorIs(t, err, unix.EIO)
	require.Equal(t, err, f.Sync(), "latched")
}

func TestDurableWriteWithoutDsync(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS} {
		f, faults := faulty(t, backstore.FileOptions{})
		faults.From(backtest.SysPwriteDsync, 1, errno)
		for range 3 {
			require.NoError(t, f.WriteDurable(fillBytes('x', 512), 0))
		}
		require.Equal(t, 1, faults.Calls(backtest.SysPwriteDsync), "asked once")
		require.Equal(t, 3, faults.Calls(backtest.SysFdatasync))
	}
}

func TestLargeDurableWriteIsFlushedOnce(t *testing.T) {
	f, faults := faulty(t, backstore.FileOptions{})
	require.NoError(t, f.WriteDurable(fillBytes('x', 512<<10), 0))
	require.Zero(t, faults.Calls(backtest.SysPwriteDsync))
	require.Equal(t, 1, faults.Calls(backtest.SysFdatasync))
}

// gate holds calls of one system call until the test lets them go, one by one.
type gate struct {
	sys            string
	entered, leave chan struct{}
}

func newGate(sys string) *gate {
	return &gate{sys: sys, entered: make(chan struct{}, 100), leave: make(chan struct{})}
}

func (g *gate) before(sys string) error {
	if sys == g.sys {
		g.entered <- struct{}{}
		<-g.leave
	}
	return nil
}

// Everybody who asks while flushes run in both lanes is served by the next one,
// together.
func TestGroupCommit(t *testing.T) {
	f, faults := faulty(t, backstore.FileOptions{})
	synctest.Test(t, func(t *testing.T) {
		g := newGate(backtest.SysFdatasync)
		faults.Before = g.before
		const writers = 32
		var wg sync.WaitGroup
		p := fillBytes('x', 128<<10) // too long for RWF_DSYNC
		for range 2 {
			wg.Go(func() { require.NoError(t, f.WriteDurable(p, 0)) })
			<-g.entered
		}
		var done atomic.Int32
		for i := range writers {
			wg.Go(func() {
				require.NoError(t, f.WriteDurable(p[:512], int64(i)*512))
				done.Add(1)
			})
		}
		synctest.Wait()
		require.Zero(t, done.Load(), "a flush that began before the write does not count")
		g.leave <- struct{}{}
		<-g.entered // the third flush has begun
		synctest.Wait()
		require.Zero(t, done.Load())
		g.leave <- struct{}{}
		g.leave <- struct{}{}
		wg.Wait()
		require.EqualValues(t, writers, done.Load())
		faults.Before = nil
	})
	flushes := faults.Calls(backtest.SysFdatasync) + faults.Calls(backtest.SysPwriteDsync)
	require.Equal(t, 3, flushes, "34 durable writes")
}

func TestYoungerFlushDoesNotWaitForAnOlderOne(t *testing.T) {
	f, faults := faulty(t, backstore.FileOptions{})
	synctest.Test(t, func(t *testing.T) {
		first, second := make(chan struct{}), make(chan struct{})
		faults.Before = func(sys string) error {
			if sys != backtest.SysFdatasync {
				return nil
			}
			if faults.Calls(sys) == 1 {
				<-first
			} else {
				<-second
			}
			return nil
		}
		var older, younger atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, f.Sync()); older.Store(true) })
		synctest.Wait()
		wg.Go(func() { require.NoError(t, f.Sync()); younger.Store(true) })
		synctest.Wait()
		close(second)
		synctest.Wait()
		require.True(t, younger.Load())
		require.False(t, older.Load(), "its leader is still inside the kernel")
		close(first)
		wg.Wait()
		faults.Before = nil
	})
}

// What one lane has found is said in both, also to whose flush ended well.
func TestFailureInOneLaneFailsTheOther(t *testing.T) {
	f, faults := faulty(t, backstore.FileOptions{})
	synctest.Test(t, func(t *testing.T) {
		bad, good := make(chan struct{}), make(chan struct{})
		faults.Before = func(sys string) error {
			switch {
			case sys != backtest.SysFdatasync:
				return nil
			case faults.Calls(sys) == 1:
				<-bad
				return unix.EIO
			}
			<-good
			return nil
		}
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = f.Sync() })
			synctest.Wait()
		}
		close(bad)
		synctest.Wait()
		close(good)
		wg.Wait()
		for _, err := range errs {
			require.True(t, flushFailed(err), "%v", err)
		}
		faults.Before = nil
	})
}

// Without descriptions of its own the flush uses the one there is.
func TestOneLaneWhereFilesCannotBeReopened(t *testing.T) {
	faults := &backtest.Faults{}
	faults.From(backtest.SysReopen, 1, unix.ENOENT)
	f := newFile(t, backstore.FileOptions{Files: faults})
	synctest.Test(t, func(t *testing.T) {
		g := newGate(backtest.SysFdatasync)
		faults.Before = g.before
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { require.NoError(t, f.Sync()) })
		}
		<-g.entered
		synctest.Wait()
		require.Empty(t, g.entered)
		g.leave <- struct{}{}
		<-g.entered
		g.leave <- struct{}{}
		wg.Wait()
		faults.Before = nil
	})
}

// Who waits for a flush when one fails has failed too, even if an operator
// clears the latch before the waiter looks.
func TestWaitersOfAFailedFlushFail(t *testing.T) {
	f, faults := faulty(t, backstore.FileOptions{})
	synctest.Test(t, func(t *testing.T) {
		g := newGate(backtest.SysFdatasync)
		faults.Before = func(sys string) error {
			if sys == backtest.SysFdatasync {
				g.before(sys)
				return unix.EIO
			}
			return nil
		}
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = f.Sync() })
		}
		<-g.entered
		<-g.entered
		synctest.Wait()
		// One leader fails and the latch is cleared in the same moment.
		wg.Go(func() {
			for f.Failure() == nil {
				runtime.Gosched()
			}
			f.ClearFailure()
		})
		g.leave <- struct{}{}
		g.leave <- struct{}{}
		wg.Wait()
		for _, err := range errs {
			require.True(t, flushFailed(err), "%v", err)
		}
		require.Empty(t, g.entered, "no further flush")
		faults.Before = nil
		f.ClearFailure() // the second one latched again
		require.NoError(t, f.Sync())
	})
}

// So has a write that was under way, although its own flush would end well: the
// kernel may have dropped its pages along with the others.
func TestWriteUnderWayWhenAFlushFailsHasFailed(t *testing.T) {
	f, faults := faulty(t, backstore.FileOptions{})
	synctest.Test(t, func(t *testing.T) {
		g := newGate(backtest.SysPwrite)
		faults.Before = g.before
		var durable error
		var wg sync.WaitGroup
		wg.Go(func() { durable = f.WriteDurable(fillBytes('x', 128<<10), 0) })
		<-g.entered
		faults.Nth(backtest.SysFdatasync, 1, unix.EIO)
		require.True(t, flushFailed(f.Sync()))
		f.ClearFailure()
		g.leave <- struct{}{}
		wg.Wait()
		require.True(t, flushFailed(durable), "%v", durable)
		faults.Before = nil
		require.NoError(t, f.Sync())
	})
}

// The flush of a Resize is one like any other; the size does not change when
// it is not durable.
func TestFailedFlushOfResizeLatches(t *testing.T) {
	f, faults := faulty(t, backstore.FileOptions{})
	faults.Nth(backtest.SysFsync, 1, unix.EIO)
	err := f.Resize(2 * testSize)
	require.True(t, flushFailed(err))
	require.Equal(t, int64(testSize), f.Size())
	require.Equal(t, err, f.Sync())
}

// reportsOnce is a kernel whose writeback of some page has failed: it says so
// once to each open file description.
type reportsOnce struct {
	backstore.Files
	mu     sync.Mutex
	told   map[int]bool
	failed bool
	// dsync holds a RWF_DSYNC write between the kernel's verdict and its return.
	dsync chan struct{}
}

func (k *reportsOnce) report(fd int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.failed || k.told[fd] {
		return nil
	}
	k.told[fd] = true
	return unix.EIO
}

func (k *reportsOnce) PwriteDsync(fd int, p []byte, off int64) (int, error) {
	err := k.report(fd)
	<-k.dsync
	if err != nil {
		return 0, err
	}
	return k.Files.PwriteDsync(fd, p, off)
}

func (k *reportsOnce) Fdatasync(fd int) error {
	if err := k.report(fd); err != nil {
		return err
	}
	return k.Files.Fdatasync(fd)
}

// A durable write that learns of a failed writeback keeps the news from no
// flush beside it.
func TestNoCallTakesTheReportOfAnother(t *testing.T) {
	k := &reportsOnce{Files: backstore.Kernel{}, told: map[int]bool{}, dsync: make(chan struct{})}
	f := newFile(t, backstore.FileOptions{Files: k})
	synctest.Test(t, func(t *testing.T) {
		k.dsync = make(chan struct{})
		k.failed = true
		var durable error
		var wg sync.WaitGroup
		wg.Go(func() { durable = f.WriteDurable(fillBytes('x', 512), 0) })
		synctest.Wait()
		beside := f.Sync()
		close(k.dsync)
		wg.Wait()
		require.True(t, flushFailed(beside), "what was written before may be lost")
		require.True(t, flushFailed(durable))
	})
}
