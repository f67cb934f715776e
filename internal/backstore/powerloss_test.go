package backstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

var (
	crashes   = flag.Int("crashes", 200, "power cuts per mode in TestPowerLoss")
	crashSeed = flag.Uint64("crash-seed", 1, "first seed of TestPowerLoss")
)

// A campaign runs several writers on a file store until the power is cut at a
// random system call, opens the store again and asks the log of
// acknowledgements, which the power cut does not touch, what may be there.
type campaign struct {
	through bool // every write is durable, or writes and Syncs
	direct  bool
	wrap    func(backstore.Files) backstore.Files // a kernel that lies
}

const (
	plSector  = 512
	plWriters = 3
	plSectors = 24 // per writer
	plSize    = plWriters * plSectors * plSector
)

// ledger is one writer's log: for each of its sectors every content it asked
// for, and the oldest of them that the medium may still show.
type ledger struct {
	base    int64
	content [plSectors][][plSector]byte
	floor   [plSectors]int
}

func (l *ledger) latest(i int) *[plSector]byte { return &l.content[i][len(l.content[i])-1] }

// change notes new content for [off, off+len(p)) of the writer's area.
func (l *ledger) change(off int, p []byte) {
	for len(p) > 0 {
		i, at := off/plSector, off%plSector
		next := *l.latest(i)
		n := copy(next[at:], p)
		l.content[i] = append(l.content[i], next)
		off, p = off+n, p[n:]
	}
}

// settle notes that [off, off+n) is durable as it is in the ledger.
func (l *ledger) settle(off, n int) {
	for i := off / plSector; i*plSector < off+n; i++ {
		l.floor[i] = len(l.content[i]) - 1
	}
}

// judge compares the area read after the cut and starts over from it.
func (l *ledger) judge(area []byte) error {
	for i := range plSectors {
		got := [plSector]byte(area[i*plSector:])
		found := false
		for _, v := range l.content[i][l.floor[i]:] {
			found = found || v == got
		}
		if !found {
			for j, v := range l.content[i][:l.floor[i]] {
				if v == got {
					return fmt.Errorf("sector %d at %d went back to version %d, but %d was acknowledged as durable", i, l.base, j, l.floor[i])
				}
			}
			return fmt.Errorf("sector %d at %d holds what was never written", i, l.base)
		}
		l.content[i], l.floor[i] = append(l.content[i][:0], got), 0
	}
	return nil
}

// run cuts the power n times and returns the first broken promise.
func (c campaign) run(t testing.TB, seed uint64, n int) error {
	fs := backtest.NewCrashFS()
	var kernel backstore.Files = fs
	if c.wrap != nil {
		kernel = c.wrap(fs)
	}
	ledgers := make([]*ledger, plWriters)
	for w := range ledgers {
		ledgers[w] = &ledger{base: int64(w) * plSectors * plSector}
		for i := range ledgers[w].content {
			ledgers[w].content[i] = make([][plSector]byte, 1)
		}
	}
	path := "/d/disk.img"
	s, err := backstore.OpenFile(context.Background(), backstore.FileOptions{Path: path, Size: plSize, Direct: c.direct, Files: kernel})
	require.NoError(t, err)
	s.Close()
	for round := range uint64(n) {
		rnd := rand.New(rand.NewPCG(seed, round))
		var mu sync.Mutex
		left := 1 + rnd.IntN(120)
		faults := &backtest.Faults{Next: kernel, Before: func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				fs.Crash(rnd.Uint64())
			}
			if left <= 0 {
				return unix.EIO // the machine is off
			}
			return nil
		}}
		s, err := backstore.OpenFile(context.Background(), backstore.FileOptions{Path: path, Direct: c.direct, Files: faults})
		if err == nil {
			var wg sync.WaitGroup
			for w, l := range ledgers {
				wg.Go(func() { c.work(t, s, l, rand.New(rand.NewPCG(seed^round, uint64(w)))) })
			}
			wg.Wait()
			s.Close()
		}
		after, err := backstore.OpenFile(context.Background(), backstore.FileOptions{Path: path, Size: plSize, Direct: c.direct, Files: kernel})
		if err != nil {
			return fmt.Errorf("cut %d: open: %w", round, err)
		}
		image := make([]byte, plSize)
		_, err = after.ReadAt(image, 0)
		require.NoError(t, err)
		require.NoError(t, after.Close())
		for _, l := range ledgers {
			if err := l.judge(image[l.base : l.base+plSectors*plSector]); err != nil {
				return fmt.Errorf("cut %d: %w", round, err)
			}
		}
	}
	return nil
}

// work changes the writer's area until the power is gone. A change is noted
// before it is asked for, a promise after it was given.
func (c campaign) work(t testing.TB, s *backstore.File, l *ledger, rnd *rand.Rand) {
	for op := uint64(0); ; op++ {
		off := rnd.IntN(plSectors * plSector)
		n := 1 + rnd.IntN(min(plSectors*plSector-off, 4*plSector))
		if rnd.IntN(4) != 0 { // mostly whole sectors
			off = off / plSector * plSector
			n = min((n+plSector-1)/plSector*plSector, plSectors*plSector-off)
		}
		at := l.base + int64(off)
		p := make([]byte, n)
		var err error
		switch kind := rnd.IntN(10); {
		case kind < 7:
			var stamp [8]byte
			binary.LittleEndian.PutUint64(stamp[:], rnd.Uint64())
			copy(p, bytes.Repeat(stamp[:], n/8+1))
			l.change(off, p)
			if c.through {
				err = s.WriteDurable(p, at)
			} else {
				_, err = s.WriteAt(p, at)
			}
		case kind == 7:
			l.change(off, p)
			err = s.Discard(at, int64(n))
		case kind == 8:
			l.change(off, p)
			err = s.WriteZeros(at, int64(n))
		default:
			off, n = 0, plSectors*plSector
			if err = s.Sync(); err == nil {
				l.settle(off, n)
			}
			if errno := unix.Errno(0); err != nil && !errors.As(err, &errno) {
				t.Errorf("sync: %v", err)
			}
		}
		if err != nil {
			return
		}
		if c.through && !isZero(p) {
			l.settle(off, n)
		}
	}
}

