package scsi

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unmapList builds an UNMAP parameter list.
func unmapList(es ...extent) []byte {
	b := make([]byte, 8, 8+16*len(es))
	binary.BigEndian.PutUint16(b, uint16(6+16*len(es)))
	binary.BigEndian.PutUint16(b[2:], uint16(16*len(es)))
	for _, e := range es {
		b = binary.BigEndian.AppendUint64(b, e.lba)
		b = binary.BigEndian.AppendUint32(b, uint32(e.n))
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

func unmapCDB(n int) string { return fmt.Sprintf("42 00 00 00 00 00 00 %04x 00", n) }

func (b *bench) unmap(es ...extent) {
	b.Helper()
	l := unmapList(es...)
	b.good(unmapCDB(len(l)), l)
}

func TestUnmap(t *testing.T) {
	b := newBench(t)
	b.fill(0, 64)
	b.unmap(extent{8, 16}, extent{40, 8}, extent{12, 20}, extent{benchBlocks, 0}, extent{3, 0})
	require.True(t, isZero(b.at(8, 24)))
	require.True(t, isZero(b.at(40, 8)))
	require.False(t, isZero(b.at(7, 1)))
	require.False(t, isZero(b.at(32, 1)))
	require.Zero(t, b.medium.syncs)
	b.good("42 00 00 00 00 00 00 0000 00", nil)
	b.good(unmapCDB(8), unmapList())
}

func TestUnmapWithoutCacheIsDurable(t *testing.T) {
	b := newBench(t, func(c *UnitConfig) { c.WriteCache = false })
	b.unmap(extent{0, 8}, extent{16, 8})
	require.Equal(t, 1, b.medium.syncs)
}

// What is wrong anywhere in the list leaves all of the medium alone.
func TestUnmapRefusals(t *testing.T) {
	b := newBench(t)
	b.fill(0, benchBlocks)
	before := string(b.medium.data)
	many := make([]extent, maxUnmapDescriptors+1)
	for name, c := range map[string]struct {
		cdb  string
		list []byte
		want *Check
	}{
		"header cut":          {unmapCDB(7), make([]byte, 7), ErrParameterListLength},
		"one byte":            {unmapCDB(1), make([]byte, 1), ErrParameterListLength},
		"beyond the end":      {unmapCDB(40), unmapList(extent{0, 8}, extent{benchBlocks - 1, 2}), ErrLBAOutOfRange.WithInfo(benchBlocks)},
		"far beyond":          {unmapCDB(24), unmapList(extent{1 << 40, 1}), ErrLBAOutOfRange.WithInfo(1 << 40)},
		"wraps":               {unmapCDB(24), unmapList(extent{1<<64 - 1, 2}), ErrLBAOutOfRange.WithInfo(1<<64 - 1)},
		"empty, beyond":       {unmapCDB(24), unmapList(extent{benchBlocks + 1, 0}), ErrLBAOutOfRange.WithInfo(benchBlocks + 1)},
		"too many extents":    {unmapCDB(8 + 16*len(many)), unmapList(many...), ErrInvalidParameter.AtData(2, 7)},
		"ANCHOR":              {"42 01 00 00 00 00 00 0018 00", unmapList(extent{0, 8}), ErrInvalidField.AtCDB(1, 0)},
		"data shorter than n": {unmapCDB(40), unmapList(extent{0, 8}), ErrInvalidIU},
	} {
		t.Run(name, func(t *testing.T) {
			b.TB = t
			b.refused(c.want, c.cdb, c.list)
			require.Equal(t, before, string(b.medium.data))
		})
	}
}

func TestUnmapTotalIsBounded(t *testing.T) {
	m := newMem(1 << 20)
	b := newBenchOn(t, m, m)
	b.unit.change(func(f *conf) { f.blocks = 1 << 30 })
	l := unmapList(extent{0, maxBulkBlocks}, extent{0, 1})
	b.refused(ErrInvalidParameter.AtData(8+16+8, 7), unmapCDB(len(l)), l)
}

// SBC-4 r22 5.35.2: an extent that is cut off is not there.
func TestUnmapIgnoresWhatIsCutOff(t *testing.T) {
	b := newBench(t)
	b.fill(0, 64)
	whole := unmapList(extent{0, 8}, extent{8, 8})
	for n := 8; n < 40; n++ {
		b.fill(0, 64)
		b.good(unmapCDB(n), whole[:n])
		require.Equal(t, n >= 24, isZero(b.at(0, 8)), n)
		require.False(t, isZero(b.at(8, 8)), n)
	}
	b.fill(0, 64)
	binary.BigEndian.PutUint16(whole[2:], 31)
	b.good(unmapCDB(40), whole)
	require.True(t, isZero(b.at(0, 8)))
	require.False(t, isZero(b.at(8, 8)), "the descriptor length counts too")
}

// Without thin provisioning nothing claims it: not the pages, not RSOC.
func TestThickUnit(t *testing.T) {
	m := newMem(benchBlocks * 512)
	for name, b := range map[string]*bench{
		"by configuration": newBench(t, func(c *UnitConfig) { c.Thin = false }),
		"by the medium":    newBenchOn(t, plain{m}, m),
	} {
		t.Run(name, func(t *testing.T) {
			b.TB = t
			l := unmapList(extent{0, 8})
			b.refused(ErrInvalidOpcode, unmapCDB(len(l)), l)
			b.refused(ErrInvalidField.AtCDB(1, 3), "93 08 0000000000000000 00000001 00 00", make([]byte, 512))
			b.good("93 01 0000000000000000 00000001 00 00", nil)
			require.Equal(t, unhex("00b20004 00000000"), b.in("12 01 b2 00 ff 00"))
			require.True(t, isZero(b.in("12 01 b0 00 ff 00")[20:36]))
			require.Zero(t, b.in("9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00")[14])
			require.Equal(t, unhex("00010000"), b.in("a3 0c 01 42 0000 00000100 00 00"))
			require.Equal(t, unhex("00000014 00000000 0000000000000000 00001000 00000000"), b.in("9e 12 0000000000000000 00001000 00 00"))
		})
	}
}

func TestWriteSame(t *testing.T) {
	b := newBench(t)
	block := pattern(512, 5)
	b.good("41 00 00000003 00 0005 00", block)
	require.Equal(t, strings.Repeat(string(block), 5), string(b.at(3, 5)))
	require.True(t, isZero(b.at(8, 1)))
	b.good("93 00 0000000000000010 00000ff0 00 00", block)
	require.Equal(t, strings.Repeat(string(block), benchBlocks-16), string(b.at(16, benchBlocks-16)))

	b.good("93 01 0000000000000020 00000008 00 00", nil)
	require.True(t, isZero(b.at(32, 8)))
	require.EqualValues(t, 8*512, b.medium.zeroed, "by the medium")
	require.Zero(t, b.medium.freed)
	b.good("93 00 0000000000000030 00000008 00 00", make([]byte, 512))
	require.EqualValues(t, 16*512, b.medium.zeroed)

	b.good("93 08 0000000000000040 00000008 00 00", make([]byte, 512))
	b.good("93 09 0000000000000048 00000008 00 00", nil)
	b.good("41 08 00000050 00 0008 00", make([]byte, 512))
	require.EqualValues(t, 24*512, b.medium.freed)
	require.True(t, isZero(b.at(0x40, 24)))

	b.good("93 08 0000000000000040 00000008 00 00", block)
	require.Equal(t, strings.Repeat(string(block), 8), string(b.at(0x40, 8)), "UNMAP with a block that is not zero writes it")
}

func TestWriteSameRefusals(t *testing.T) {
	b := newBench(t)
	block := pattern(512, 5)
	b.fill(0, benchBlocks)
	before := string(b.medium.data)
	b.refused(ErrInvalidField.AtCDB(10, 7), "93 00 0000000000000000 00000000 00 00", block) // WSNZ
	b.refused(ErrInvalidField.AtCDB(7, 7), "41 00 00000000 00 0000 00", block)
	b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), "93 00 0000000000000fff 00000002 00 00", block)
	b.refused(ErrLBAOutOfRange.WithInfo(1<<63), "93 00 8000000000000000 80000000 00 00", block)
	for _, bits := range []string{"10", "18", "02", "04", "20", "80"} {
		r := b.do("93 "+bits+" 0000000000000000 00000001 00 00", block, 0)
		require.ErrorIs(t, r.Failure, ErrInvalidField, bits)
	}
	b.refused(ErrInvalidField.AtCDB(1, 0), "41 01 00000000 00 0001 00", nil) // NDOB is of (16)
	for _, n := range []int{0, 256, 511, 513, 1024} {
		b.refused(ErrInvalidIU, "93 00 0000000000000000 00000001 00 00", make([]byte, n))
	}
	require.Equal(t, before, string(b.medium.data))
	b.unit.change(func(f *conf) { f.blocks = 1 << 30 })
	b.refused(ErrInvalidField.AtCDB(10, 7), fmt.Sprintf("93 00 0000000000000000 %08x 00 00", maxBulkBlocks+1), block)
}

