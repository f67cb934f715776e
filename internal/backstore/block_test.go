package backstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const blockSize = 2 << 20

func TestBlockContract(t *testing.T) {
	for name, o := range map[string]backstore.BlockOptions{
		"direct":   {},
		"buffered": {Buffered: true},
		"trusted":  {TrustDiscard: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.LockWait = time.Millisecond
			backtest.Run(t, func(t testing.TB) backstore.Store {
				o.Path = loopDevice(t, blockSize)
				return open(t, "block", o)
			}, backtest.Traits{Fixed: true, Opaque: true, Exclusive: true, Reopen: func(testing.TB) (backstore.Store, error) {
				return backstore.Open(context.Background(), "block", o)
			}})
		})
	}
}

func newBlock(t testing.TB, o backstore.BlockOptions) *backstore.Block {
	t.Helper()
	if o.Path == "" {
		o.Path = loopDevice(t, blockSize)
	}
	b, err := backstore.OpenBlock(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { b.Close() })
	return b
}

func TestBlockGeometry(t *testing.T) {
	b := newBlock(t, backstore.BlockOptions{})
	g := b.Geometry()
	require.Equal(t, int64(blockSize), b.Size())
	require.Equal(t, 512, g.LogicalBlock)
	require.NotZero(t, g.PhysicalBlock)
	require.True(t, g.Thin, "a loop device over tmpfs punches holes")
	require.Positive(t, g.DiscardGranularity)
	_, err := b.Free()
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

func TestBlockDiscardReachesTheDevice(t *testing.T) {
	for _, trust := range []bool{false, true} {
		faults := &backtest.Faults{}
		path := loopDevice(t, blockSize)
		b := newBlock(t, backstore.BlockOptions{Path: path, TrustDiscard: trust, Files: faults})
		_, err := b.WriteAt(fillBytes('x', blockSize), 0)
		require.NoError(t, err)
		require.NoError(t, b.Discard(100, blockSize-200))
		want := make([]byte, blockSize)
		copy(want, fillBytes('x', 100))
		copy(want[blockSize-100:], fillBytes('x', 100))
		require.Equal(t, want, readAll(t, b))
		backing, err := os.Stat(loopBacking(t, path))
		require.NoError(t, err)
		require.LessOrEqual(t, backing.Sys().(*syscall.Stat_t).Blocks*512, int64(64<<10), "the space came back")
		if trust {
			require.Equal(t, 1, faults.Calls(backtest.SysBlockDiscard))
		} else {
			require.Zero(t, faults.Calls(backtest.SysBlockDiscard), "BLKDISCARD promises no zeros")
			require.Equal(t, 1, faults.Calls(backtest.SysFallocate))
		}
		require.NoError(t, b.Close())
	}
}

func TestBlockWithoutFallocate(t *testing.T) {
	faults := &backtest.Faults{}
	b := newBlock(t, backstore.BlockOptions{Files: faults})
	faults.From(backtest.SysFallocate, 1, unix.EOPNOTSUPP)
	_, err := b.WriteAt(fillBytes('x', blockSize), 0)
	require.NoError(t, err)
	require.NoError(t, b.Discard(1, blockSize-2))
	want := make([]byte, blockSize)
	want[0], want[blockSize-1] = 'x', 'x'
	require.Equal(t, want, readAll(t, b))
}

func TestBlockRefusesWhatIsInUse(t *testing.T) {
	path := loopDevice(t, blockSize)
	holder, err := unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0) // as a mount does
	require.NoError(t, err)
	_, err = backstore.OpenBlock(context.Background(), backstore.BlockOptions{Path: path, LockWait: time.Millisecond})
	require.ErrorIs(t, err, backstore.ReasonLocked)
	require.ErrorIs(t, err, unix.EBUSY)
	require.ErrorContains(t, err, path)
	require.NoError(t, unix.Close(holder))
	newBlock(t, backstore.BlockOptions{Path: path})
}

// A device that became larger is adopted, one that became smaller is an error.
func TestBlockThatChangesSize(t *testing.T) {
	path := loopDevice(t, blockSize)
	b := newBlock(t, backstore.BlockOptions{Path: path})
	require.ErrorIs(t, b.Resize(2*blockSize), backstore.ReasonDeviceSize)
	resizeLoop(t, path, 2*blockSize)
	require.Equal(t, int64(blockSize), b.Size(), "nothing changes by itself")
	require.ErrorIs(t, b.Resize(2*blockSize-1), backstore.ReasonUnaligned)
	require.NoError(t, b.Resize(2*blockSize))
	_, err := b.WriteAt(fillBytes('x', 512), 2*blockSize-512)
	require.NoError(t, err)

	resizeLoop(t, path, blockSize)
	_, err = b.ReadAt(make([]byte, 512), 0)
	require.NoError(t, err, "the rest is there")
	_, err = b.WriteAt(make([]byte, 512), 2*blockSize-512)
	require.True(t, mediumGone(err), "a write past the end of a device is ENOSPC, but not a full disk: %v", err)
	b.ClearFailure()
	_, err = b.ReadAt(make([]byte, 512), 2*blockSize-512)
	require.True(t, mediumGone(err), "%v", err)
}

// resizeLoop changes the backing file of a loop device and lets the device see
// it.
func resizeLoop(t *testing.T, path string, n int64) {
	t.Helper()
	dev, err := os.OpenFile(path, os.O_RDONLY, 0)
	require.NoError(t, err)
	defer dev.Close()
	require.NoError(t, os.Truncate(loopBacking(t, path), n))
	require.NoError(t, unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_SET_CAPACITY, 0))
}

func loopBacking(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile("/sys/block/" + filepath.Base(path) + "/loop/backing_file")
	require.NoError(t, err)
	return strings.TrimSpace(string(b))
}

func TestBlockOpenFailsAtEveryCall(t *testing.T) {
	path := loopDevice(t, blockSize)
	fds := openFDs(t)
	for n := 1; ; n++ {
		faults := &backtest.Faults{}
		faults.Nth("", n, unix.EIO)
		b, err := backstore.OpenBlock(context.Background(), backstore.BlockOptions{Path: path, Files: faults})
		if err == nil {
			b.Close()
		}
		require.Equal(t, fds, openFDs(t), "call %d leaks a descriptor", n)
		if faults.Calls("") < n {
			require.NoError(t, err)
			require.Greater(t, n, 8)
			return
		}
	}
}
