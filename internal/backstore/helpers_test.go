package backstore_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"nas-target/internal/backstore"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// memoryDir is a directory on tmpfs where the machine has one.
func memoryDir(t testing.TB) string {
	const shm = "/dev/shm"
	if _, err := os.Stat(shm); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "backstore")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// open opens a store and closes it when the test ends, if the test did not.
func open(t testing.TB, kind string, opts any) backstore.Store {
	t.Helper()
	s, err := backstore.Open(context.Background(), kind, opts)
	require.NoError(t, err)
	return s
}

// newFile opens a file store on tmpfs; defaults: 1 MiB in a fresh directory.
func newFile(t testing.TB, o backstore.FileOptions) *backstore.File {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(memoryDir(t), "disk.img")
	}
	if o.Size == 0 {
		o.Size = testSize
	}
	f, err := backstore.OpenFile(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func openFile(o backstore.FileOptions) (*backstore.File, error) {
	if o.LockWait == 0 {
		o.LockWait = time.Millisecond
	}
	return backstore.OpenFile(context.Background(), o)
}

func readAll(t testing.TB, s backstore.Store) []byte {
	t.Helper()
	p := make([]byte, s.Size())
	_, err := s.ReadAt(p, 0)
	require.NoError(t, err)
	return p
}

func fillBytes(c byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = c
	}
	return p
}

func openFDs(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(names)
}

// needRoot skips what only root on a machine with loop devices can do: it
// mounts file systems and freezes them.
func needRoot(t testing.TB) {
	t.Helper()
	fd, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if os.Geteuid() != 0 || err != nil {
		t.Skipf("needs root and /dev/loop-control to make its own block device (%v)", err)
	}
	unix.Close(fd)
}

// loopDevice makes a block device of n bytes over a file on tmpfs.
func loopDevice(t testing.TB, n int64) string {
	t.Helper()
	needRoot(t)
	backing, err := os.OpenFile(filepath.Join(memoryDir(t), "loop.img"), os.O_RDWR|os.O_CREATE, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { backing.Close() })
	require.NoError(t, backing.Truncate(n))
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	require.NoError(t, err)
	defer control.Close()
	for range 100 { // somebody else may take the free one first
		i, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		require.NoError(t, err)
		path := filepath.Join("/dev", "loop"+strconv.Itoa(i))
		dev, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &unix.LoopConfig{Fd: uint32(backing.Fd())})
		if err == unix.EBUSY {
			dev.Close()
			continue
		}
		require.NoError(t, err)
		t.Cleanup(func() {
			unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0)
			dev.Close()
		})
		return path
	}
	t.Fatal("no loop device is free")
	return ""
}
