package backstore_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func twoFiles(t *testing.T) (src, dst *backstore.File, faults *backtest.Faults) {
	dir := t.TempDir()
	src = newFile(t, backstore.FileOptions{Path: filepath.Join(dir, "src"), Size: 8 << 20})
	dst, faults = faulty(t, backstore.FileOptions{Path: filepath.Join(dir, "dst"), Size: 8 << 20})
	return src, dst, faults
}

func TestCopyFromAnotherFile(t *testing.T) {
	src, dst, faults := twoFiles(t)
	data := bytes.Repeat([]byte("0123456"), 100_000)
	_, err := src.WriteAt(data, 1000)
	require.NoError(t, err)
	n, ok, err := dst.CopyFrom(src, 1000, 5000, int64(len(data)))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, int64(len(data)), n)
	got := make([]byte, len(data))
	_, err = dst.ReadAt(got, 5000)
	require.NoError(t, err)
	require.Equal(t, data, got)
	require.Zero(t, faults.Calls(backtest.SysPwrite), "no byte went through this process")
}

// A copy of a thin disk is as thin, and what was there before is gone.
func TestCopyKeepsHoles(t *testing.T) {
	src, dst, _ := twoFiles(t)
	_, err := src.WriteAt(fillBytes('s', 64<<10), 4<<20)
	require.NoError(t, err)
	_, err = dst.WriteAt(fillBytes('d', 8<<20), 0)
	require.NoError(t, err)
	n, ok, err := dst.CopyFrom(src, 0, 0, 8<<20)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, int64(8<<20), n)
	require.Equal(t, readAll(t, src), readAll(t, dst))
	require.NoError(t, dst.Sync())
	used, err := dst.Allocated()
	require.NoError(t, err)
	require.LessOrEqual(t, used, int64(256<<10))
}

// Where the file systems cannot, the caller learns how far it got.
func TestCopyIsHandedBack(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EXDEV, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS} {
		src, dst, faults := twoFiles(t)
		_, err := src.WriteAt(fillBytes('s', 1<<20), 0)
		require.NoError(t, err)
		faults.Short(backtest.SysCopyFileRange, 1, 256<<10)
		faults.From(backtest.SysCopyFileRange, 2, errno)
		n, ok, err := dst.CopyFrom(src, 0, 0, 1<<20)
		require.NoError(t, err)
		require.False(t, ok)
		require.Equal(t, int64(256<<10), n)
		// Inside one store nobody needs to know.
		_, err = dst.WriteAt(fillBytes('x', 1<<20), 0)
		require.NoError(t, err)
		n, err = dst.CopyRange(4<<20, 0, 1<<20)
		require.NoError(t, err)
		require.Equal(t, int64(1<<20), n)
		require.Equal(t, fillBytes('x', 1<<20), readAll(t, dst)[4<<20:5<<20])
	}
	r, err := backstore.NewRAM(backstore.RAMOptions{Size: testSize})
	require.NoError(t, err)
	_, dst, _ := twoFiles(t)
	_, ok, err := dst.CopyFrom(r, 0, 0, 512)
	require.NoError(t, err)
	require.False(t, ok, "not a file")
}

func TestCopyFromChecksBothSides(t *testing.T) {
	src, dst, _ := twoFiles(t)
	for _, c := range []struct{ src, dst, n int64 }{{8 << 20, 0, 1}, {0, 8 << 20, 1}, {-1, 0, 1}, {0, 0, -1}, {0, 0, 9 << 20}} {
		_, _, err := dst.CopyFrom(src, c.src, c.dst, c.n)
		require.ErrorIs(t, err, backstore.ReasonOutOfRange, "%+v", c)
	}
	require.NoError(t, src.Close())
	_, _, err := dst.CopyFrom(src, 0, 0, 1)
	require.ErrorIs(t, err, backstore.ReasonClosed)
}
