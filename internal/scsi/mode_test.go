package scsi

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

const allPages = "5a 08 3f 00 00 00 00 ff ff 00" // MODE SENSE(10), no descriptor

// page returns one mode page as it is now.
func (b *bench) page(page, sub byte) []byte {
	return b.in(fmt.Sprintf("5a 08 %02x %02x 00 00 00 ff ff 00", page, sub))[8:]
}

// selectPage sends one page by MODE SELECT(10).
func (b *bench) selectPage(it *IT, page []byte) *Task {
	list := append(make([]byte, 8), page...)
	return b.through(it, 0, fmt.Sprintf("55 10 00 00 00 00 00 %04x 00", len(list)), list, 0)
}

func TestModeSenseHeaders(t *testing.T) {
	b := newBench(t)
	six := b.in("1a 00 08 00 ff 00")
	require.Equal(t, unhex("1f 00 10 08 00001000 00000200"), six[:12])
	require.EqualValues(t, 0x08, six[12])
	require.Len(t, six, 32)
	six = b.in("1a 08 08 00 ff 00")
	require.Equal(t, unhex("17 00 10 00 08 12"), six[:6])
	ten := b.in("5a 00 08 00 00 00 00 00 ff 00")
	require.Equal(t, unhex("0022 00 10 00 00 0008 00001000 00000200"), ten[:16])
	ten = b.in("5a 10 08 00 00 00 00 00 ff 00")
	require.Equal(t, unhex("002a 00 10 01 00 0010 0000000000001000 00000000 00000200"), ten[:24])
	ten = b.in("5a 18 08 00 00 00 00 00 ff 00")
	require.Equal(t, unhex("001a 00 10 00 00 0000 08 12"), ten[:10])

	b.unit.change(func(f *conf) { f.blocks = 1 << 40 })
	require.Equal(t, unhex("ffffffff 00000200"), b.in("1a 00 08 00 ff 00")[4:12])
	b.unit.change(func(f *conf) { f.readOnly = true })
	require.EqualValues(t, 0x90, b.in("1a 08 08 00 ff 00")[2], "WP and DPOFUA")
}

func TestModeSenseSelection(t *testing.T) {
	b := newBench(t)
	codes := func(cdb string) (list []string) {
		p := b.in(cdb)[8:]
		for len(p) > 0 {
			n, name := 2+int(p[1]), fmt.Sprintf("%02x", p[0]&0x3f)
			if p[0]&bitSPF != 0 {
				n, name = 4+int(binary.BigEndian.Uint16(p[2:])), fmt.Sprintf("%02x/%02x", p[0]&0x3f, p[1])
			}
			list, p = append(list, name), p[n:]
		}
		return list
	}
	require.Equal(t, []string{"01", "08", "0a", "1a", "1c"}, codes(allPages))
	require.Equal(t, []string{"01", "08", "0a", "0a/01", "1a", "1c", "1c/02"}, codes("5a 08 3f ff 00 00 00 ff ff 00"))
	require.Equal(t, []string{"0a", "0a/01"}, codes("5a 08 0a ff 00 00 00 ff ff 00"))
	require.Equal(t, []string{"0a/01"}, codes("5a 08 0a 01 00 00 00 ff ff 00"))
	b.refused(ErrInvalidField.AtCDB(2, 5), "5a 08 00 00 00 00 00 ff ff 00", nil)
	b.refused(ErrInvalidField.AtCDB(2, 5), "5a 08 02 00 00 00 00 ff ff 00", nil)
	b.refused(ErrInvalidField.AtCDB(3, 7), "5a 08 08 01 00 00 00 ff ff 00", nil)
	b.refused(ErrInvalidField.AtCDB(3, 7), "5a 08 3f 77 00 00 00 ff ff 00", nil)
	b.refused(ErrSavingNotSupported, "5a 08 c8 00 00 00 00 ff ff 00", nil)
	b.refused(ErrInvalidField.AtCDB(1, 4), "1a 10 08 00 ff 00", nil)
}