func TestWriteSameWithoutAbilities(t *testing.T) {
	m := newMem(6 << 20)
	b := newBenchOn(t, plain{m}, m, func(c *UnitConfig) { c.WriteCache = false })
	copy(m.data, pattern(6<<20, 3))
	want := string(m.data)
	b.good("93 01 0000000000000001 00001ffe 00 00", nil)
	require.True(t, isZero(m.data[512:len(m.data)/6*4-512]))
	require.Equal(t, want[:512], string(m.data[:512]))
	require.Equal(t, want[4<<20-512:], string(m.data[4<<20-512:]))
	require.Equal(t, 1, m.syncs, "one flush for all pieces")
}

func TestLBAStatus(t *testing.T) {
	b := newBench(t)
	get := func(lba uint64, alloc int) (es []string) {
		d := b.in(fmt.Sprintf("9e 12 %016x %08x 00 00", lba, alloc))
		require.EqualValues(t, len(d)-4, binary.BigEndian.Uint32(d))
		for d = d[8:]; len(d) > 0; d = d[16:] {
			es = append(es, fmt.Sprintf("%d+%d:%d", binary.BigEndian.Uint64(d), binary.BigEndian.Uint32(d[8:]), d[12]))
		}
		return es
	}
	require.Equal(t, []string{"0+4096:1"}, get(0, 4096))
	b.good("2a 00 00000009 00 0001 00", make([]byte, 512))
	b.good("2a 00 00000100 00 0010 00", make([]byte, 16*512))
	require.Equal(t, []string{"0+8:1", "8+8:0", "16+240:1", "256+16:0", "272+3824:1"}, get(0, 4096))
	require.Equal(t, []string{"10+6:0", "16+240:1", "256+16:0", "272+3824:1"}, get(10, 4096))
	require.Equal(t, []string{"0+8:1", "8+8:0"}, get(0, 40), "as many as there is room for")
	require.Equal(t, []string{"0+8:1", "8+8:0"}, get(0, 55))
	require.Len(t, b.in("9e 12 0000000000000000 00000000 00 00"), 0)
	require.Len(t, b.in("9e 12 0000000000000000 00000008 00 00"), 8)
	require.EqualValues(t, 20, binary.BigEndian.Uint32(b.in("9e 12 0000000000000000 00000008 00 00")), "at least one descriptor")
	b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), "9e 12 0000000000001000 00000100 00 00", nil)
	b.refused(ErrInvalidField.AtCDB(14, 0), "9e 12 0000000000000000 00000100 01 00", nil)

	b.medium.mapped = make([]bool, len(b.medium.mapped))
	b.unit.change(func(f *conf) { f.blocks = 1 << 40 })
	big := newBenchOn(t, hugeHole{b.medium}, b.medium)
	big.unit.change(func(f *conf) { f.blocks = 1 << 40 })
	d := big.in("9e 12 0000000000000000 00001000 00 00")
	require.Equal(t, unhex("00000014 00000000 0000000000000000 ffffffff 01 000000"), d, "a count has 32 bits")
}

type hugeHole struct{ *memMedium }

func (hugeHole) NextExtent(off int64) (int64, bool, error) { return 1<<49 - off, false, nil }

// Extents of the storage that do not end at a block are rounded so that no
// block with data is called deallocated.
func TestLBAStatusRounding(t *testing.T) {
	m := &oddExtents{newMem(64 << 10)}
	b := newBenchOn(t, m, m.memMedium, func(c *UnitConfig) { c.BlockSize = 4096 })
	d := b.in("9e 12 0000000000000000 00000100 00 00")[8:]
	require.Equal(t, unhex("0000000000000000 00000002 00 000000"+"0000000000000002 00000001 01 000000"+"0000000000000003 0000000d 00 000000"), d)
}

// oddExtents has a hole from 5000 to 13000 only.
type oddExtents struct{ *memMedium }

func (m *oddExtents) NextExtent(off int64) (int64, bool, error) {
	switch {
	case off < 5000:
		return 5000 - off, true, nil
	case off < 13000:
		return 13000 - off, false, nil
	}
	return 64<<10 - off, true, nil
}
