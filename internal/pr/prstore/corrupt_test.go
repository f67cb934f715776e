package prstore

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore/prstoretest"
)

const simUnit = "7c0e5b1e-7d1c-4f5e-9d42-0123456789ab"

// small keeps slots at one block, so that whole files can be tried bit by bit.
var small = Options{BootID: "boot-a", MaxRegistrations: 4}

func openSim(t testing.TB, d *simDisk, o Options) *File {
	t.Helper()
	f, err := newFile(d, o)
	require.NoError(t, err)
	return f
}

func attachSim(t testing.TB, d *simDisk, o Options) *File {
	t.Helper()
	f := openSim(t, d, o)
	require.NoError(t, f.Attach(simUnit, Expect{Exists: true}))
	return f
}

// acknowledged makes a disk whose unit has seen every state of the list saved.
func acknowledged(t testing.TB, o Options, states ...pr.State) *simDisk {
	t.Helper()
	d := newSimDisk()
	f := openSim(t, d, o)
	require.NoError(t, f.Attach(simUnit, Expect{}))
	_, rev, err := f.Load(simUnit)
	require.NoError(t, err)
	for _, s := range states {
		rev, err = f.Save(simUnit, s, rev)
		require.NoError(t, err)
	}
	return d
}

func (d *simDisk) bytes() []byte { return d.names[fileName(simUnit)].cache }

// withBytes is d with other contents of the unit's file, all of it synced.
func (d *simDisk) withBytes(b []byte) *simDisk {
	c := newSimDisk()
	f := &simFile{cache: b, stable: slices.Clone(b)}
	c.names[fileName(simUnit)], c.synced[fileName(simUnit)] = f, f
	return c
}

// failsClosed loads a damaged file and reports whether it was seen to be
// damaged beyond repair. If not, the state must be exactly the acknowledged
// one, and both slots must say it again.
func failsClosed(t *testing.T, d *simDisk, want pr.State, what string) (lost bool) {
	t.Helper()
	f := attachSim(t, d, small)
	got, _, err := f.Load(simUnit)
	if err != nil {
		require.ErrorIs(t, err, pr.ErrLost, what)
		return true
	}
	if !got.Equal(want) {
		require.Equal(t, want, got, what)
	}
	b := d.bytes()
	if rep := inspect(d.names[fileName(simUnit)].reader(), int64(len(b)), blockSize); !rep.Healthy() {
		t.Fatalf("%s: not mended: %+v", what, rep)
	}
	return false
}

func (f *simFile) reader() simHandle { return simHandle{newSimDisk(), f} }

func TestEveryBitFlipIsHarmlessOrLost(t *testing.T) {
	older, want := prstoretest.Sample(true), prstoretest.Sample(true)
	older.Reservation = pr.Reservation{} // nobody is fenced in it
	d := acknowledged(t, small, older, want)
	good := d.bytes()
	require.Len(t, good, 2*blockSize)
	n := 0
	for bit := range 8 * len(good) {
		b := slices.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		lost := failsClosed(t, d.withBytes(b), want, fmt.Sprint("bit ", bit))
		require.False(t, lost, "bit %d: the other slot is intact", bit)
		n++
	}
	t.Logf("%d bit flips, all harmless: the other slot mended them", n)
}

// Damage in both slots, a byte each, at every pair of interesting places.
func TestDamageInBothSlotsIsHarmlessOrLost(t *testing.T) {
	older, want := prstoretest.Sample(true), prstoretest.Sample(true)
	older.Reservation = pr.Reservation{}
	d := acknowledged(t, small, older, want)
	good := d.bytes()
	used := headerSize + int(binary.BigEndian.Uint32(good[152:]))
	lost, n := 0, 0
	for i := 0; i < used+8; i += 7 {
		for j := 0; j < used+8; j += 11 {
			b := slices.Clone(good)
			b[i] ^= 0x10
			b[blockSize+j] ^= 0x01
			if failsClosed(t, d.withBytes(b), want, fmt.Sprintf("bytes %d and %d", i, blockSize+j)) {
				lost++
				require.True(t, i < used && j < used)
			} else {
				require.False(t, i < used && j < used, "bytes %d and %d: nothing intact is left", i, j)
			}
			n++
		}
	}
	t.Logf("%d damages of both slots, %d lost", n, lost)
	require.NotZero(t, lost)
}

