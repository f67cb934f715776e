package backtest_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const size = 1 << 20

func ram(t testing.TB) *backstore.RAM {
	r, err := backstore.NewRAM(backstore.RAMOptions{Size: size})
	require.NoError(t, err)
	return r
}

// Without rules the media keep the contract themselves.
func TestMediaContract(t *testing.T) {
	t.Run("crash", func(t *testing.T) {
		var last *backtest.Crash
		backtest.Run(t, func(testing.TB) backstore.Store {
			last = backtest.NewCrash(size)
			return last
		}, backtest.Traits{Exclusive: true, Reopen: func(testing.TB) (backstore.Store, error) {
			again, err := last.Reopen()
			if err != nil {
				return nil, err
			}
			return again, nil
		}})
	})
	for name, wrap := range map[string]func(backstore.Volume) backstore.Store{
		"fail":  func(v backstore.Volume) backstore.Store { return backtest.NewFail(v) },
		"stall": func(v backstore.Volume) backstore.Store { return backtest.NewStall(v) },
		"log":   func(v backstore.Volume) backstore.Store { return backtest.NewLog(v) },
	} {
		t.Run(name, func(t *testing.T) {
			backtest.Run(t, func(t testing.TB) backstore.Store { return wrap(ram(t)) }, backtest.Traits{})
		})
	}
	t.Run("crash file system", func(t *testing.T) {
		fs := backtest.NewCrashFS()
		path := "/lun"
		o := backstore.FileOptions{Size: size, Files: fs}
		backtest.Run(t, func(t testing.TB) backstore.Store {
			path += "+"
			o.Path = path
			s, err := backstore.OpenFile(context.Background(), o)
			require.NoError(t, err)
			return s
		}, backtest.Traits{Exclusive: true, Reopen: func(testing.TB) (backstore.Store, error) {
			return backstore.Open(context.Background(), "file", backstore.FileOptions{Path: path, Files: fs})
		}})
	})
}

func read(t *testing.T, s io.ReaderAt, off int64, n int) string {
	t.Helper()
	p := make([]byte, n)
	_, err := s.ReadAt(p, off)
	require.NoError(t, err)
	return string(p)
}

func write(t *testing.T, s io.WriterAt, p string, off int64) {
	t.Helper()
	_, err := s.WriteAt([]byte(p), off)
	require.NoError(t, err)
}

func fill(c byte, n int) string { return strings.Repeat(string(c), n) }

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	torn, kept, lost := 0, 0, 0
	for seed := range uint64(300) {
		c := backtest.NewCrash(size)
		write(t, c, fill('a', 4096), 0)
		require.NoError(t, c.WriteDurable([]byte(fill('d', 1000)), 9000))
		require.NoError(t, c.Sync())
		write(t, c, fill('b', 4096), 0)
		require.NoError(t, c.Discard(8192, 512)) // not synced, and not written before
		old := c
		c = c.Crash(seed)
		_, err := old.ReadAt(make([]byte, 1), 0)
		require.ErrorIs(t, err, backtest.ErrPowerLost)
		require.ErrorIs(t, old.Sync(), backtest.ErrPowerLost)

		require.Equal(t, fill('d', 1000), read(t, c, 9000, 1000))
		got := read(t, c, 0, 4096)
		bs := strings.Count(got, "b")
		require.Equal(t, 4096, bs+strings.Count(got, "a"))
		for i := 0; i < 4096; i += 512 {
			require.Contains(t, []string{fill('a', 512), fill('b', 512)}, got[i:i+512], "a sector is old or new")
		}
		switch bs {
		case 0:
			lost++
		case 4096:
			kept++
		default:
			torn++
		}
		again := c.Crash(seed + 1)
		require.Equal(t, got, read(t, again, 0, 4096), "what survived one cut survives the next")
	}
	require.Greater(t, torn, 30)
	require.Greater(t, kept, 30)
	require.Greater(t, lost, 30)
}

func TestCrashBringsBackDiscardedData(t *testing.T) {
	back, gone := 0, 0
	for seed := range uint64(100) {
		c := backtest.NewCrash(size)
		write(t, c, fill('x', 512), 0)
		write(t, c, fill('y', 512), 512)
		require.NoError(t, c.Sync())
		require.NoError(t, c.Discard(512, 512))
		require.NoError(t, c.Sync())
		require.NoError(t, c.Discard(0, 512))
		c = c.Crash(seed)
		require.Equal(t, fill(0, 512), read(t, c, 512, 512), "a synced discard stays")
		switch read(t, c, 0, 512) {
		case fill('x', 512):
			back++
		case fill(0, 512):
			gone++
		default:
			t.Fatal("neither old nor zero")
		}
	}
	require.Positive(t, back)
	require.Positive(t, gone)
}