func isZero(p []byte) bool { return len(bytes.Trim(p, "\x00")) == 0 }

// G1, G3, G8: no acknowledged write, and no synced discard, is lost.
func TestPowerLoss(t *testing.T) {
	for name, c := range map[string]campaign{
		"write back":           {},
		"write through":        {through: true},
		"write back direct":    {direct: true},
		"write through direct": {through: true, direct: true},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			require.NoError(t, c.run(t, *crashSeed, *crashes), "seed %d", *crashSeed)
			t.Logf("%d power cuts, nothing lost, %v", *crashes, time.Since(start).Round(time.Millisecond))
		})
	}
}

// The campaign is worth what it finds: each of these kernels or stores breaks
// one promise, and must be caught.
type noFdatasync struct{ backstore.Files }

func (noFdatasync) Fdatasync(int) error { return nil }

type noDsync struct{ backstore.Files }

func (k noDsync) PwriteDsync(fd int, p []byte, off int64) (int, error) { return k.Pwrite(fd, p, off) }

type noFsync struct{ backstore.Files }

func (noFsync) Fsync(int) error { return nil }

// lateFlush reports a flush as done that covers only what was written before
// the last one began: what joining a running flush amounts to.
type lateFlush struct{ backstore.Files }

func (k lateFlush) Pwrite(fd int, p []byte, off int64) (int, error) {
	err := k.Files.Fdatasync(fd)
	if err != nil {
		return 0, err
	}
	return k.Files.Pwrite(fd, p, off)
}

func (lateFlush) Fdatasync(int) error { return nil }

func TestPowerLossCampaignFindsLies(t *testing.T) {
	wrap := map[string]func(backstore.Files) backstore.Files{
		"no fdatasync":  func(k backstore.Files) backstore.Files { return noFdatasync{k} },
		"no dsync":      func(k backstore.Files) backstore.Files { return noDsync{k} },
		"late flush":    func(k backstore.Files) backstore.Files { return lateFlush{k} },
		"no fsync":      func(k backstore.Files) backstore.Files { return noFsync{k} },
		"honest kernel": nil,
	}
	for name, w := range wrap {
		var err error
		for seed := uint64(0); seed < 20 && err == nil; seed++ {
			err = campaign{through: true, wrap: w}.run(t, seed, 20)
		}
		if w == nil {
			require.NoError(t, err)
			continue
		}
		require.Error(t, err, name)
		t.Logf("%s: %v", name, err)
	}
}

// A power cut at any system call of the creation leaves no file or all of it;
// once Open has returned the file stays.
func TestCreationAndPowerLoss(t *testing.T) {
	for _, preallocate := range []bool{false, true} {
		for n := 1; ; n++ {
			returned := false
			for seed := range uint64(20) {
				fs := backtest.NewCrashFS()
				calls := 0
				o := backstore.FileOptions{Path: "/d/disk.img", Size: plSize, Preallocate: preallocate, Files: &backtest.Faults{Next: fs, Before: func(string) error {
					if calls++; calls == n {
						fs.Crash(seed)
					}
					if calls >= n {
						return unix.EIO
					}
					return nil
				}}}
				_, err := openFile(o)
				if returned = err == nil; returned {
					fs.Crash(seed)
				}
				o.Files, o.Size = fs, 0
				f, err := openFile(o)
				if err == nil {
					require.Equal(t, int64(plSize), f.Size())
					require.Zero(t, len(bytes.Trim(readAll(t, f), "\x00")))
					continue
				}
				require.False(t, returned, "the file was promised: %v", err)
				require.ErrorIs(t, err, backstore.ReasonSizeMissing, "no file, rather than an empty one")
				_, err = fs.Open(o.Path, unix.O_RDWR, 0)
				require.ErrorIs(t, err, unix.ENOENT, "cut at call %d", n)
			}
			if returned {
				require.Greater(t, n, 8)
				break
			}
		}
	}
}

// Killing the process loses nothing of what was written, only the lock.
func TestKilledProcessOnCrashFS(t *testing.T) {
	fs := backtest.NewCrashFS()
	o := backstore.FileOptions{Path: "/disk.img", Size: plSize, Files: fs}
	f, err := openFile(o)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("written"), 0)
	require.NoError(t, err)
	_, err = openFile(o)
	require.ErrorIs(t, err, backstore.ReasonLocked)
	fs.Kill()
	_, err = f.WriteAt([]byte("zombie!"), 0)
	require.ErrorIs(t, err, unix.EBADF)
	f, err = openFile(o)
	require.NoError(t, err)
	require.Equal(t, "written", string(readAll(t, f)[:7]))
}
