package backstore_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const scriptSize = 256 << 10

// script is one of everything. model is what the store must hold if each step
// does what it says; a step that fails leaves its range in doubt until a later
// step has written all of it.
type script struct {
	t     *testing.T
	f     *backstore.File
	model []byte
	doubt []bool
	first error // of the steps
}

func (s *script) step(name string, off, n int64, data []byte, op func() error) {
	latched := s.f.Failure()
	err := op()
	if err != nil && s.first == nil {
		s.first = fmt.Errorf("%s: %w", name, err)
	}
	if latched != nil && data != nil {
		require.Equal(s.t, latched, err, "%s after a latched failure", name)
		return // refused before anything was done
	}
	if data != nil {
		copy(s.model[off:off+n], data)
	}
	for i := off; i < off+n && data != nil; i++ {
		s.doubt[i] = err != nil
	}
}

func (s *script) run() {
	f := s.f
	p := bytes.Repeat([]byte("abcdefg"), 3000)[:20_000]
	s.step("write", 100, 20_000, p, func() error { _, err := f.WriteAt(p, 100); return err })
	s.step("durable", 40_000, 700, p[:700], func() error { return f.WriteDurable(p[:700], 40_000) })
	s.step("durable long", 100_000, 20_000, p, func() error {
		return f.WriteDurable(append(p[:20_000:20_000], make([]byte, 80_000)...), 100_000)
	})
	s.step("discard", 5_000, 9_000, make([]byte, 9_000), func() error { return f.Discard(5_000, 9_000) })
	s.step("zero", 500, 1_000, make([]byte, 1_000), func() error { return f.WriteZeros(500, 1_000) })
	s.step("sync", 0, 0, nil, f.Sync)
	s.copy()
	s.step("extent", 0, 0, nil, func() error { _, _, err := f.NextExtent(0); return err })
	s.step("allocated", 0, 0, nil, func() error { _, err := f.Allocated(); return err })
	s.step("free", 0, 0, nil, func() error { _, err := f.Free(); return err })
	s.step("resize", 0, 0, nil, func() error { return f.Resize(scriptSize + 4096) })
	s.step("end", scriptSize-512, 512, p[:512], func() error { _, err := f.WriteAt(p[:512], scriptSize-512); return err })
	s.step("sync", 0, 0, nil, f.Sync)
}

// copy knows only what it copies if the source is not in doubt.
func (s *script) copy() {
	for _, d := range s.doubt[:16_000] {
		if d {
			return
		}
	}
	src := bytes.Clone(s.model[:16_000])
	s.step("copy", 200_000, 16_000, src, func() error { _, err := s.f.CopyRange(200_000, 0, 16_000); return err })
}

func (s *script) check(got []byte, msg string) {
	s.t.Helper()
	for i := range s.model {
		if !s.doubt[i] && s.model[i] != got[i] {
			s.t.Fatalf("%s: byte %d is %q, want %q", msg, i, got[i], s.model[i])
		}
	}
}

// G4, F14, F16: every system call of a file store fails once, at every place.
// Whatever it was, the step says so or has done its work, nothing else is
// damaged, and after a failed flush no later one succeeds.
func TestFailsAtEveryCall(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
		for name, o := range map[string]backstore.FileOptions{
			"buffered":     {},
			"direct":       {Direct: true},
			"preallocated": {Preallocate: true},
		} {
			t.Run(fmt.Sprintf("%s/%s", name, unix.ErrnoName(errno)), func(t *testing.T) {
				dir := memoryDir(t)
				fds := openFDs(t)
				for n := 1; ; n++ {
					o := o
					o.Path = filepath.Join(dir, fmt.Sprint(n))
					o.Size = scriptSize
					faults := &backtest.Faults{}
					o.Files = faults
					f, err := openFile(o)
					require.NoError(t, err)
					_, err = f.WriteAt(make([]byte, 4096), scriptSize-4096)
					require.NoError(t, err)
					opened := faults.Calls("")
					faults.Nth("", n, errno)

					s := &script{t: t, f: f, model: make([]byte, scriptSize), doubt: make([]bool, scriptSize)}
					s.run()
					struck := faults.Calls("")-opened >= n
					if struck && s.first == nil {
						// Some calls have another way; the data below proves it.
						t.Logf("call %d: no step failed", n)
					}
					if !struck {
						require.NoError(t, s.first)
						require.NoError(t, f.Failure())
					}
					faults.Pass()
					latched := f.Failure()
					f.ClearFailure()
					s.check(readAll(t, f), fmt.Sprintf("call %d (%v)", n, s.first))
					require.NoError(t, f.Close())
					o.Files, o.Size = nil, 0
					again := newFileAgain(t, o)
					s.check(readAll(t, again), fmt.Sprintf("call %d, reopened", n))
					require.NoError(t, again.Close())
					require.Equal(t, fds, openFDs(t), "call %d leaks a descriptor", n)
					if !struck {
						require.NoError(t, latched)
						require.Greater(t, n, 30, "the loop has reached the calls")
						return
					}
				}
			})
		}
	}
}

func newFileAgain(t *testing.T, o backstore.FileOptions) *backstore.File {
	t.Helper()
	f, err := openFile(o)
	require.NoError(t, err)
	return f
}

