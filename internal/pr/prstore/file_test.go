package prstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore/prstoretest"
)

func TestBootIDStaysTheSameDuringABoot(t *testing.T) {
	one, err := BootID()
	require.NoError(t, err)
	two, err := BootID()
	require.NoError(t, err)
	require.Equal(t, one, two)
	require.NotEmpty(t, one)
	require.LessOrEqual(t, len(one), nameSize)
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	dir := t.TempDir()
	for _, boot := range []string{"", "a\x00b", strings.Repeat("x", nameSize+1)} {
		_, err := Open(Options{Dir: dir, BootID: boot})
		require.ErrorContains(t, err, "boot id", "%q", boot)
	}
	f, err := Open(Options{Dir: dir, BootID: "b"}) // and left the directory unlocked
	require.NoError(t, err)
	require.NoError(t, f.Close())

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Open(Options{Dir: file, BootID: "b"})
	require.Error(t, err)
	_, err = Open(Options{Dir: filepath.Join(file, "below"), BootID: "b"})
	require.Error(t, err)
	taken := filepath.Join(dir, "taken")
	require.NoError(t, os.MkdirAll(filepath.Join(taken, lockName), 0o700))
	_, err = Open(Options{Dir: taken, BootID: "b"})
	require.Error(t, err)
}

func TestUnitsThatAreNotThere(t *testing.T) {
	f := openSim(t, newSimDisk(), small)
	_, _, err := f.Load(simUnit)
	require.ErrorIs(t, err, ErrNotAttached)
	_, err = f.Save(simUnit, pr.State{}, 0)
	require.ErrorIs(t, err, ErrNotAttached)
	require.ErrorIs(t, f.Remove(simUnit), os.ErrNotExist)
	require.NoError(t, f.Attach(simUnit, Expect{}))
	_, err = f.Save(simUnit, pr.State{}, 0)
	require.ErrorIs(t, err, pr.ErrStale, "not loaded yet")
	require.NoError(t, f.Close())
	require.NoError(t, f.Attach(simUnit, Expect{Exists: true}), "closed units can be attached again")
}

// A file that cannot be made is an error that names the reason, and leaves
// nothing behind.
func TestAttachReportsWhyItCannot(t *testing.T) {
	for n := 1; ; n++ {
		d := newSimDisk()
		d.failAt(n, n, unix.ENOSPC, 0)
		f := openSim(t, d, small)
		err := f.Attach(simUnit, Expect{})
		if err == nil {
			require.Greater(t, n, 4)
			break
		}
		require.ErrorIs(t, err, pr.ErrNoSpace)
		require.NotContains(t, d.names, fileName(simUnit)+".new")
		d.heal()
		require.NoError(t, f.Attach(simUnit, Expect{}), "call %d", n)
		s, _, err := f.Load(simUnit)
		require.NoError(t, err)
		require.True(t, s.Equal(pr.State{}))
	}
}

// A file that has to grow and cannot is not ready; it is as it was, and grows
// when it can.
func TestGrowingCanFailAnywhere(t *testing.T) {
	want := prstoretest.Sample(true)
	more := small
	more.MaxRegistrations = 40
	for n := 1; ; n++ {
		d := acknowledged(t, small, want)
		f := attachSim(t, d, more)
		d.failAt(n, n, unix.ENOSPC, 0)
		_, _, err := f.Load(simUnit)
		if err == nil {
			require.Greater(t, n, 5)
			break
		}
		require.NotErrorIs(t, err, pr.ErrLost)
		d.heal()
		for _, next := range []*simDisk{d.killed(), d.cut(func(int, int) bool { return false }, false)} {
			got, _, err := attachSim(t, next, more).Load(simUnit)
			require.NoError(t, err, "call %d", n)
			require.True(t, got.Equal(want))
		}
		got, _, err := f.Load(simUnit)
		require.NoError(t, err)
		require.True(t, got.Equal(want))
	}
}

// Every way in which a payload can be wrong although its checksum is right.
func TestDecodeRefusesWhatNoEncoderWrites(t *testing.T) {
	good, err := encodeState(prstoretest.Sample(true))
	require.NoError(t, err)
	_, _, err = decodeState(good)
	require.NoError(t, err)
	for n := range len(good) {
		_, _, err := decodeState(good[:n])
		require.ErrorIs(t, err, errDamaged, "cut to %d bytes", n)
	}
	for name, spoil := range map[string]func([]byte) []byte{
		"unknown flag":                 func(b []byte) []byte { b[0] |= 0x02; return b },
		"lost, and more":               func(b []byte) []byte { b[0] |= 0x81; return b },
		"type that is none":            func(b []byte) []byte { b[1] = 2; return b },
		"holder beyond the last":       func(b []byte) []byte { b[9] = 3; return b },
		"one registration more":        func(b []byte) []byte { b[13]++; return b },
		"one registration fewer":       func(b []byte) []byte { b[13]--; return b },
		"four billion registrations":   func(b []byte) []byte { b[10] = 0xff; return b },
		"unknown flag of registration": func(b []byte) []byte { b[14] |= 0x80; return b },
		"key 0":                        func(b []byte) []byte { clear(b[15:23]); return b },
		"bytes after the end":          func(b []byte) []byte { return append(b, 0) },
	} {
		_, _, err := decodeState(spoil(append([]byte(nil), good...)))
		require.ErrorIs(t, err, errDamaged, name)
	}
}

// A record with a right checksum and a payload that makes no sense is lost,
// and shown as what it is.
func TestSenselessPayloadIsLost(t *testing.T) {
	rec := record{version, 9, simUnit, small.BootID, []byte("senseless payload")}
	d := newSimDisk().withBytes(append(rec.encode(0, blockSize), rec.encode(1, blockSize)...))
	require.True(t, failsClosed(t, d, pr.State{}, ""))
	rep := inspect(d.names[fileName(simUnit)].reader(), 2*blockSize, blockSize)
	require.Error(t, rep.Err)
	var out strings.Builder
	_, err := rep.WriteTo(&out)
	require.NoError(t, err)
	require.Contains(t, out.String(), "   payload: slot is damaged")

	rec.version = 7
	fork := rec
	fork.boot = "x"
	for what, b := range map[string][]byte{
		"format version 7":                  append(rec.encode(0, blockSize), rec.encode(1, blockSize)...),
		"both slots have the same sequence": append(rec.encode(0, blockSize), fork.encode(1, blockSize)...),
		"no slot is intact":                 make([]byte, 2*blockSize),
	} {
		rep := inspect(d.withBytes(b).names[fileName(simUnit)].reader(), 2*blockSize, blockSize)
		require.ErrorContains(t, rep.Err, what)
	}
	for _, seq := range []uint64{0, 1<<64 - 1} {
		rec.seq = seq
		_, err := decodeRecord(rec.encode(0, blockSize), 0, blockSize)
		require.ErrorIs(t, err, errDamaged, "no save ever writes sequence %d", seq)
	}
}
