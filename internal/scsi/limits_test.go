package scsi

import (
	"bytes"
	"fmt"
	"math/big"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// edges are the numbers at which arithmetic goes wrong.
func edges(blocks, most uint64, bits int) []uint64 {
	set := map[uint64]bool{}
	for _, v := range []uint64{0, 1, 2, blocks, most, 1 << 8, 1 << 16, 1 << 21, 1 << 31, 1 << 32, 1 << 55, 1 << 63, 1<<64 - 1} {
		for _, x := range []uint64{v - 2, v - 1, v, v + 1} {
			if bits == 64 || x < 1<<bits {
				set[x] = true
			}
		}
	}
	var list []uint64
	for v := range set {
		list = append(list, v)
	}
	return list
}

func (f Field) put(cdb *[16]byte, v uint64) {
	for i := int(f.Len) - 1; i >= 0; i-- {
		cdb[int(f.At)+i] = byte(v)
		v >>= 8
	}
}

// Every command with a range, at every pair of edges, agrees with arithmetic
// that cannot overflow on whether the range is inside; one that is outside
// touches nothing and says where it ends.
func TestRangesAtTheEdges(t *testing.T) {
	const most = 64
	b := newBench(t, func(c *UnitConfig) { c.MaxTransfer = most * 512 })
	touched := false
	b.medium.before = func(op string, off, n int64) {
		touched = touched || op != "sync"
		require.True(t, off >= 0 && n >= 0 && off+n <= benchBlocks*512, "%s of %d bytes at %d", op, n, off)
	}
	cases, data := 0, make([]byte, 4<<20)
	for _, r := range Commands() {
		if r.LBA.Len == 0 {
			continue
		}
		lbaBits := 8 * int(r.LBA.Len)
		if r.size == 6 {
			lbaBits = 21
		}
		counts := []uint64{0}
		if r.Blocks.Len != 0 {
			counts = edges(benchBlocks, most, 8*int(r.Blocks.Len))
		}
		for _, lba := range edges(benchBlocks, most, lbaBits) {
			for _, n := range counts {
				cdb := [16]byte{r.Op, byte(r.SA)}
				r.LBA.put(&cdb, lba)
				r.Blocks.put(&cdb, n)
				count := n
				if n == 0 && r.size == 6 {
					count = 256
				}
				first, end, blocks := new(big.Int).SetUint64(lba), new(big.Int).SetUint64(count), big.NewInt(benchBlocks)
				end.Add(first, end)
				inside := first.Cmp(blocks) < 0 && end.Cmp(blocks) <= 0
				touched = false
				task := &Task{OutLen: 1 << 20, InLen: 1 << 20}
				if r.Op == 0x41 || r.Op == 0x93 {
					task.OutLen = 512
				}
				if r.Op == 0x89 || r.Op == 0x8b || r.Op == 0x9c {
					task.OutLen = uint32(min(count, 1<<12)) * 512
					if r.Op == 0x89 {
						task.OutLen *= 2
					}
				}
				task.CDB = cdb
				run(b.it, task, data[:task.OutLen])
				what := fmt.Sprintf("%s lba %#x blocks %#x: %v", r.Name, lba, n, task.Failure)
				require.NotErrorIs(t, task.Failure, ErrInternal, what)
				short := r.Flags&AnyLength != 0 || count <= most
				switch {
				case !inside:
					require.False(t, touched, what)
					require.Equal(t, CheckCondition, task.Status, what)
					if short {
						require.ErrorIs(t, task.Failure, ErrLBAOutOfRange, what)
						require.Equal(t, max(lba, benchBlocks), task.Failure.(*Check).info, what)
					}
				case !short:
					require.ErrorIs(t, task.Failure, ErrInvalidField, what)
					require.False(t, touched, what)
				case task.Failure != nil:
					// Limits of their own; a miscompare is a look at the medium.
					require.True(t, (r.Op == 0x89 && n > maxCompareBlocks || (r.Op == 0x41 || r.Op == 0x93) && n == 0), what)
				}
				task.Reset()
				cases++
			}
		}
	}
	require.Greater(t, cases, 15000)
}

// FuzzCommand throws CDBs and parameter lists at a small unit. Whatever they
// are: no panic, nothing outside the unit or outside the command's own range
// is touched, no answer longer than the initiator's room, no GOOD for what is
// not in the table, and only commands that say so change the medium.
func FuzzCommand(f *testing.F) {
	for _, r := range Commands() {
		f.Add(r.usage[:r.size], []byte{}, uint16(512))
		small := make([]byte, r.size)
		small[0], small[1] = r.Op, byte(r.SA)
		if r.Length.Len != 0 {
			small[r.Length.At+r.Length.Len-1] = 0x28
		}
		if r.Blocks.Len != 0 {
			small[r.Blocks.At+r.Blocks.Len-1] = 1
		}
		f.Add(small, make([]byte, 1024), uint16(512))
		f.Add(small, unmapList(extent{3, 5}, extent{1, 1}), uint16(4))
	}
	const blocks = 64
	copies := append([]byte{1, 0, 0, 32, 10: 0, 11: segmentSize, 15: 0}, fuzzCSCD()...)
	copies = append(copies, seg{0, 0, 4, 0, 32, 0}.bytes()...)
	f.Add(unhex("83 00 0000000000000000 0000004c 00 00"), copies, uint16(0))
	f.Add(unhex(tokenCDB(0x10, 32)), populateList(extent{0, 8}), uint16(0))
	f.Add(unhex(tokenCDB(0x11, 552)), writeTokenList(unhex("ffff0001 0000 01f8"), 0, extent{0, 8}), uint16(0))
	f.Fuzz(func(t *testing.T, cdb, out []byte, in uint16) {
		m := &guarded{memMedium: newMem(blocks * 512), t: t}
		copy(m.data, pattern(len(m.data), 1))
		b := newBenchOn(t, m, m.memMedium, fuzzConfig)
		other := newMem(blocks * 512) // in the same device, not mapped
		other.before = func(op string, _, _ int64) { t.Errorf("%s of a unit that is not mapped", op) }
		b.newUnit(UnitConfig{Identity: Identity{Name: "other"}, BlockSize: 512}, other)
		before := bytes.Clone(m.data)
		task := &Task{OutLen: uint32(len(out)), InLen: uint32(in)}
		copy(task.CDB[:], cdb)
		run(b.it, task, out)
		require.NotErrorIs(t, task.Failure, ErrInternal)
		require.LessOrEqual(t, len(task.In), int(in))
		require.LessOrEqual(t, task.SenseLen, MaxSense)
		row, _ := lookup(&task.CDB)
		if row == nil {
			require.Equal(t, CheckCondition, task.Status)
		}
		if task.Status == CheckCondition {
			require.NotZero(t, task.SenseLen)
			require.Empty(t, task.In)
		}
		for b.unit.conf.Load().notReady == ErrSanitizeInProgress || b.unit.conf.Load().notReady == ErrFormatInProgress {
			runtime.Gosched()
		}
		b.unit.Close()
		if bytes.Equal(before, m.data) {
			return
		}
		require.True(t, row.Flags&Writes != 0 || row.Class == ClassCopy, row.Name)
		if row.Blocks.Len != 0 {
			from, to := task.lba()*512, (task.lba()+task.blocks())*512
			require.Equal(t, before[:from], m.data[:from])
			require.Equal(t, before[to:], m.data[to:])
		}
	})
}

func fuzzConfig(c *UnitConfig) {
	c.MaxTransfer = 16 << 10
	c.Remember = func(Memory) error { return nil }
}

// fuzzCSCD names the unit that the fuzzer drives.
func fuzzCSCD() []byte {
	u := &Unit{id: benchID}
	u.id.complete()
	u.conf.Store(&conf{blockSize: 512})
	return u.appendCSCD(nil)
}

// guarded refuses to be touched outside its size.
type guarded struct {
	*memMedium
	t *testing.T
}

func (m *guarded) check(off, n int64) {
	if off < 0 || n <= 0 || off+n > int64(len(m.data)) {
		m.t.Errorf("%d bytes at %d", n, off)
	}
}

func (m *guarded) ReadAt(p []byte, off int64) (int, error) {
	m.check(off, int64(len(p)))
	return m.memMedium.ReadAt(p, off)
}

func (m *guarded) WriteAt(p []byte, off int64) (int, error) {
	m.check(off, int64(len(p)))
	return m.memMedium.WriteAt(p, off)
}

func (m *guarded) WriteDurable(p []byte, off int64) error {
	m.check(off, int64(len(p)))
	return m.memMedium.WriteDurable(p, off)
}

func (m *guarded) Discard(off, n int64) error {
	m.check(off, n)
	return m.memMedium.Discard(off, n)
}

func (m *guarded) WriteZeros(off, n int64) error {
	m.check(off, n)
	return m.memMedium.WriteZeros(off, n)
}
