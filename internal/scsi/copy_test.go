package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// copyBench has two units at LUN 0 and 1 and one that is not mapped.
type copyBench struct {
	*bench
	units  [3]*Unit
	media  [3]*memMedium
	around func(*memMedium) Medium
}

func newCopyBench(t testing.TB, around func(*memMedium) Medium, change ...func(*UnitConfig)) *copyBench {
	if around == nil {
		around = func(m *memMedium) Medium { return m }
	}
	c := &copyBench{around: around}
	c.media[0] = newMem(benchBlocks * 512)
	c.bench = newBenchOn(t, around(c.media[0]), c.media[0], change...)
	c.units[0] = c.unit
	for i := 1; i < 3; i++ {
		c.media[i] = newMem(benchBlocks * 512)
		u := UnitConfig{Identity: Identity{Name: fmt.Sprint(i), UUID: [16]byte{byte(i), 15: 7}}, BlockSize: 512, WriteCache: true, Thin: true}
		for _, f := range change {
			f(&u)
		}
		c.units[i] = c.newUnit(u, around(c.media[i]))
	}
	c.it = c.login("iqn.2026-11.test:a")
	return c
}

func (c *copyBench) login(name string) *IT {
	it := c.dev.Attach(Nexus{Initiator: name + ",i,0x800000000002", Target: benchPort[0].Name}, LUNMap{0: c.units[0], 1: c.units[1]})
	c.clearUA(it)
	return it
}

// cscd is the identification descriptor of a unit.
func cscd(u *Unit) []byte { return u.appendCSCD(nil) }

type seg struct {
	from, to    int
	blocks      int
	fromLBA, at int
	flags       byte
}

func (s seg) bytes() []byte {
	b := make([]byte, segmentSize)
	b[0], b[1], b[3] = segmentBlockToBlock, s.flags, segmentSize-4
	binary.BigEndian.PutUint16(b[4:], uint16(s.from))
	binary.BigEndian.PutUint16(b[6:], uint16(s.to))
	binary.BigEndian.PutUint16(b[10:], uint16(s.blocks))
	binary.BigEndian.PutUint64(b[12:], uint64(s.fromLBA))
	binary.BigEndian.PutUint64(b[20:], uint64(s.at))
	return b
}

// copyList builds the parameter list of EXTENDED COPY.
func copyList(id, b1 byte, cscds [][]byte, segs ...seg) []byte {
	b := make([]byte, copyHeader)
	b[0], b[1] = id, b1
	for _, d := range cscds {
		b = append(b, d...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-copyHeader))
	at := len(b)
	for _, s := range segs {
		b = append(b, s.bytes()...)
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-at))
	return b
}

func xcopy(list []byte) string { return fmt.Sprintf("83 00 0000000000000000 %08x 00 00", len(list)) }

func (c *copyBench) both() [][]byte { return [][]byte{cscd(c.units[0]), cscd(c.units[1])} }

func copyStatus(id byte) string { return fmt.Sprintf("84 00 %02x 00000000000000 000000ff 00 00", id) }

// media with abilities of their own.
type copierMedium struct {
	*memMedium
	copied int64
	most   int64 // of one call
}

func (m *copierMedium) CopyRange(dst, src, n int64) (int64, error) {
	m.enter("copy", dst, n)
	defer m.mu.Unlock()
	if m.most > 0 {
		n = min(n, m.most)
	}
	m.copied += n
	_, err := m.put(bytes.Clone(m.data[src:src+n]), dst)
	return n, err
}

func (m *copierMedium) CopyFrom(store any, src, dst, n int64) (int64, bool, error) {
	o, ok := store.(*copierMedium)
	if !ok {
		return 0, false, nil
	}
	if m.most > 0 {
		n = min(n, m.most)
	}
	p := make([]byte, n)
	if _, err := o.ReadAt(p, src); err != nil {
		return 0, true, err
	}
	m.enter("copy", dst, n)
	defer m.mu.Unlock()
	m.copied += n
	_, err := m.put(p, dst)
	return n, true, err
}