// The kernel may move less than asked for, and signals may interrupt it.
func TestShortTransfersAreContinued(t *testing.T) {
	for _, direct := range []bool{false, true} {
		f, faults := faulty(t, backstore.FileOptions{Path: filepath.Join(t.TempDir(), "d"), Direct: direct})
		for _, sys := range []string{backtest.SysPread, backtest.SysPwrite, backtest.SysPwriteDsync} {
			faults.Nth(sys, 1, unix.EINTR)
			faults.AlwaysShort(sys, 4096)
		}
		data := bytes.Repeat([]byte("0123456"), testSize/7+1)[:testSize]
		n, err := f.WriteAt(data, 0)
		require.NoError(t, err)
		require.Equal(t, testSize, n)
		require.Equal(t, data, readAll(t, f))
		require.NoError(t, f.WriteDurable(data[7:20_007], 512))
		copy(data[512:], bytes.Clone(data[7:20_007]))
		require.Equal(t, data, readAll(t, f))
		require.NoError(t, f.Close())
	}
}

// A transfer of nothing is no progress: an error, not an endless loop, and
// never a success.
func TestTransfersOfNothing(t *testing.T) {
	f, faults := faulty(t, backstore.FileOptions{})
	faults.AlwaysShort(backtest.SysPwrite, 0)
	n, err := f.WriteAt([]byte("abc"), 0)
	require.ErrorIs(t, err, unix.EIO)
	require.Zero(t, n)
	faults.AlwaysShort(backtest.SysPread, 0)
	n, err = f.ReadAt(make([]byte, 3), 0)
	require.ErrorIs(t, err, unix.EIO)
	require.Zero(t, n)
	require.NoError(t, f.Failure(), "the file is whole")
}

// EIO in the middle: n tells how far it got, so that the first bad block can
// be named.
func TestErrorInTheMiddle(t *testing.T) {
	for _, direct := range []bool{false, true} {
		f, faults := faulty(t, backstore.FileOptions{Path: filepath.Join(t.TempDir(), "d"), Direct: direct})
		faults.Short(backtest.SysPread, 1, 4096)
		faults.Nth(backtest.SysPread, 2, unix.EIO)
		n, err := f.ReadAt(make([]byte, 65536), 0)
		require.ErrorIs(t, err, unix.EIO)
		require.Equal(t, backstore.ReasonIO, backstore.ReasonOf(err))
		require.Equal(t, 4096, n)
		faults.Short(backtest.SysPwrite, 1, 8192)
		faults.Nth(backtest.SysPwrite, 2, unix.EIO)
		n, err = f.WriteAt(make([]byte, 65536), 0)
		require.ErrorIs(t, err, unix.EIO)
		require.Equal(t, 8192, n)
		require.NoError(t, f.Close())
	}
}

func TestTryReadDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d") // not tmpfs, where nothing waits
	f, faults := faulty(t, backstore.FileOptions{Path: path})
	p := make([]byte, 4096)
	faults.Nth(backtest.SysPreadNoWait, 1, unix.EAGAIN)
	ok, err := f.TryReadAt(p, 0)
	require.NoError(t, err)
	require.False(t, ok)
	faults.Short(backtest.SysPreadNoWait, 1, 512)
	ok, err = f.TryReadAt(p, 0)
	require.NoError(t, err)
	require.False(t, ok, "a part is nothing")
	faults.Nth(backtest.SysPreadNoWait, 1, unix.EIO)
	ok, err = f.TryReadAt(p, 0)
	require.NoError(t, err, "ReadAt will find and report it")
	require.False(t, ok)
	faults.Nth(backtest.SysPreadNoWait, 1, unix.EOPNOTSUPP)
	for range 3 {
		ok, err = f.TryReadAt(p, 0)
		require.NoError(t, err)
		require.False(t, ok)
	}
	require.Equal(t, 4, faults.Calls(backtest.SysPreadNoWait), "not asked again where it is not supported")
	require.Zero(t, faults.Calls(backtest.SysPread))
}

// F14: a full disk fails the write that needs space and nothing else, and is
// over when there is space.
func TestFullDisk(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1M"))
	defer func() { require.NoError(t, unix.Unmount(dir, 0)) }()
	f := newFile(t, backstore.FileOptions{Path: filepath.Join(dir, "d"), Size: 8 << 20})
	old := fillBytes('o', 512<<10)
	_, err := f.WriteAt(old, 0)
	require.NoError(t, err)
	n, err := f.WriteAt(fillBytes('n', 4<<20), 1<<20)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.Less(t, n, 4<<20)
	err = f.WriteDurable(fillBytes('n', 512), 7<<20)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, f.Failure(), "a full disk does not latch")
	require.NoError(t, f.Sync())
	free, err := f.Free()
	require.NoError(t, err)
	require.Zero(t, free)

	old = fillBytes('p', len(old))
	_, err = f.WriteAt(old, 0)
	require.NoError(t, err, "what is allocated stays writable")
	require.NoError(t, f.Discard(1<<20, 4<<20))
	_, err = f.WriteAt(fillBytes('n', 4096), 7<<20)
	require.NoError(t, err, "space came back")
	require.Equal(t, old, readAll(t, f)[:len(old)])
	require.NoError(t, f.Close())
}