func TestEveryTruncationIsHarmlessOrLost(t *testing.T) {
	older, want := prstoretest.Sample(false), prstoretest.Sample(true)
	d := acknowledged(t, small, older, want)
	good := d.bytes()
	lost := 0
	for n := range len(good) {
		if failsClosed(t, d.withBytes(slices.Clone(good[:n])), want, fmt.Sprint("truncated to ", n)) {
			lost++
		}
	}
	used := headerSize + int(binary.BigEndian.Uint32(good[152:]))
	require.Equal(t, used, lost, "lost iff slot 0 is not complete")
}

func TestSlotsOfElsewhere(t *testing.T) {
	older, want := prstoretest.Sample(false), prstoretest.Sample(true)
	old := acknowledged(t, small, older).bytes()
	d := acknowledged(t, small, older, want)
	good := d.bytes()
	slot := func(b []byte, i int) []byte { return b[i*blockSize : (i+1)*blockSize] }
	zero := make([]byte, blockSize)

	t.Run("an older copy of one slot", func(t *testing.T) {
		require.False(t, failsClosed(t, d.withBytes(slices.Concat(slot(old, 0), slot(good, 1))), want, ""))
		require.False(t, failsClosed(t, d.withBytes(slices.Concat(slot(good, 0), slot(old, 1))), want, ""))
	})
	t.Run("slots changed places", func(t *testing.T) {
		require.True(t, failsClosed(t, d.withBytes(slices.Concat(slot(good, 1), slot(good, 0))), want, ""))
	})
	t.Run("one slot twice", func(t *testing.T) {
		require.False(t, failsClosed(t, d.withBytes(slices.Concat(slot(good, 0), slot(good, 0))), want, ""))
		require.False(t, failsClosed(t, d.withBytes(slices.Concat(slot(good, 1), slot(good, 1))), want, ""))
	})
	t.Run("one slot empty", func(t *testing.T) {
		require.False(t, failsClosed(t, d.withBytes(slices.Concat(zero, slot(good, 1))), want, ""))
		require.False(t, failsClosed(t, d.withBytes(slices.Concat(slot(good, 0), zero)), want, ""))
	})
	t.Run("all empty", func(t *testing.T) {
		require.True(t, failsClosed(t, d.withBytes(slices.Concat(zero, zero)), want, ""))
		require.True(t, failsClosed(t, d.withBytes(nil), want, ""))
	})
	t.Run("another unit's file", func(t *testing.T) {
		f := openSim(t, newSimDisk(), small)
		require.NoError(t, f.Attach("other", Expect{}))
		foreign := f.disk.(*simDisk).names["other.pr"].cache
		require.True(t, failsClosed(t, d.withBytes(foreign), want, ""))
	})
	t.Run("equal sequence, different state", func(t *testing.T) {
		fork := acknowledged(t, small, older, older).bytes()
		require.True(t, failsClosed(t, d.withBytes(slices.Concat(slot(good, 0), slot(fork, 1))), want, ""))
	})
}

func TestNewerFormatIsLostAndNotOverwritten(t *testing.T) {
	d := acknowledged(t, small, prstoretest.Sample(true))
	good := d.bytes()
	rec, err := decodeRecord(good[:blockSize], 0, blockSize)
	require.NoError(t, err)
	rec.version, rec.seq = version+1, rec.seq+1
	newer := slices.Concat(rec.encode(0, blockSize), rec.encode(1, blockSize))
	half := slices.Concat(rec.encode(0, blockSize), good[blockSize:])
	for name, b := range map[string][]byte{"both slots": newer, "newest slot": half} {
		c := d.withBytes(slices.Clone(b))
		_, _, err := attachSim(t, c, small).Load(simUnit)
		require.ErrorIs(t, err, pr.ErrLost, name)
		require.ErrorContains(t, err, "format version 2", name)
		require.Equal(t, b, c.bytes(), "%s: loading must not write", name)
	}
}