var abilities = map[string]func(*memMedium) Medium{
	"buffered":  nil,
	"plain":     func(m *memMedium) Medium { return plain{m} },
	"offloaded": func(m *memMedium) Medium { return &copierMedium{memMedium: m} },
	"in parts":  func(m *memMedium) Medium { return &copierMedium{memMedium: m, most: 700 * 512} },
}

func TestExtendedCopy(t *testing.T) {
	for name, around := range abilities {
		t.Run(name, func(t *testing.T) {
			c := newCopyBench(t, around)
			p := c.fill(0, 2000)
			list := copyList(5, 0, c.both(), seg{0, 1, 1500, 100, 7, 0}, seg{0, 0, 3, 0, 4000, 0x02}, seg{1, 1, 0, 0, 0, 0})
			c.good(xcopy(list), list)
			require.Equal(t, p[100*512:1600*512], c.media[1].data[7*512:1507*512])
			require.True(t, isZero(c.media[1].data[:7*512]))
			require.True(t, isZero(c.media[1].data[1507*512:]))
			require.Equal(t, p[:3*512], c.at(4000, 3))
			require.Equal(t, unhex("00000008 01 0003 01 000002ef"), c.in(copyStatus(5)))
			if m, ok := c.units[1].medium.(*copierMedium); ok {
				require.EqualValues(t, 1500*512, m.copied)
			}
			require.Zero(t, c.tasks(), "no guest is left")

			// By way of another unit than those that take part.
			list = copyList(5, 0, c.both(), seg{1, 1, 10, 7, 3000, 0})
			c.good(xcopy(list), list)
			require.Equal(t, c.media[1].data[7*512:17*512], c.media[1].data[3000*512:3010*512])
		})
	}
}

// Copies within a unit whose ranges overlap copy what was there before.
func TestCopyOverlap(t *testing.T) {
	for name, around := range abilities {
		m := newMem(8 << 20)
		var medium Medium = m
		if around != nil {
			medium = around(m)
		}
		b := newBenchOn(t, medium, m)
		for _, c := range []seg{{0, 0, 12000, 0, 5, 0}, {0, 0, 12000, 5, 0, 0}, {0, 0, 12000, 0, 4000, 0}, {0, 0, 12000, 4000, 0, 0}, {0, 0, 100, 9, 9, 0}} {
			copy(m.data, pattern(len(m.data), 1))
			want := bytes.Clone(m.data)
			copy(want[c.at*512:], bytes.Clone(want[c.fromLBA*512:(c.fromLBA+c.blocks)*512]))
			list := copyList(0, 0x18, [][]byte{cscd(b.unit)}, c)
			b.good(xcopy(list), list)
			require.True(t, bytes.Equal(want, m.data), "%s %v", name, c)
		}
	}
}

func TestCopyBetweenBlockSizes(t *testing.T) {
	for _, around := range abilities {
		n := 0
		c := newCopyBench(t, around, func(u *UnitConfig) {
			if n++; n == 2 {
				u.BlockSize = 4096
			}
		})
		p := c.fill(0, 64)
		list := copyList(0, 0x18, c.both(), seg{0, 1, 16, 8, 3, 0}, seg{0, 1, 1, 32, 9, 0x02})
		c.good(xcopy(list), list)
		require.Equal(t, p[8*512:24*512], c.media[1].data[3*4096:5*4096])
		require.Equal(t, p[32*512:40*512], c.media[1].data[9*4096:10*4096])
		list = copyList(0, 0x18, c.both(), seg{0, 1, 9, 8, 3, 0})
		c.refused(ErrCopyAborted.WithSegment(0), xcopy(list), list)
	}
}