func TestCrashIsReproducible(t *testing.T) {
	after := func() string {
		c := backtest.NewCrash(size)
		for i := range int64(100) {
			write(t, c, fill(byte('a'+i%26), 700), i*300)
		}
		return read(t, c.Crash(7), 0, size)
	}
	require.Equal(t, after(), after())
}

func TestCrashCloseDropsWhatWasNotSynced(t *testing.T) {
	c := backtest.NewCrash(size)
	write(t, c, "kept", 0)
	require.NoError(t, c.Sync())
	write(t, c, "lost", 0)
	require.Equal(t, 1, c.Dirty())
	require.NoError(t, c.Close())
	c, err := c.Reopen()
	require.NoError(t, err)
	require.Equal(t, "kept", read(t, c, 0, 4))
	require.Zero(t, c.Dirty())
}

func TestFailNth(t *testing.T) {
	f := backtest.NewFail(ram(t))
	f.Nth(backtest.OpWrite, 2, unix.EIO)
	f.From(backtest.OpRead, 3, unix.ENOSPC)
	write(t, f, "one", 0)
	_, err := f.WriteAt([]byte("two"), 0)
	require.ErrorIs(t, err, unix.EIO)
	require.Equal(t, "one", read(t, f, 0, 3), "a failed write is not applied")
	write(t, f, "two", 0)
	require.Equal(t, "two", read(t, f, 0, 3))
	for range 3 {
		_, err = f.ReadAt(make([]byte, 3), 0)
		require.ErrorIs(t, err, unix.ENOSPC)
	}
	f.Pass()
	require.Equal(t, "two", read(t, f, 0, 3))
	require.Equal(t, 3, f.Calls(backtest.OpWrite))
	require.Equal(t, 6, f.Calls(backtest.OpRead))
}

// Every kind of call can be made to fail, and nothing else fails with it.
func TestFailEveryOp(t *testing.T) {
	call := map[backtest.Op]func(v backstore.Volume) error{
		backtest.OpRead:         func(v backstore.Volume) error { _, err := v.ReadAt(make([]byte, 8), 0); return err },
		backtest.OpWrite:        func(v backstore.Volume) error { _, err := v.WriteAt(make([]byte, 8), 0); return err },
		backtest.OpWriteDurable: func(v backstore.Volume) error { return v.WriteDurable(make([]byte, 8), 0) },
		backtest.OpWriteAtomic:  func(v backstore.Volume) error { return v.WriteAtomic(make([]byte, 8), 0) },
		backtest.OpSync:         func(v backstore.Volume) error { return v.Sync() },
		backtest.OpDiscard:      func(v backstore.Volume) error { return v.Discard(0, 8) },
		backtest.OpWriteZeros:   func(v backstore.Volume) error { return v.WriteZeros(0, 8) },
		backtest.OpExtent:       func(v backstore.Volume) error { _, _, err := v.NextExtent(0); return err },
		backtest.OpCopy:         func(v backstore.Volume) error { _, err := v.CopyRange(0, 8, 8); return err },
		backtest.OpResize:       func(v backstore.Volume) error { return v.Resize(size) },
		backtest.OpClose:        func(v backstore.Volume) error { return v.Close() },
	}
	require.Len(t, call, len(backtest.Ops()))
	for _, fails := range backtest.Ops() {
		f := backtest.NewFail(ram(t))
		f.From(fails, 1, unix.EIO)
		for _, op := range backtest.Ops() {
			err := call[op](f)
			if op == fails {
				require.ErrorIs(t, err, unix.EIO, "%s", op)
			} else {
				require.NoError(t, err, "%s while %s fails", op, fails)
			}
		}
	}
	f := backtest.NewFail(ram(t))
	f.Nth(backtest.OpRead, 1, unix.EIO)
	_, err := f.TryReadAt(make([]byte, 8), 0)
	require.ErrorIs(t, err, unix.EIO)
	f.Nth(backtest.OpCopy, 1, unix.EIO)
	_, ok, err := f.CopyFrom(ram(t), 0, 0, 8)
	require.ErrorIs(t, err, unix.EIO)
	require.True(t, ok, "failed, rather than not possible")
	_, ok, err = f.CopyFrom(ram(t), 0, 0, 8)
	require.NoError(t, err)
	require.False(t, ok)
}

