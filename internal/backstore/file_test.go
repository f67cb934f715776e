package backstore_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestCreateSparse(t *testing.T) {
	f := newFile(t, backstore.FileOptions{Size: 10 << 20})
	n, err := f.Allocated()
	require.NoError(t, err)
	require.Less(t, n, int64(64<<10))
	require.True(t, f.Geometry().Thin)
	free, err := f.Free()
	require.NoError(t, err)
	require.Positive(t, free)
}

func TestCreatePreallocated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	f := newFile(t, backstore.FileOptions{Path: path, Size: 4 << 20, Preallocate: true})
	full := func() {
		n, err := f.Allocated()
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, f.Size())
	}
	full()
	require.False(t, f.Geometry().Thin)
	require.NoError(t, f.Discard(0, f.Size()))
	full()
	require.NoError(t, f.WriteZeros(0, f.Size()))
	full()
	require.NoError(t, f.Resize(8<<20))
	full()
}

func TestPreallocateAnExistingSparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	require.NoError(t, newFile(t, backstore.FileOptions{Path: path}).Close())
	f := newFile(t, backstore.FileOptions{Path: path, Preallocate: true})
	n, err := f.Allocated()
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, f.Size())
}

func TestCreatedFileIsPrivate(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	path := filepath.Join(t.TempDir(), "d")
	newFile(t, backstore.FileOptions{Path: path})
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode())
}

// noTmpfile is a file system without unnamed files, such as NFS.
type noTmpfile struct{ backstore.Kernel }

func (k noTmpfile) Open(path string, flags int, mode uint32) (int, error) {
	if flags&unix.O_TMPFILE == unix.O_TMPFILE {
		return -1, unix.EOPNOTSUPP
	}
	return k.Kernel.Open(path, flags, mode)
}

func TestCreateWithoutUnnamedFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d")
	f := newFile(t, backstore.FileOptions{Path: path, Files: noTmpfile{}})
	require.Equal(t, int64(testSize), f.Size())
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode())

	faults := &backtest.Faults{Next: noTmpfile{}}
	faults.Nth(backtest.SysFtruncate, 1, unix.ENOSPC)
	other := path + "2"
	_, err = openFile(backstore.FileOptions{Path: other, Size: testSize, Files: faults})
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoFileExists(t, other, "half a file must not stay")
}

// Many daemons that start at once make one file, and one of them gets it.
func TestCreateRace(t *testing.T) {
	for range 20 {
		path := filepath.Join(memoryDir(t), "d")
		var wg sync.WaitGroup
		var won atomic.Pointer[backstore.File]
		for range 8 {
			wg.Go(func() {
				f, err := openFile(backstore.FileOptions{Path: path, Size: testSize})
				if err != nil {
					require.ErrorIs(t, err, backstore.ReasonLocked)
					return
				}
				require.Nil(t, won.Swap(f), "two got it")
			})
		}
		wg.Wait()
		require.NotNil(t, won.Load())
		require.NoError(t, won.Load().Close())
	}
}

// Whatever system call fails while a file is made, it is there complete or
// not at all.
func TestCreateFailsAtEveryCall(t *testing.T) {
	for name, next := range map[string]backstore.Files{"unnamed": backstore.Kernel{}, "named": noTmpfile{}} {
		t.Run(name, func(t *testing.T) {
			dir := memoryDir(t)
			fds := openFDs(t)
			for n := 1; ; n++ {
				path := filepath.Join(dir, "d")
				faults := &backtest.Faults{Next: next}
				faults.Nth("", n, unix.EIO)
				f, err := openFile(backstore.FileOptions{Path: path, Size: testSize, Files: faults})
				if err == nil {
					f.Close()
				}
				require.Equal(t, fds, openFDs(t), "call %d leaks a descriptor", n)
				if st, serr := os.Stat(path); serr == nil {
					require.Equal(t, int64(testSize), st.Size(), "call %d", n)
					require.NoError(t, os.Remove(path))
				}
				names, rerr := os.ReadDir(dir)
				require.NoError(t, rerr)
				require.Empty(t, names, "call %d leaves something behind", n)
				if err == nil && faults.Calls("") < n {
					require.Greater(t, n, 8, "the loop has reached the calls")
					return
				}
			}
		})
	}
}