func TestExtendedCopyRefusals(t *testing.T) {
	c := newCopyBench(t, nil)
	before := [2]string{string(c.media[0].data), string(c.media[1].data)}
	edit := func(list []byte, at int, v ...byte) []byte {
		copy(list[at:], v)
		return list
	}
	ok := seg{0, 1, 8, 0, 0, 0}
	list := func() []byte { return copyList(1, 0, c.both(), ok) }
	foreign := copyList(1, 0, [][]byte{cscd(c.units[0]), cscd(c.units[2])}, ok)
	const second = copyHeader + cscdSize
	const segAt = copyHeader + 2*cscdSize
	for name, v := range map[string]struct {
		list []byte
		want *Check
	}{
		"header cut":          {list()[:15], ErrParameterListLength},
		"CSCD cut":            {list()[:copyHeader+cscdSize-1], ErrParameterListLength},
		"segment cut":         {list()[:segAt+segmentSize-1], ErrParameterListLength},
		"inline data":         {edit(list(), 15, 4), ErrInlineData.AtData(12, 7)},
		"CSCD length":         {edit(list(), 3, 63), ErrInvalidParameter.AtData(2, 7)},
		"list ID usage 1":     {edit(list(), 1, 0x08), ErrInvalidParameter.AtData(1, 4)},
		"usage 3, ID":         {edit(list(), 1, 0x18), ErrInvalidParameter.AtData(0, 7)},
		"CSCD type":           {edit(list(), second, 0xe3), ErrCSCDType.AtData(second, 7)},
		"segment type":        {edit(list(), segAt, 0x01), ErrSegmentType.AtData(segAt, 7)},
		"segment length":      {edit(list(), segAt+3, 0x14), ErrInvalidParameter.AtData(segAt+2, 7)},
		"half a segment":      {edit(list(), 11, 27), ErrParameterListLength},
		"too many CSCDs":      {copyList(1, 0, slices.Repeat([][]byte{cscd(c.units[0])}, maxCSCDs+1), ok), ErrTooManyCSCDs},
		"too many segments":   {copyList(1, 0, c.both(), slices.Repeat([]seg{ok}, maxSegments+1)...), ErrTooManySegments},
		"list too long":       {copyList(1, 0, slices.Repeat([][]byte{cscd(c.units[0])}, maxCSCDs), slices.Repeat([]seg{ok}, maxSegments+1)...), ErrParameterListLength},
		"index":               {copyList(1, 0, c.both(), ok, seg{0, 2, 8, 0, 0, 0}), ErrCSCDUnreachable.WithSegment(1)},
		"NUL":                 {edit(list(), second+1, 0x20), ErrCSCDNotReachable.WithSegment(0)},
		"device type":         {edit(list(), second+1, 0x05), ErrCSCDWrongType.WithSegment(0)},
		"block length":        {edit(list(), second+29, 0, 0x10, 0), ErrCSCDWrongType.WithSegment(0)},
		"source end":          {copyList(1, 0, c.both(), seg{0, 1, 2, benchBlocks - 1, 0, 0}), ErrCopyAborted.WithSegment(0)},
		"destination end":     {copyList(1, 0, c.both(), seg{0, 1, 2, 0, benchBlocks - 1, 0}), ErrCopyAborted.WithSegment(0)},
		"wraps":               {edit(list(), segAt+20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrCopyAborted.WithSegment(0)},
		"not mapped":          {foreign, ErrCSCDNotReachable.WithSegment(0)},
		"designator too long": {edit(list(), second+7, 21), ErrCSCDNotReachable.WithSegment(0)},
	} {
		t.Run(name, func(t *testing.T) {
			c.TB = t
			for i := range 2 {
				c.media[i].data = []byte(before[i])
			}
			c.refused(v.want, xcopy(v.list), v.list)
			if name != "index" { // its first segment is sound
				require.Equal(t, before[1], string(c.media[1].data))
			}
			require.True(t, isZero(c.media[2].data))
			require.Zero(t, c.tasks())
		})
	}
	c.TB = t
	c.good("83 00 0000000000000000 00000000 00 00", nil)
	lu := edit(list(), second+1, 0xc0)
	c.good(xcopy(lu), lu) // LU ID TYPE says nothing with this descriptor
}

// CVE-2020-28374: whatever a descriptor names, only units that are mapped for
// this very nexus are touched.
func TestCopyReachesMappedUnitsOnly(t *testing.T) {
	c := newCopyBench(t, nil)
	for i := range c.media[2].data {
		c.media[2].data[i] = 0x5a
	}
	c.media[2].before = func(op string, _, _ int64) { t.Fatalf("%s of a unit that is not mapped", op) }
	r := rand.New(rand.NewPCG(1, 1))
	guess := cscd(c.units[2])
	for range 5000 {
		d := bytes.Clone(guess)
		switch r.IntN(3) {
		case 0: // the true name, under other types
			d[4], d[5] = byte(r.Uint32()), byte(r.Uint32())
		case 1:
			binary.BigEndian.PutUint64(d[8:], r.Uint64())
		}
		for _, list := range [][]byte{
			copyList(0, 0x18, [][]byte{d, cscd(c.units[0])}, seg{0, 1, 8, 0, 0, 0}),
			copyList(0, 0x18, [][]byte{d, cscd(c.units[0])}, seg{1, 0, 8, 0, 0, 0}),
		} {
			task := c.do(xcopy(list), list, 0)
			require.ErrorIs(t, task.Failure, ErrCSCDNotReachable)
		}
	}
	// Nor does a unit that was unmapped stay within reach.
	c.it.Remap(LUNMap{0: c.units[0]})
	c.clearUA(c.it)
	list := copyList(0, 0x18, c.both(), seg{0, 1, 8, 0, 0, 0})
	c.refused(ErrCSCDNotReachable.WithSegment(0), xcopy(list), list)
}

func TestCopyFailures(t *testing.T) {
	c := newCopyBench(t, nil)
	list := copyList(9, 0, c.both(), seg{0, 0, 1, 0, 9, 0}, seg{0, 1, 8, 0, 0, 0})
	failure := func() []byte { return c.in("84 04 09 00000000000000 000000ff 00 00") }
	c.good(xcopy(list), list)
	require.Equal(t, make([]byte, 4), failure())
	c.media[1].writeErr = errDisk
	want := ErrThirdParty.WithSegment(1)
	c.refused(want, xcopy(list), list)
	require.Equal(t, unhex("00000008 02 0001 01 00000000"), c.in(copyStatus(9)))
	d := failure()
	require.EqualValues(t, len(d)-4, binary.BigEndian.Uint32(d))
	require.Equal(t, byte(CheckCondition), d[56])
	require.Equal(t, want.AppendSense(nil, false), d[60:])
	c.media[1].writeErr = nil
	for what, change := range map[string]func(*conf){
		"read-only": func(f *conf) { f.readOnly = true },
		"sanitize":  func(f *conf) { f.notReady = ErrSanitizeInProgress },
		"standby":   func(f *conf) { f.groups = map[uint16]groupState{1: {AccessState: AccessStandby}} },
		"failed":    func(f *conf) { f.failed = ErrFlushFailed },
	} {
		keep := c.units[1].conf.Load()
		c.units[1].change(change)
		task := c.do(xcopy(list), list, 0)
		require.ErrorIs(t, task.Failure, ErrThirdParty, what)
		c.units[1].conf.Store(keep)
	}
	c.media[0].readErr = errDisk
	c.refused(ErrThirdParty.WithSegment(0), xcopy(list), list)
}

func TestCopyWithoutCacheIsDurable(t *testing.T) {
	for _, around := range abilities {
		c := newCopyBench(t, around, func(u *UnitConfig) { u.WriteCache = false })
		list := copyList(0, 0x18, c.both(), seg{0, 1, 8, 0, 0, 0}, seg{0, 1, 8, 8, 8, 0})
		c.good(xcopy(list), list)
		require.Equal(t, 1, c.media[1].syncs)
		_, token := c.populate(0, extent{0, 8})
		require.NoError(t, c.writeToken(1, token, 0, extent{100, 8}).Failure)
		require.Equal(t, 2, c.media[1].syncs)
	}
}

func TestCopyResults(t *testing.T) {
	c := newCopyBench(t, nil)
	list := copyList(1, 0, c.both(), seg{0, 1, 8, 0, 0, 0})
	for _, sa := range []byte{0, 1, 4} {
		c.refused(ErrInvalidField.AtCDB(2, 7), fmt.Sprintf("84 %02x 01 00000000000000 000000ff 00 00", sa), nil)
	}
	c.good(xcopy(list), list)
	require.Equal(t, unhex("00000008 01 0001 01 00000004"), c.in(copyStatus(1)))
	require.Equal(t, make([]byte, 4), c.in("84 01 01 00000000000000 000000ff 00 00"))
	other := c.login("iqn.2026-11.test:b")
	c.refusedAt(other, ErrInvalidField.AtCDB(2, 7), copyStatus(1), nil)
	list = copyList(0, 0x18, c.both(), seg{0, 1, 8, 0, 0, 0})
	c.good(xcopy(list), list)
	c.refused(ErrInvalidField.AtCDB(2, 7), copyStatus(0), nil) // nothing was to be kept

	p := c.in("84 03 0000000000000000 000000ff 00 00")
	require.Equal(t, unhex("0000002a 01 000000 0010 0040 00000900 10000000"), p[:20])
	require.Equal(t, unhex("0040 40 09"), p[34:38])
	require.Equal(t, unhex("02 02e4"), p[43:])

	// The oldest results make room; a reset forgets them.
	for i := range maxCopyResults + 1 {
		list := copyList(byte(i+1), 0, c.both(), seg{0, 1, 1, 0, 0, 0})
		c.good(xcopy(list), list)
	}
	c.refused(ErrInvalidField.AtCDB(2, 7), copyStatus(1), nil)
	c.in(copyStatus(2))
	done := make(chan TMFResponse, 1)
	c.it.Manage(TaskMgmt{Function: LogicalUnitReset}, func(r TMFResponse, _ uint32) { done <- r })
	<-done
	c.clearUA(c.it)
	c.refused(ErrInvalidField.AtCDB(2, 7), copyStatus(2), nil)
}

func TestCopyInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopyBench(t, nil)
		goOn := make(chan struct{})
		once := sync.OnceFunc(func() { <-goOn })
		c.media[1].before = func(op string, _, _ int64) {
			if op == "write" {
				once()
			}
		}
		list := copyList(1, 0, c.both(), seg{0, 1, 8, 0, 0, 0})
		go c.do(xcopy(list), list, 0)
		synctest.Wait()
		require.Equal(t, unhex("00000008 00 0000 01 00000000"), c.in(copyStatus(1)))
		c.refused(ErrOperationInProgress, xcopy(list), list)
		close(goOn)
		synctest.Wait()
		require.EqualValues(t, 1, c.in(copyStatus(1))[4])
	})
}