// Every changeable bit can be set and cleared and is read back; every other bit
// is refused with a pointer to it, and a refused list changes nothing.
func TestModeSelectBits(t *testing.T) {
	b := newBench(t)
	b.medium.free = 1 << 62 // no threshold is ever reached
	for _, row := range modePages {
		now := b.page(row.Page, row.Sub)
		mask := row.mask(now)
		for i := row.headerLen(); i < len(now); i++ {
			for bit := range 8 {
				next := append([]byte{}, now...)
				next[i] ^= 1 << bit
				r := b.selectPage(b.it, next)
				if mask[i]&(1<<bit) == 0 {
					require.ErrorIs(t, r.Failure, ErrInvalidParameter)
					require.Equal(t, ErrInvalidParameter.AtData(8+i, bit).sks, r.Failure.(*Check).sks, "%s byte %d bit %d", row.Name, i, bit)
					require.Equal(t, now, b.page(row.Page, row.Sub))
					continue
				}
				require.NoError(t, r.Failure, "%s byte %d bit %d", row.Name, i, bit)
				require.Equal(t, next, b.page(row.Page, row.Sub))
				require.NoError(t, b.selectPage(b.it, now).Failure)
			}
		}
	}
}

func TestModeSelectLists(t *testing.T) {
	b := newBench(t)
	caching, control := b.page(8, 0), b.page(0x0a, 0)
	six := func(p ...[]byte) (list []byte) {
		for _, x := range p {
			list = append(list, x...)
		}
		return list
	}
	head := make([]byte, 4)
	changed := append([]byte{}, control...)
	changed[2] |= 0x04
	for name, c := range map[string]struct {
		cdb  string
		list []byte
		want *Check
	}{
		"nothing":                   {"15 10 00 00 00 00", nil, nil},
		"header alone":              {"15 10 00 00 04 00", head, nil},
		"two pages":                 {"15 10 00 00 24 00", six(head, caching, control), nil},
		"PF clear":                  {"15 00 00 00 04 00", head, ErrInvalidField.AtCDB(1, 4)},
		"SP":                        {"15 11 00 00 04 00", head, ErrInvalidField.AtCDB(1, 0)},
		"header cut":                {"15 10 00 00 03 00", head[:3], ErrParameterListLength},
		"page header cut":           {"15 10 00 00 05 00", six(head, caching[:1]), ErrParameterListLength},
		"page cut":                  {"15 10 00 00 17 00", six(head, caching[:19]), ErrParameterListLength},
		"second page cut":           {"15 10 00 00 23 00", six(head, caching, changed[:11]), ErrParameterListLength},
		"unknown page":              {"15 10 00 00 06 00", six(head, []byte{2, 0}), ErrInvalidParameter.AtData(4, 5)},
		"wrong length":              {"15 10 00 00 18 00", six(head, []byte{8, 0x0a}, make([]byte, 18)), ErrInvalidParameter.AtData(5, 7)},
		"page without its format":   {"15 10 00 00 08 00", six(head, []byte{0x48, 0, 0, 0}), ErrInvalidParameter.AtData(4, 5)},
		"changed, then a bad one":   {"15 10 00 00 12 00", six(head, changed, []byte{2, 0}), ErrInvalidParameter.AtData(16, 5)},
		"descriptor as it is":       {"15 10 00 00 0c 00", unhex("00000008 00001000 00000200"), nil},
		"descriptor, blocks zero":   {"15 10 00 00 0c 00", unhex("00000008 00000000 00000200"), nil},
		"descriptor, most blocks":   {"15 10 00 00 0c 00", unhex("00000008 ffffffff 00000200"), nil},
		"descriptor, other blocks":  {"15 10 00 00 0c 00", unhex("00000008 00000800 00000200"), ErrInvalidParameter.AtData(4, 7)},
		"descriptor, other size":    {"15 10 00 00 0c 00", unhex("00000008 00001000 00001000"), ErrInvalidParameter.AtData(9, 7)},
		"descriptor cut":            {"15 10 00 00 0a 00", unhex("00000008 00001000 0000"), ErrParameterListLength},
		"descriptor of no length":   {"15 10 00 00 0c 00", unhex("00000007 00001000 00000200"), ErrInvalidParameter.AtData(3, 7)},
		"ten, long descriptor":      {"55 10 00 00 00 00 00 00 18 00", unhex("00000000 01000010 0000000000001000 00000000 00000200"), nil},
		"ten, long, wrong blocks":   {"55 10 00 00 00 00 00 00 18 00", unhex("00000000 01000010 0000000100001000 00000000 00000200"), ErrInvalidParameter.AtData(8, 7)},
		"ten, long flag missing":    {"55 10 00 00 00 00 00 00 18 00", unhex("00000000 00000010 0000000000001000 00000000 00000200"), ErrInvalidParameter.AtData(6, 7)},
		"ten, header of six":        {"55 10 00 00 00 00 00 00 04 00", head, ErrParameterListLength},
		"data shorter than the CDB": {"15 10 00 00 18 00", six(head, caching)[:20], ErrInvalidIU},
	} {
		t.Run(name, func(t *testing.T) {
			b.TB = t
			if c.want == nil {
				b.good(c.cdb, c.list)
			} else {
				b.refused(c.want, c.cdb, c.list)
			}
			require.Equal(t, control, b.page(0x0a, 0))
			require.Equal(t, caching, b.page(8, 0))
		})
	}
}