func TestFailShort(t *testing.T) {
	f := backtest.NewFail(ram(t))
	f.Short(backtest.OpWrite, 1, 3, nil)
	n, err := f.WriteAt([]byte("abcdef"), 0)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	f.Short(backtest.OpRead, 1, 2, io.ErrUnexpectedEOF)
	p := []byte("......")
	n, err = f.ReadAt(p, 0)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, 2, n)
	require.Equal(t, "ab....", string(p))
	require.Equal(t, "abc\x00\x00\x00", read(t, f, 0, 6))
}

func TestFailFlushLatches(t *testing.T) {
	for _, op := range []backtest.Op{backtest.OpSync, backtest.OpWriteDurable} {
		f := backtest.NewFail(ram(t))
		f.Flush(op, 1, unix.EIO)
		var err error
		if op == backtest.OpSync {
			err = f.Sync()
		} else {
			err = f.WriteDurable([]byte("x"), 0)
		}
		var flush interface{ FlushFailed() bool }
		require.True(t, errors.As(err, &flush) && flush.FlushFailed())
		require.ErrorIs(t, err, unix.EIO)
		require.Equal(t, err, f.Sync(), "latched")
		require.Equal(t, err, f.WriteDurable([]byte("y"), 0))
		require.Equal(t, err, f.Discard(0, 1))
		_, werr := f.WriteAt([]byte("y"), 0)
		require.Equal(t, err, werr)
		require.Equal(t, err, f.Failure())
		_ = read(t, f, 0, 1)
		f.ClearFailure()
		require.NoError(t, f.Failure())
		require.NoError(t, f.Sync())
	}
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := backtest.NewLog(ram(t))
		s := backtest.NewStall(log)
		s.StallWrites()
		done := make(chan error, 3)
		go func() { _, err := s.WriteAt([]byte("stuck"), 0); done <- err }()
		go func() { done <- s.Discard(0, 512) }()
		s.WaitFor(2)
		require.Equal(t, 2, s.Waiting())
		require.Empty(t, log.Entries(), "a held write has not reached the medium")
		require.Equal(t, "\x00", read(t, s, 0, 1), "reads go on")
		closed := false
		go func() { done <- s.Close(); closed = true }()
		synctest.Wait()
		require.False(t, closed, "Close waits for held calls")
		s.Release()
		for range 3 {
			require.NoError(t, <-done)
		}
		require.Len(t, log.Entries(), 2)
		require.Zero(t, s.Waiting())
	})
}

func TestStallPicksAndDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := backtest.NewStall(ram(t))
		s.StallIf(func(c *backtest.Call) bool { return c.Op == backtest.OpWrite && c.Off == 4096 })
		write(t, s, "x", 0)
		done := make(chan error, 1)
		go func() { _, err := s.WriteAt([]byte("y"), 4096); done <- err }()
		s.WaitFor(1)
		s.Release()
		require.NoError(t, <-done)
		s.Delay(backtest.OpSync, 3*time.Second)
		start := time.Now()
		require.NoError(t, s.Sync())
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestStallKinds(t *testing.T) {
	for _, c := range []struct {
		stall      func(*backtest.Stall)
		held, free func(*backtest.Stall) error
	}{
		{(*backtest.Stall).StallReads,
			func(s *backtest.Stall) error { _, err := s.ReadAt(make([]byte, 8), 0); return err },
			func(s *backtest.Stall) error { _, err := s.WriteAt(make([]byte, 8), 0); return err }},
		{(*backtest.Stall).StallSyncs,
			func(s *backtest.Stall) error { return s.WriteDurable(make([]byte, 8), 0) },
			func(s *backtest.Stall) error { _, err := s.WriteAt(make([]byte, 8), 0); return err }},
		{(*backtest.Stall).StallSyncs,
			func(s *backtest.Stall) error { return s.Sync() },
			func(s *backtest.Stall) error { _, err := s.ReadAt(make([]byte, 8), 0); return err }},
	} {
		s := backtest.NewStall(ram(t))
		c.stall(s)
		require.NoError(t, c.free(s))
		done := make(chan error, 1)
		go func() { done <- c.held(s) }()
		s.WaitFor(1)
		s.Release()
		require.NoError(t, <-done)
	}
}

