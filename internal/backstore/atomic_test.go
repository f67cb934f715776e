package backstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Of what a device offers one length is told: the page that databases write,
// where it is among them.
func TestAtomicUnit(t *testing.T) {
	for _, c := range []struct{ least, most, want int }{
		{0, 0, 0}, {0, 4096, 0}, {8192, 4096, 0},
		{512, 512, 512}, {4096, 4096, 4096}, {512, 65536, 16384}, {512, 16384, 16384}, {512, 8192, 8192},
		{32768, 131072, 32768}, {1 << 20, 1 << 20, 0}, {512, 12288, 0},
	} {
		fs := &units{CrashFS: backtest.NewCrashFS(), least: c.least, most: c.most}
		f := newFile(t, backstore.FileOptions{Path: "/d", Direct: true, Files: fs})
		unit, most := f.Atomic()
		require.EqualValues(t, c.want, unit, "%d to %d", c.least, c.most)
		require.Equal(t, unit, most)
	}
	fs := &units{CrashFS: backtest.NewCrashFS(), least: 512, most: 4096}
	f := newFile(t, backstore.FileOptions{Path: "/d", Files: fs})
	_, most := f.Atomic()
	require.Zero(t, most, "the page cache promises nothing")
	require.ErrorIs(t, f.WriteAtomic(make([]byte, 4096), 0), backstore.ReasonUnsupported)
}

type units struct {
	*backtest.CrashFS
	least, most int
}

func (u *units) AtomicUnits(int) (least, most int, err error) { return u.least, u.most, nil }

func TestAtomicFile(t *testing.T) {
	backtest.Run(t, func(t testing.TB) backstore.Store {
		fs := backtest.NewCrashFS()
		fs.AtomicMost = 64 << 10
		f := newFile(t, backstore.FileOptions{Path: "/d", Direct: true, Files: fs})
		unit, _ := f.Atomic()
		require.EqualValues(t, 16<<10, unit)
		return f
	}, backtest.Traits{})
}

// A part of an atomic write is a failure, never continued; the kernel's refusal
// is one too.
func TestAtomicWriteIsNotContinued(t *testing.T) {
	fs := backtest.NewCrashFS()
	fs.AtomicMost = 4096
	faults := &backtest.Faults{Next: fs}
	f := newFile(t, backstore.FileOptions{Path: "/d", Direct: true, Files: faults})
	p := fillBytes('p', 4096)
	faults.Nth(backtest.SysPwriteAtomic, 1, unix.EINTR)
	require.NoError(t, f.WriteAtomic(p, 4096))
	require.Equal(t, 2, faults.Calls(backtest.SysPwriteAtomic))
	faults.Short(backtest.SysPwriteAtomic, 1, 512)
	require.ErrorIs(t, f.WriteAtomic(p, 0), unix.EIO)
	require.Equal(t, 3, faults.Calls(backtest.SysPwriteAtomic))
	faults.Nth(backtest.SysPwriteAtomic, 1, unix.EOPNOTSUPP)
	require.ErrorIs(t, f.WriteAtomic(p, 0), unix.EOPNOTSUPP)
	require.Zero(t, faults.Calls(backtest.SysPwrite), "by no other way")
	require.NoError(t, f.Failure())
}

// tornAtomic is a kernel that ignores RWF_ATOMIC.
type tornAtomic struct{ backstore.Files }

func (k tornAtomic) PwriteAtomic(fd int, p []byte, off int64) (int, error) {
	return k.Pwrite(fd, p, off)
}

// No power cut leaves a mixture, flushed or not, and the campaign would see one.
func TestAtomicWritesAndPowerLoss(t *testing.T) {
	require.NoError(t, cutAtomic(*crashes, func(k backstore.Files) backstore.Files { return k }))
	require.Error(t, cutAtomic(200, func(k backstore.Files) backstore.Files { return tornAtomic{k} }))
}

func cutAtomic(cuts int, kernel func(backstore.Files) backstore.Files) error {
	const unit, spots = 8192, 6
	fs := backtest.NewCrashFS()
	fs.AtomicMost = unit
	o := backstore.FileOptions{Path: "/d", Size: unit * spots, Direct: true, Files: kernel(fs)}
	generation := uint64(0)
	for cut := range uint64(cuts) {
		rnd := rand.New(rand.NewPCG(cut, 1))
		f, err := backstore.OpenFile(context.Background(), o)
		if err != nil {
			return err
		}
		o.Size = 0
		image := make([]byte, unit*spots)
		if _, err := f.ReadAt(image, 0); err != nil {
			return err
		}
		for spot := range spots {
			if p := image[spot*unit:][:unit]; !bytes.Equal(p, bytes.Repeat(p[:8], unit/8)) {
				return fmt.Errorf("cut %d: spot %d holds a mixture", cut, spot)
			}
		}
		for range rnd.IntN(20) {
			generation++
			p := bytes.Repeat(binary.LittleEndian.AppendUint64(nil, generation), unit/8)
			if err := f.WriteAtomic(p, int64(rnd.IntN(spots))*unit); err != nil {
				return err
			}
			if rnd.IntN(8) == 0 {
				if err := f.Sync(); err != nil {
					return err
				}
			}
		}
		fs.Crash(cut)
	}
	return nil
}

// What this machine's kernel says of its disks is taken as it is: nothing, on
// most.
func TestAtomicOnThisMachine(t *testing.T) {
	f, err := openFile(backstore.FileOptions{Path: t.TempDir() + "/d", Size: testSize, Direct: true})
	require.NoError(t, err)
	defer f.Close()
	unit, most := f.Atomic()
	t.Logf("atomic writes of %d bytes", unit)
	if most == 0 {
		return
	}
	p := fillBytes('a', int(unit))
	require.NoError(t, f.WriteAtomic(p, unit))
	require.Equal(t, p, readAll(t, f)[unit:2*unit])
}