func TestLockIsWaitedFor(t *testing.T) {
	path := filepath.Join(memoryDir(t), "d")
	first := newFile(t, backstore.FileOptions{Path: path})
	tries := make(chan struct{}, 1000)
	faults := &backtest.Faults{Before: func(sys string) error {
		if sys == backtest.SysLock {
			tries <- struct{}{}
		}
		return nil
	}}
	opened := make(chan error)
	go func() {
		f, err := openFile(backstore.FileOptions{Path: path, Files: faults, LockWait: time.Minute})
		if err == nil {
			err = f.Close()
		}
		opened <- err
	}()
	<-tries
	<-tries // refused once already
	require.NoError(t, first.Close())
	require.NoError(t, <-opened)
}

func TestLockErrorNamesTheFile(t *testing.T) {
	path := filepath.Join(memoryDir(t), "d")
	newFile(t, backstore.FileOptions{Path: path})
	fds := openFDs(t)
	_, err := openFile(backstore.FileOptions{Path: path})
	require.ErrorIs(t, err, backstore.ReasonLocked)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "in use by another process")
	require.Equal(t, fds, openFDs(t))

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = backstore.OpenFile(ctx, backstore.FileOptions{Path: path, LockWait: time.Hour})
	require.ErrorIs(t, err, backstore.ReasonLocked)
	require.ErrorIs(t, err, context.Canceled)
}

// QEMU takes shared locks on single bytes of its images.
func TestLockMeetsQEMU(t *testing.T) {
	path := filepath.Join(memoryDir(t), "d")
	require.NoError(t, newFile(t, backstore.FileOptions{Path: path}).Close())
	image, err := os.Open(path)
	require.NoError(t, err)
	defer image.Close()
	require.NoError(t, unix.FcntlFlock(image.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Start: 100, Len: 1}))
	_, err = openFile(backstore.FileOptions{Path: path})
	require.ErrorIs(t, err, backstore.ReasonLocked)
}

func TestOpenTakesTheSizeOfTheFile(t *testing.T) {
	path := filepath.Join(memoryDir(t), "d")
	require.NoError(t, os.WriteFile(path, make([]byte, 12345), 0o644))
	f, err := openFile(backstore.FileOptions{Path: path})
	require.NoError(t, err)
	require.Equal(t, int64(12345), f.Size())
	require.NoError(t, f.Close())
}

func TestResizeIsKept(t *testing.T) {
	path := filepath.Join(memoryDir(t), "d")
	f := newFile(t, backstore.FileOptions{Path: path})
	require.NoError(t, f.Resize(2*testSize))
	require.NoError(t, f.Close())
	f, err := openFile(backstore.FileOptions{Path: path, Size: 2 * testSize})
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// fullOnTheWay is a disk that fills up in the middle of an allocation.
type fullOnTheWay struct{ backstore.Kernel }

func (k fullOnTheWay) Fallocate(fd int, mode uint32, off, n int64) error {
	if mode == 0 && off > 0 {
		if err := k.Kernel.Fallocate(fd, mode, off, n/2); err != nil {
			return err
		}
		return unix.ENOSPC
	}
	return k.Kernel.Fallocate(fd, mode, off, n)
}

func TestResizeThatRunsOutOfSpaceLeavesTheFile(t *testing.T) {
	path := filepath.Join(memoryDir(t), "d")
	f := newFile(t, backstore.FileOptions{Path: path, Preallocate: true, Files: fullOnTheWay{}})
	require.ErrorIs(t, f.Resize(2*testSize), unix.ENOSPC)
	require.Equal(t, int64(testSize), f.Size())
	require.NoError(t, f.Close())
	f, err := openFile(backstore.FileOptions{Path: path, Size: testSize})
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestResizeOfDirectFileMustBeAligned(t *testing.T) {
	f := newFile(t, backstore.FileOptions{Path: filepath.Join(t.TempDir(), "d"), Direct: true})
	require.ErrorIs(t, f.Resize(testSize+1), backstore.ReasonUnaligned)
	require.Equal(t, int64(testSize), f.Size())
}