func TestThirdPartyPage(t *testing.T) {
	c := newCopyBench(t, nil)
	require.EqualValues(t, 0x08, c.in("12 00 00 00 ff 00")[5]&0x08)
	p := c.in("12 01 8f ff ff 00")[4:]
	seen := map[uint16][]byte{}
	last := -1
	for len(p) > 0 {
		kind, n := binary.BigEndian.Uint16(p), int(binary.BigEndian.Uint16(p[2:]))
		require.Zero(t, n%4)
		require.Greater(t, int(kind), last, "ascending")
		last, seen[kind], p = int(kind), p[:4+n], p[4+n:]
	}
	commands := seen[1][5 : 5+int(seen[1][4])]
	listed := 0
	for len(commands) > 0 {
		for _, sa := range commands[2 : 2+int(commands[1])] {
			require.NotNil(t, opcodes[commands[0]].sas[uint16(sa)])
			listed++
		}
		commands = commands[2+int(commands[1]):]
	}
	require.Equal(t, len(opcodes[0x83].sas)+len(opcodes[0x84].sas), listed)
	limits := seen[0]
	require.EqualValues(t, maxRODRanges, binary.BigEndian.Uint16(limits[10:]))
	require.EqualValues(t, 3600, binary.BigEndian.Uint32(limits[12:]))
	require.EqualValues(t, 60, binary.BigEndian.Uint32(limits[16:]))
	require.EqualValues(t, maxRODBytes>>9, binary.BigEndian.Uint64(limits[20:]))
	require.EqualValues(t, optimalRODBytes>>9, binary.BigEndian.Uint64(limits[28:]))
	require.Equal(t, []byte{2, 0x02, 0xe4}, seen[8][4:7])
	require.Contains(t, seen, uint16(0x8001))
	require.Contains(t, strings.ToUpper(fmt.Sprintf("%x", seen[0x108])), "00800001")
}