// SPC-4 r36f 6.9: a change is told to every other nexus, and no change to nobody.
func TestModeSelectTellsTheOthers(t *testing.T) {
	b := newBench(t)
	other := b.attach("iqn.2026-11.test:b")
	p := b.page(0x0a, 0)
	require.NoError(t, b.selectPage(b.it, p).Failure)
	require.Equal(t, Good, b.through(other, 0, "00 00 00 00 00 00", nil, 0).Status)
	p[5] |= 0x40
	require.NoError(t, b.selectPage(b.it, p).Failure)
	require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status)
	b.refusedAt(other, UAModeChanged, "00 00 00 00 00 00", nil)
}

func TestModePagesAreObeyed(t *testing.T) {
	set := func(b *bench, page, at, bit byte, on bool) {
		p := b.page(page, 0)
		p[at] &^= bit
		if on {
			p[at] |= bit
		}
		require.NoError(t, b.selectPage(b.it, p).Failure)
	}
	t.Run("D_SENSE", func(t *testing.T) {
		b := newBench(t)
		set(b, 0x0a, 2, 0x04, true)
		r := b.do("88 00 00000001 00000005 00000001 00 00", nil, 512)
		require.Equal(t, unhex("72 05 21 00 000000 0c 00 0a 80 00 0000000100000005"), r.Sense[:r.SenseLen])
		set(b, 0x0a, 2, 0x04, false)
		r = b.do("88 00 00000001 00000005 00000001 00 00", nil, 512)
		require.Equal(t, unhex("70 00 05 00000000 0a 00000000 21 00 00 000000"), r.Sense[:r.SenseLen], "too large for the fixed format: VALID 0")
	})
	t.Run("SWP", func(t *testing.T) {
		b := newBench(t)
		set(b, 0x0a, 4, 0x08, true)
		b.refused(ErrWriteProtected, "2a 00 00 00 00 00 00 00 01 00", make([]byte, 512))
		require.EqualValues(t, 0x90, b.in("1a 08 08 00 ff 00")[2])
		set(b, 0x0a, 4, 0x08, false)
		b.good("2a 00 00 00 00 00 00 00 01 00", make([]byte, 512))
	})
	t.Run("WCE", func(t *testing.T) {
		b := newBench(t)
		write := func() { b.good("2a 00 00 00 00 00 00 00 01 00", make([]byte, 512)) }
		write()
		require.Zero(t, b.medium.durable+b.medium.syncs)
		set(b, 8, 2, 0x04, false)
		require.Equal(t, 1, b.medium.syncs, "what was acknowledged is made durable before the cache is off")
		write()
		require.Equal(t, 1, b.medium.durable)
		set(b, 8, 2, 0x04, true)
		write()
		require.Equal(t, 1, b.medium.durable)
		require.Equal(t, 1, b.medium.syncs)
	})
	t.Run("defaults and reset", func(t *testing.T) {
		b := newBench(t, func(c *UnitConfig) { c.WriteCache = false })
		def := b.in("5a 08 bf 00 00 00 00 ff ff 00")
		require.Equal(t, def, b.in(allPages))
		set(b, 8, 2, 0x04, true)
		set(b, 0x0a, 3, 0x08, true)
		require.NotEqual(t, def, b.in(allPages))
		require.Equal(t, def, b.in("5a 08 bf 00 00 00 00 ff ff 00"))
		done := make(chan TMFResponse, 1)
		b.it.Manage(TaskMgmt{Function: LogicalUnitReset}, func(r TMFResponse, _ uint32) { done <- r })
		require.Equal(t, FunctionComplete, <-done)
		b.refused(UAReset, "00 00 00 00 00 00", nil)
		require.Equal(t, def, b.in(allPages))
	})
}

// A cache that cannot be emptied is not said to be off with GOOD.
func TestWriteCacheOffReportsAFailedFlush(t *testing.T) {
	b := newBench(t)
	b.medium.flushErr = errDisk
	p := b.page(8, 0)
	p[2] = 0
	require.ErrorIs(t, b.selectPage(b.it, p).Failure, ErrFlushFailed)
}