func TestOlderFileIsLostIfTheRevisionIsRemembered(t *testing.T) {
	d := acknowledged(t, small, prstoretest.Sample(true))
	old := slices.Clone(d.bytes())
	f := attachSim(t, d, small)
	_, rev, err := f.Load(simUnit)
	require.NoError(t, err)
	rev, err = f.Save(simUnit, pr.State{}, rev)
	require.NoError(t, err)

	f = openSim(t, d, small)
	require.NoError(t, f.Attach(simUnit, Expect{Exists: true, AtLeast: rev}))
	_, again, err := f.Load(simUnit)
	require.NoError(t, err)
	require.Equal(t, rev, again)

	f = openSim(t, d.withBytes(old), small)
	require.NoError(t, f.Attach(simUnit, Expect{Exists: true, AtLeast: rev}))
	_, again, err = f.Load(simUnit)
	require.ErrorIs(t, err, pr.ErrLost)
	require.GreaterOrEqual(t, again, rev, "what replaces it must count on")
}

func TestMissingFileIsLostIfItIsExpected(t *testing.T) {
	d := newSimDisk()
	f := attachSim(t, d, small)
	for range 2 {
		_, _, err := f.Load(simUnit)
		require.ErrorIs(t, err, pr.ErrLost)
		f = attachSim(t, d.cut(func(int, int) bool { return true }, true), small)
	}
}

// Whatever was lost, a save from the revision that Load gave replaces it, and
// is what is found from then on.
func TestSaveReplacesWhatWasLost(t *testing.T) {
	d := acknowledged(t, small, prstoretest.Sample(true), prstoretest.Sample(true))
	good := d.bytes()
	rec, err := decodeRecord(good[:blockSize], 0, blockSize)
	require.NoError(t, err)
	foreign := rec
	foreign.unit, foreign.seq = "other", 1<<40
	newer := rec
	newer.version = 9
	want := pr.State{Registrations: []pr.Registration{{Nexus: prstoretest.Nexus(9), Key: 9}}}
	for name, b := range map[string][]byte{
		"damaged":   make([]byte, 2*blockSize),
		"truncated": good[:100],
		"swapped":   slices.Concat(good[blockSize:], good[:blockSize]),
		"foreign":   slices.Concat(foreign.encode(0, blockSize), foreign.encode(1, blockSize)),
		"newer":     slices.Concat(newer.encode(0, blockSize), newer.encode(1, blockSize)),
		"empty":     nil,
	} {
		t.Run(name, func(t *testing.T) {
			c := d.withBytes(slices.Clone(b))
			f := attachSim(t, c, small)
			_, rev, err := f.Load(simUnit)
			require.ErrorIs(t, err, pr.ErrLost)
			_, err = f.Save(simUnit, want, rev)
			require.NoError(t, err)
			require.False(t, failsClosed(t, c.cut(func(int, int) bool { return false }, false), want, ""))
		})
	}
}

func TestReadErrorIsNotLoss(t *testing.T) {
	want := prstoretest.Sample(true)
	d := acknowledged(t, small, want)
	f := attachSim(t, d, small)
	d.countReads = true
	// Of the calls of a load, which fail? All that read, or all of them:
	// nothing is known, and that is not the same as lost.
	for _, kind := range []string{"read", "sync"} {
		d.fault = func(_ int, k string) (int, error) {
			if k == kind {
				return 0, unix.EIO
			}
			return 0, nil
		}
		_, _, err := f.Load(simUnit)
		require.ErrorIs(t, err, unix.EIO, kind)
		require.NotErrorIs(t, err, pr.ErrLost, kind)
		_, err = f.Save(simUnit, pr.State{}, 2)
		require.ErrorIs(t, err, pr.ErrStale, "nothing may be saved over what was not read")
	}
	// One of them, whichever: the state or an error, never another state.
	for n := 1; n < 20; n++ {
		d.failAt(n, n, unix.EIO, 0)
		got, _, err := f.Load(simUnit)
		if err == nil {
			require.True(t, got.Equal(want), "call %d", n)
		} else {
			require.NotErrorIs(t, err, pr.ErrLost, "call %d", n)
		}
	}
	d.heal()
	got, _, err := f.Load(simUnit)
	require.NoError(t, err)
	require.True(t, got.Equal(want))
}