func TestLogTellsWhatWasAppliedAfter(t *testing.T) {
	stall := backtest.NewStall(ram(t))
	log := backtest.NewLog(stall)
	write(t, log, "before", 0)
	stall.StallWrites()
	done := make(chan error, 1)
	go func() { _, err := log.WriteAt([]byte("across"), 512); done <- err }()
	stall.WaitFor(1)
	mark := log.Mark()
	stall.Release()
	require.NoError(t, <-done)
	require.NoError(t, log.Sync())
	_ = read(t, log, 0, 1)
	all, late := log.Entries(), log.After(mark)
	require.Len(t, all, 3)
	require.Len(t, late, 2, "a write under way at the mark may be applied after it")
	require.Equal(t, "across", string(late[0].Data))
	require.Less(t, late[0].Begin, mark)
	require.Greater(t, late[1].Begin, mark)
	require.Equal(t, backtest.OpSync, late[1].Op)
	require.Equal(t, backtest.OpWrite, all[0].Op)
	require.Less(t, all[0].End, mark)
}

func TestLogKeepsFailures(t *testing.T) {
	f := backtest.NewFail(ram(t))
	log := backtest.NewLog(f)
	log.Keep(2)
	f.Nth(backtest.OpWrite, 1, unix.EIO)
	_, err := log.WriteAt([]byte("abc"), 8)
	require.ErrorIs(t, err, unix.EIO)
	e := log.Entries()[0]
	require.ErrorIs(t, e.Err, unix.EIO)
	require.Equal(t, "ab", string(e.Data))
	require.Equal(t, int64(3), e.Len)
}

// The crash file system promises what POSIX does and no more.
func TestCrashFSNames(t *testing.T) {
	kept := map[bool]int{}
	for seed := range uint64(40) {
		fs := backtest.NewCrashFS()
		fd, err := fs.Open("/d/f", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
		require.NoError(t, err)
		_, err = fs.Open("/d/f", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
		require.ErrorIs(t, err, unix.EEXIST)
		require.NoError(t, fs.Ftruncate(fd, 1024))
		require.NoError(t, fs.Fsync(fd))
		if seed%2 == 0 {
			dir, err := fs.Open("/d", unix.O_DIRECTORY, 0)
			require.NoError(t, err)
			require.NoError(t, fs.Fsync(dir))
		}
		fs.Crash(seed)
		_, err = fs.Stat(fd)
		require.ErrorIs(t, err, unix.EBADF)
		fd, err = fs.Open("/d/f", unix.O_RDWR, 0)
		if seed%2 == 0 {
			require.NoError(t, err, "the directory was synced")
			st, err := fs.Stat(fd)
			require.NoError(t, err)
			require.Equal(t, int64(1024), st.Size)
		} else {
			kept[err == nil]++
		}
	}
	require.Positive(t, kept[true])
	require.Positive(t, kept[false], "a name without fsync of its directory may be lost")
}

func TestCrashFSFlushCoversOnlyWhatWasBefore(t *testing.T) {
	fs := backtest.NewCrashFS()
	fd, err := fs.Open("/f", unix.O_RDWR|unix.O_CREAT, 0o600)
	require.NoError(t, err)
	require.NoError(t, fs.Ftruncate(fd, 1024))
	dir, err := fs.Open("/", unix.O_DIRECTORY, 0)
	require.NoError(t, err)
	require.NoError(t, fs.Fsync(dir))
	_, err = fs.Pwrite(fd, []byte("early"), 0)
	require.NoError(t, err)
	fs.During = func() { fs.Pwrite(fd, []byte("later"), 512) }
	require.NoError(t, fs.Fdatasync(fd))
	fs.During = nil
	lost := false
	for seed := range uint64(20) {
		fs.Crash(seed)
		fd, err = fs.Open("/f", unix.O_RDWR, 0)
		require.NoError(t, err)
		p := make([]byte, 1024)
		_, err = fs.Pread(fd, p, 0)
		require.NoError(t, err)
		require.Equal(t, "early", string(p[:5]))
		lost = lost || p[512] == 0
		if p[512] != 0 {
			break // it survived the first cut: from now on it stays
		}
	}
	require.True(t, lost)
}