func TestFileGrowsForMoreRegistrations(t *testing.T) {
	want := prstoretest.Sample(false)
	d := acknowledged(t, small, want)
	more := small
	more.MaxRegistrations = 40
	f := attachSim(t, d, more)
	got, rev, err := f.Load(simUnit)
	require.NoError(t, err)
	require.True(t, got.Equal(want))
	require.Len(t, d.bytes(), 2*SlotSizeFor(40))
	full := pr.State{Generation: 1}
	for i := range 40 {
		full.Registrations = append(full.Registrations, pr.Registration{Nexus: prstoretest.Nexus(i), Key: 1})
	}
	_, err = f.Save(simUnit, full, rev)
	require.NoError(t, err)

	// A smaller limit afterwards leaves the file as large as it is.
	f = attachSim(t, d, small)
	got, _, err = f.Load(simUnit)
	require.NoError(t, err)
	require.True(t, got.Equal(full))
	require.Len(t, d.bytes(), 2*SlotSizeFor(40))
}

func TestStateThatDoesNotFitIsRefused(t *testing.T) {
	d := acknowledged(t, small, prstoretest.Sample(true))
	f := attachSim(t, d, small)
	_, rev, err := f.Load(simUnit)
	require.NoError(t, err)
	var big pr.State
	for i := range 64 {
		big.Registrations = append(big.Registrations, pr.Registration{Nexus: prstoretest.Nexus(i), Key: 1})
	}
	_, err = f.Save(simUnit, big, rev)
	require.ErrorIs(t, err, pr.ErrNoSpace)
	require.False(t, failsClosed(t, d, prstoretest.Sample(true), ""))
}

func TestOneDirectoryHasOneOwner(t *testing.T) {
	o := Options{Dir: t.TempDir(), BootID: "b"}
	f, err := Open(o)
	require.NoError(t, err)
	_, err = Open(o)
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, f.Close())
	f, err = Open(o)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestFilesArePrivateAndNamesCannotEscape(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "pr"), BootID: "b"}
	f, err := Open(o)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Attach(simUnit, Expect{}))
	require.Error(t, f.Attach(simUnit, Expect{}), "attached twice")
	for _, name := range []string{"", "..", "a/b", "../x", "a\x00b", "lock", "ü", string(make([]byte, 65))} {
		require.Error(t, f.Attach(name, Expect{}), "%q", name)
		require.Error(t, f.Remove(name), "%q", name)
	}
	require.NoError(t, filepath.WalkDir(o.Dir, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		fi, err := e.Info()
		require.NoError(t, err)
		require.Zero(t, fi.Mode().Perm()&0o077, path)
		return nil
	}))
	require.Error(t, f.Remove(simUnit), "attached")
	require.NoError(t, f.Detach(simUnit))
	require.ErrorIs(t, f.Detach(simUnit), ErrNotAttached)
	_, _, err = f.Load(simUnit)
	require.ErrorIs(t, err, ErrNotAttached)
	require.NoError(t, f.Remove(simUnit))
	require.NoFileExists(t, filepath.Join(o.Dir, fileName(simUnit)))
}

// With every descriptor of the process in use, states are still saved.
func TestSaveNeedsNoDescriptor(t *testing.T) {
	f, err := Open(Options{Dir: t.TempDir(), BootID: "b"})
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Attach(simUnit, Expect{}))
	_, rev, err := f.Load(simUnit)
	require.NoError(t, err)
	var was unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: was.Max}))
	_, openErr := os.Open(".")
	_, err = f.Save(simUnit, prstoretest.Sample(true), rev)
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &was))
	require.ErrorIs(t, openErr, unix.EMFILE, "the limit must bite")
	require.NoError(t, err)
}

// Every block is there from the start: saving never allocates.
func TestFileIsFullyAllocated(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(Options{Dir: dir, BootID: "b"})
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Attach(simUnit, Expect{}))
	blocks := func() (size, allocated int64) {
		var st unix.Stat_t
		require.NoError(t, unix.Stat(filepath.Join(dir, fileName(simUnit)), &st))
		return st.Size, st.Blocks * 512
	}
	size, allocated := blocks()
	require.EqualValues(t, 2*SlotSizeFor(pr.DefaultMaxRegistrations), size)
	require.GreaterOrEqual(t, allocated, size)
	_, rev, err := f.Load(simUnit)
	require.NoError(t, err)
	_, err = f.Save(simUnit, prstoretest.Sample(true), rev)
	require.NoError(t, err)
	size2, allocated2 := blocks()
	require.Equal(t, size, size2)
	require.Equal(t, allocated, allocated2)
}

// What a power cycle ended stays ended when the file is mended after it: the
// record keeps the boot it was made in.
func TestMendingDoesNotMakeAnOldStateNew(t *testing.T) {
	d := acknowledged(t, small, prstoretest.Sample(false))
	d.bytes()[headerSize] ^= 1
	next := small
	next.BootID = "boot-b"
	for range 3 {
		got, _, err := attachSim(t, d, next).Load(simUnit)
		require.NoError(t, err)
		require.True(t, got.Equal(pr.State{}), "%+v", got)
	}
	grown := next
	grown.MaxRegistrations = 40
	for range 2 {
		got, _, err := attachSim(t, d, grown).Load(simUnit)
		require.NoError(t, err)
		require.True(t, got.Equal(pr.State{}), "%+v", got)
	}
}

// A process was killed between the last write of a save and its sync. What the
// next one finds in the page cache counts from then on, so it has to be on the
// medium: a power cut and a damaged slot together must not bring the state
// before it back.
func TestLoadMakesDurableWhatItFound(t *testing.T) {
	older, newer := prstoretest.Sample(true), prstoretest.Sample(true)
	older.Reservation = pr.Reservation{}
	d := acknowledged(t, small, older)
	f := attachSim(t, d, small)
	_, rev, err := f.Load(simUnit)
	require.NoError(t, err)
	d.stopAt(4, 0)
	_, err = f.Save(simUnit, newer, rev)
	require.ErrorIs(t, err, errStopped)
	d.heal()
	got, _, err := attachSim(t, d, small).Load(simUnit)
	require.NoError(t, err)
	require.True(t, got.Equal(newer))
	for slot := range 2 {
		c := d.cut(func(int, int) bool { return false }, true)
		b := slices.Clone(c.bytes())
		b[slot*blockSize+headerSize] ^= 1
		require.False(t, failsClosed(t, c.withBytes(b), newer, "slot damaged"))
	}
}

// The largest state there can be fits exactly the slot that is made for it.
func TestSlotSizeIsEnough(t *testing.T) {
	for _, n := range []int{1, 7, pr.DefaultMaxRegistrations} {
		s := pr.State{Reservation: pr.Reservation{Type: pr.WriteExclusiveAllRegistrants}}
		for i := range n {
			name := fmt.Sprintf("%0*d", pr.MaxPortName, i)
			s.Registrations = append(s.Registrations, pr.Registration{Nexus: pr.Nexus{Initiator: name, Target: name}, Key: 1})
		}
		payload, err := encodeState(s)
		require.NoError(t, err)
		require.LessOrEqual(t, headerSize+len(payload), SlotSizeFor(n))
		require.Less(t, SlotSizeFor(n)-headerSize-len(payload), blockSize)
	}
	require.LessOrEqual(t, SlotSizeFor(pr.DefaultMaxRegistrations), 512<<10)
}
