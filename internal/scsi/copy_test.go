package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
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

// prOut runs PERSISTENT RESERVE OUT at a LUN.
func (c *copyBench) prOut(it *IT, lun uint16, sa pr.Action, typ pr.Type, key, sark uint64) *Task {
	return c.through(it, lun, fmt.Sprintf("%x", prCDB(sa, typ)), prList(key, sark), 0)
}

func (c *copyBench) reserve(it *IT, lun uint16, typ pr.Type, key uint64) {
	require.Equal(c, Good, c.prOut(it, lun, pr.RegisterAndIgnore, 0, 0, key).Status)
	require.Equal(c, Good, c.prOut(it, lun, pr.Reserve, typ, key, 0).Status)
}

// Reads of the source and writes of the destination count as the nexus's own
// at each unit.
func TestCopyObeysBothReservations(t *testing.T) {
	for _, v := range []struct {
		name     string
		lun      uint16
		typ      pr.Type
		from, to int
		good     bool
	}{
		{"source write exclusive", 1, pr.WriteExclusive, 1, 0, true},
		{"source exclusive access", 1, pr.ExclusiveAccess, 1, 0, false},
		{"destination write exclusive", 1, pr.WriteExclusive, 0, 1, false},
		{"destination registrants only", 1, pr.WriteExclusiveRegistrantsOnly, 0, 1, false},
		{"destination exclusive access", 1, pr.ExclusiveAccess, 0, 1, false},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := newCopyBench(t, nil)
			c.reserve(c.login("iqn.2026-11.test:holder"), v.lun, v.typ, 0xb)
			list := copyList(1, 0, c.both(), seg{v.from, v.to, 8, 0, 0, 0})
			tokenCDB, token := c.populate(v.from, extent{0, 8})
			if v.good {
				c.good(xcopy(list), list)
				require.Equal(t, Good, tokenCDB.Status)
				require.NoError(t, c.writeToken(v.to, token, 0, extent{0, 8}).Failure)
				return
			}
			c.refused(ErrThirdParty.WithSegment(0), xcopy(list), list)
			if v.to == 1 {
				require.Equal(t, ReservationConflict, c.writeToken(1, token, 0, extent{0, 8}).Status)
			} else {
				require.Equal(t, ReservationConflict, tokenCDB.Status)
			}
			require.Zero(t, c.media[0].writes+c.media[1].writes)
		})
	}
	// The unit that is addressed judges too, though it takes no part.
	c := newCopyBench(t, nil)
	c.reserve(c.login("iqn.2026-11.test:holder"), 0, pr.WriteExclusive, 0xb)
	list := copyList(1, 0, c.both(), seg{1, 1, 8, 0, 100, 0})
	require.Equal(t, ReservationConflict, c.do(xcopy(list), list, 0).Status)
	// A token is no way around the source's reservation.
	c = newCopyBench(t, nil)
	_, token := c.populate(0, extent{0, 8})
	holder := c.login("iqn.2026-11.test:holder")
	c.reserve(holder, 0, pr.ExclusiveAccess, 0xb)
	require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, ErrThirdParty)
	require.Zero(t, c.media[1].writes)
	c.it = holder
	require.NoError(t, c.writeToken(1, token, 0, extent{0, 8}).Failure)
}

// A fence at either end waits for the piece that is in the medium, and no
// further piece arrives, whatever the storage does by itself.
func TestFenceStopsCopy(t *testing.T) {
	for name, around := range map[string]func(*memMedium) Medium{"buffered": nil, "offloaded": abilities["offloaded"]} {
		for _, sa := range []pr.Action{pr.Preempt, pr.PreemptAndAbort} {
			for _, reserved := range []bool{true, false} {
				if sa == pr.Preempt && !reserved {
					continue // takes no right away
				}
				t.Run(fmt.Sprintf("%s %d %v", name, sa, reserved), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { fenceStopsCopy(t, around, sa, reserved) })
				})
			}
		}
	}
}

func fenceStopsCopy(t *testing.T, around func(*memMedium) Medium, sa pr.Action, reserved bool) {
	c := newCopyBench(t, around)
	for i := range 2 {
		require.NoError(t, c.units[i].Resize(16<<20))
	}
	survivor, victim := c.login("iqn.2026-11.test:s"), c.it
	c.clearUA(victim)
	c.clearUA(survivor)
	require.Equal(t, Good, c.prOut(victim, 1, pr.RegisterAndIgnore, 0, 0, 0xb).Status)
	require.Equal(t, Good, c.prOut(survivor, 1, pr.RegisterAndIgnore, 0, 0, 0xa).Status)
	if reserved {
		require.Equal(t, Good, c.prOut(survivor, 1, pr.Reserve, pr.WriteExclusiveRegistrantsOnly, 0xa, 0).Status)
	}
	hold, writes := make(chan struct{}), 0
	c.media[1].before = func(op string, off, _ int64) {
		if op == "write" || op == "copy" || op == "durable" {
			if writes++; writes == 2 {
				<-hold
			}
		}
	}
	list := copyList(1, 0, c.both(), seg{0, 1, 30000, 0, 0, 0})
	var task *Task
	go func() { task = c.through(victim, 0, xcopy(list), list, 0) }()
	synctest.Wait()
	require.True(t, task == nil)
	var fence *Task
	go func() { fence = c.prOut(survivor, 1, sa, pr.WriteExclusiveRegistrantsOnly, 0xa, 0xb) }()
	synctest.Wait()
	require.True(t, fence == nil, "a piece is in the medium")
	close(hold)
	synctest.Wait()
	require.Equal(t, Good, fence.Status)
	after := bytes.Clone(c.media[1].data)
	synctest.Wait()
	require.NotNil(t, task)
	require.NotEqual(t, Good, task.Status)
	require.ErrorIs(t, task.Failure, ErrThirdParty, "it happened at the other unit")
	require.Equal(t, after, c.media[1].data)
	require.LessOrEqual(t, writes, 2)
	require.Zero(t, c.tasks())
	status := c.through(victim, 0, copyStatus(1), nil, 12)
	require.EqualValues(t, 2, status.In[4], "ended with errors")
}

// An abort at the unit that is addressed ends a copy between two others, and
// one at a unit that takes part ends it even in its only piece.
func TestAbortCopy(t *testing.T) {
	for _, v := range []struct {
		name         string
		lun          uint16
		blocks, most int
	}{{"addressed", 0, 30000, 1}, {"taking part", 1, 8, 1}} {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCopyBench(t, nil)
				require.NoError(t, c.units[1].Resize(32<<20))
				c.clearUA(c.it)
				hold, writes := make(chan struct{}), 0
				c.media[1].before = func(op string, _, _ int64) {
					if op == "write" {
						writes++
						<-hold
					}
				}
				list := copyList(1, 0, c.both(), seg{1, 1, v.blocks, 0, 32000, 0})
				task := &Task{OutLen: uint32(len(list))}
				copy(task.CDB[:], unhex(xcopy(list)))
				over := false
				go func() { run(c.it, task, list); over = true }()
				synctest.Wait()
				done := make(chan TMFResponse, 1)
				c.it.Manage(TaskMgmt{Function: AbortTaskSet, LUN: NewLUN(v.lun)}, func(r TMFResponse, _ uint32) { done <- r })
				synctest.Wait()
				require.Empty(t, done, "a piece is in the medium")
				close(hold)
				require.Equal(t, FunctionComplete, <-done)
				synctest.Wait()
				require.True(t, over)
				require.Equal(t, v.most, writes)
				require.Equal(t, v.lun == 0, task.Aborted)
				if v.lun == 1 {
					require.ErrorIs(t, task.Failure, ErrThirdParty)
				}
			})
		})
	}
}

// Between two pieces the copy is still a task at the other unit: an abort there
// finds it, and nothing of it arrives afterwards.
func TestAbortBetweenPieces(t *testing.T) {
	c := newCopyBench(t, nil)
	for i := range 2 {
		require.NoError(t, c.units[i].Resize(16<<20))
	}
	c.clearUA(c.it)
	x := c.it.view.Load().find(NewLUN(1))
	j := &copyJob{t: &Task{cmd: opcodes[0x83].sas[0], CDB: [16]byte{0x83}, unit: c.units[0], itl: c.it.view.Load().find(0)}}
	_, err := j.copy(side{j.t.itl, 0}, side{x, 0}, 4096, nil)
	require.NoError(t, err)
	require.Len(t, j.guests, 2)
	writes := c.media[1].writes
	d := &drain{left: 1, done: func() {}}
	require.Equal(t, 1, x.abort(func(*Task) bool { return true }, d, false))
	require.Equal(t, 1, d.left, "there is nothing to wait for")
	_, err = j.copy(side{j.t.itl, 0}, side{x, 0}, 4096, nil)
	require.ErrorIs(t, err, errAborted)
	require.Equal(t, writes, c.media[1].writes)
	j.end()
	for _, g := range j.guests {
		require.Equal(t, taskEnded, g.state)
		require.Zero(t, g.itl.listed)
	}
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

// tokenParameters and the commands around tokens.
func rangeList(es ...extent) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(16*len(es)))
	for _, e := range es {
		b = binary.BigEndian.AppendUint64(b, e.lba)
		b = binary.BigEndian.AppendUint32(b, uint32(e.n))
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

func populateList(es ...extent) []byte {
	b := append(make([]byte, 14), rangeList(es...)...)
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

func writeTokenList(token []byte, offset uint64, es ...extent) []byte {
	b := make([]byte, 534)
	binary.BigEndian.PutUint64(b[8:], offset)
	copy(b[16:], token)
	b = append(b, rangeList(es...)...)
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

const tokenList = 0x01020304

func tokenCDB(sa byte, n int) string {
	return fmt.Sprintf("83 %02x 00000000 %08x %08x 00 00", sa, tokenList, n)
}

func rodInfo(list uint32) string { return fmt.Sprintf("84 07 %08x 00000000 0000ffff 00 00", list) }

// populate makes a token at a LUN and fetches it.
func (c *copyBench) populate(lun int, es ...extent) (*Task, []byte) {
	p := populateList(es...)
	task := c.through(c.it, uint16(lun), tokenCDB(0x10, len(p)), p, 0)
	if task.Status != Good {
		return task, make([]byte, rodTokenSize)
	}
	r := c.through(c.it, uint16(lun), rodInfo(tokenList), nil, 1<<16)
	require.Equal(c, Good, r.Status)
	require.Len(c, r.In, 32+4+2+rodTokenSize)
	return task, bytes.Clone(r.In[38:])
}

func (c *copyBench) writeToken(lun int, token []byte, offset uint64, es ...extent) *Task {
	p := writeTokenList(token, offset, es...)
	return c.through(c.it, uint16(lun), tokenCDB(0x11, len(p)), p, 0)
}

// info returns status, transfer count and sense of a LUN's last token command.
func (c *copyBench) info(lun int) (status byte, count uint64, sense []byte) {
	p := c.through(c.it, uint16(lun), rodInfo(tokenList), nil, 1<<16).In
	require.EqualValues(c, len(p)-4, binary.BigEndian.Uint32(p))
	require.EqualValues(c, 0xf1, p[15])
	return p[5], binary.BigEndian.Uint64(p[16:]), p[32 : 32+int(p[14])]
}

func TestToken(t *testing.T) {
	for name, around := range abilities {
		t.Run(name, func(t *testing.T) {
			c := newCopyBench(t, around)
			p := c.fill(0, 1000)
			_, token := c.populate(0, extent{100, 50}, extent{7, 0}, extent{10, 20}, extent{500, 130})
			rod := slices.Concat(p[100*512:150*512], p[10*512:30*512], p[500*512:630*512])
			status, count, _ := c.info(0)
			require.EqualValues(t, 1, status)
			require.EqualValues(t, 200, count)
			require.Equal(t, unhex("00800001 0000 01f8"), token[:8])
			require.Equal(t, cscd(c.units[0]), token[16:48])
			require.EqualValues(t, 200*512, binary.BigEndian.Uint64(token[56:]))
			require.False(t, isZero(token[rodSecretAt:rodSecretAt+rodSecretLength]))

			require.NoError(t, c.writeToken(1, token, 0, extent{3, 120}, extent{0, 3}, extent{1000, 77}).Failure)
			m := c.media[1].data
			require.Equal(t, rod, slices.Concat(m[3*512:123*512], m[:3*512], m[1000*512:1077*512]))
			status, count, _ = c.info(1)
			require.EqualValues(t, 1, status)
			require.EqualValues(t, 200, count)

			require.NoError(t, c.writeToken(1, token, 60, extent{2000, 20}).Failure)
			require.Equal(t, rod[60*512:80*512], m[2000*512:2020*512])
			status, _, _ = c.info(1)
			require.EqualValues(t, 3, status, "part of the token")

			task := c.writeToken(1, token, 190, extent{2100, 7}, extent{2200, 7})
			require.Equal(t, ErrTokenUnderrun.WithInfo(10).AppendSense(nil, false), task.Sense[:task.SenseLen])
			require.Equal(t, rod[190*512:197*512], m[2100*512:2107*512])
			require.Equal(t, rod[197*512:], m[2200*512:2203*512])
			status, count, sense := c.info(1)
			require.EqualValues(t, 2, status)
			require.EqualValues(t, 10, count)
			require.Equal(t, task.Sense[:task.SenseLen], sense)
			task = c.writeToken(1, token, 200, extent{2100, 7})
			require.EqualValues(t, KeyIllegalRequest, task.Failure.(*Check).Key, "nothing moved")

			// Within the unit, and by another initiator that sees both.
			require.NoError(t, c.writeToken(0, token, 0, extent{3000, 50}).Failure)
			require.Equal(t, rod[:50*512], c.at(3000, 50))
			c.it = c.login("iqn.2026-11.test:b")
			require.NoError(t, c.writeToken(1, token, 0, extent{3000, 50}).Failure)
			require.Equal(t, rod[:50*512], m[3000*512:3050*512])
			stranger := c.dev.Attach(Nexus{Initiator: "iqn.2026-11.test:x,i,0x800000000002", Target: benchPort[0].Name}, LUNMap{1: c.units[1]})
			c.clearUA(stranger)
			c.it = stranger
			require.ErrorIs(t, c.writeToken(1, token, 0, extent{3000, 50}).Failure, ErrTokenUnknown, "the source is not mapped")
		})
	}
}

func TestZeroToken(t *testing.T) {
	token := make([]byte, rodTokenSize)
	copy(token, unhex("ffff0001 0000 01f8"))
	for _, thin := range []bool{true, false} {
		c := newCopyBench(t, nil, func(u *UnitConfig) { u.Thin = thin })
		c.fill(0, 100)
		require.NoError(t, c.writeToken(0, token, 0, extent{8, 16}, extent{40, 1}).Failure)
		require.True(t, isZero(c.at(8, 16)) && isZero(c.at(40, 1)))
		require.False(t, isZero(c.at(7, 1)) || isZero(c.at(24, 1)))
		require.Equal(t, thin, c.media[0].freed > 0)
		_, count, _ := c.info(0)
		require.EqualValues(t, 17, count)
	}
}

// A token is good until somebody writes to what it stands for, by whatever
// command, on whatever path.
func TestTokenIsRevokedByWrites(t *testing.T) {
	l := unmapList(extent{12, 1})
	for name, write := range map[string]struct {
		cdb string
		out []byte
	}{
		"WRITE":             {"2a 00 0000000c 00 0001 00", make([]byte, 512)},
		"WRITE, FUA":        {"2a 08 0000000c 00 0001 00", make([]byte, 512)},
		"WRITE AND VERIFY":  {"2e 00 0000000c 00 0001 00", make([]byte, 512)},
		"WRITE SAME":        {"93 00 0000000000000000 00000100 00 00", block(1)},
		"WRITE SAME, zeros": {"93 01 0000000000000000 00000100 00 00", nil},
		"UNMAP":             {unmapCDB(len(l)), l},
		"COMPARE AND WRITE": {caw(12), make([]byte, 1024)},
		"ORWRITE":           {"8b 00 000000000000000c 00000001 00 00", make([]byte, 512)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCopyBench(t, nil)
			_, token := c.populate(0, extent{100, 8}, extent{10, 5})
			_, other := c.populate(0, extent{300, 8})
			c.good("2a 00 0000000f 00 0001 00", make([]byte, 512))
			require.NoError(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, "beside it")
			r := c.through(c.login("iqn.2026-11.test:b"), 0, write.cdb, write.out, 0)
			require.NoError(t, r.Failure)
			require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, ErrTokenRevoked)
			require.NoError(t, c.writeToken(1, other, 0, extent{0, 8}).Failure)
			require.EqualValues(t, 1, c.units[0].rods.live.Load())
		})
	}
	c := newCopyBench(t, abilities["offloaded"])
	_, token := c.populate(0, extent{10, 5})
	list := copyList(0, 0x18, c.both(), seg{1, 0, 8, 0, 12, 0})
	c.good(xcopy(list), list)
	require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 5}).Failure, ErrTokenRevoked)
}

// What a write changes while a copy reads is not copied.
func TestTokenRevokedMidway(t *testing.T) {
	c := newCopyBench(t, nil)
	c.fill(0, 8)
	_, token := c.populate(0, extent{0, 8})
	first := true
	c.media[0].before = func(op string, _, _ int64) {
		if op == "read" && first {
			first = false
			c.units[0].touch(extent{3, 1}) // a write begins elsewhere
		}
	}
	require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, ErrTokenRevoked)
	require.Zero(t, c.media[1].writes)
	status, count, _ := c.info(1)
	require.EqualValues(t, 2, status)
	require.Zero(t, count)
}

// A write that is under way when the token is made is in it.
func TestTokenWaitsForWritesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopyBench(t, nil)
		goOn := c.stopAt("write", 1)
		go c.do("2a 00 00000003 00 0001 00", block(9), 0)
		synctest.Wait()
		var token []byte
		go func() { _, token = c.populate(0, extent{0, 8}) }()
		synctest.Wait()
		require.Nil(t, token)
		goOn()
		synctest.Wait()
		require.NotNil(t, token)
		require.NoError(t, c.writeToken(1, token, 0, extent{0, 8}).Failure)
		require.Equal(t, block(9), c.media[1].data[3*512:4*512])
	})
}

func TestTokenRefusals(t *testing.T) {
	c := newCopyBench(t, nil)
	edit := func(p []byte, at int, v ...byte) []byte {
		p = bytes.Clone(p)
		copy(p[at:], v)
		return p
	}
	cut := func(p []byte, n int) []byte { return p[:n] }
	ok := populateList(extent{0, 8})
	many := make([]extent, maxRODRanges+1)
	for name, v := range map[string]struct {
		list []byte
		want *Check
	}{
		"cut":                {cut(ok, 15), ErrParameterListLength},
		"data length small":  {edit(ok, 0, 0, 29), ErrInvalidParameter.AtData(0, 7)},
		"data length large":  {edit(ok, 0, 0, 31), ErrParameterListLength},
		"idle too long":      {edit(ok, 4, 0xff), ErrInvalidParameter.AtData(4, 7)},
		"type":               {edit(ok, 2, 2), ErrInvalidParameter.AtData(8, 7)},
		"point in time":      {edit(edit(ok, 2, 2), 8, 0, 0x80, 0, 0), ErrInvalidParameter.AtData(8, 7)},
		"no range":           {edit(ok, 14, 0, 15), ErrInvalidParameter.AtData(14, 7)},
		"ranges cut":         {edit(ok, 14, 0, 32), ErrParameterListLength},
		"too many ranges":    {populateList(many...), ErrTooManySegments},
		"overlap":            {populateList(extent{0, 8}, extent{20, 2}, extent{7, 1}), ErrInvalidParameter.AtData(16+32, 7)},
		"beyond the end":     {populateList(extent{benchBlocks - 1, 2}), ErrLBAOutOfRange.WithInfo(benchBlocks)},
		"wraps":              {populateList(extent{1<<64 - 1, 2}), ErrLBAOutOfRange.WithInfo(1<<64 - 1)},
		"no data":            {nil, nil},
		"type, any":          {edit(edit(ok, 2, 2), 8, 0, 0x80, 0xff, 0xff), nil},
		"type, our own":      {edit(edit(ok, 2, 2), 8, 0, 0x80, 0, 1), nil},
		"immediately":        {edit(ok, 2, 1), nil},
		"longer than stated": {append(bytes.Clone(ok), 1, 2, 3), nil},
	} {
		t.Run("populate "+name, func(t *testing.T) {
			c.TB = t
			if v.want == nil {
				c.good(tokenCDB(0x10, len(v.list)), v.list)
			} else {
				c.refused(v.want, tokenCDB(0x10, len(v.list)), v.list)
			}
		})
	}
	_, token := c.populate(0, extent{0, 8})
	use := writeTokenList(token, 0, extent{100, 8})
	for name, v := range map[string]struct {
		list []byte
		want *Check
	}{
		"cut":               {cut(use, 535), ErrParameterListLength},
		"data length small": {edit(use, 0, 0x02, 0x25), ErrInvalidParameter.AtData(0, 7)},
		"data length large": {edit(use, 0, 0x02, 0x27), ErrParameterListLength},
		"token length":      {edit(use, 22, 0x01, 0xf7), ErrTokenLength},
		"token type":        {edit(use, 16, 0, 1, 0, 0), ErrTokenType},
		"unknown":           {edit(use, 24, ^use[24]), ErrTokenUnknown},
		"corrupt":           {edit(use, 16+rodSecretAt, ^use[16+rodSecretAt]), ErrTokenCorrupt},
		"offset":            {writeTokenList(token, 9, extent{100, 8}), ErrInvalidParameter.AtData(8, 7)},
		"offset wraps":      {writeTokenList(token, 1<<63, extent{100, 8}), ErrInvalidParameter.AtData(8, 7)},
		"beyond the end":    {writeTokenList(token, 0, extent{benchBlocks, 1}), ErrLBAOutOfRange.WithInfo(benchBlocks)},
		"overlap":           {writeTokenList(token, 0, extent{8, 4}, extent{11, 4}), ErrInvalidParameter.AtData(536+16, 7)},
		"no data":           {nil, nil},
	} {
		t.Run("write "+name, func(t *testing.T) {
			c.TB = t
			if v.want == nil {
				c.good(tokenCDB(0x11, len(v.list)), v.list)
			} else {
				c.refused(v.want, tokenCDB(0x11, len(v.list)), v.list)
			}
			require.Zero(t, c.media[0].writes)
		})
	}
	c.TB = t
	c.unit.change(func(f *conf) { f.blocks = 1 << 30 })
	big := populateList(extent{0, maxRODBytes >> 9}, extent{1 << 29, 1})
	c.refused(ErrInvalidParameter.AtData(16+16+8, 7), tokenCDB(0x10, len(big)), big)
}

func TestTokenLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopyBench(t, nil)
		_, token := c.populate(0, extent{0, 8})
		for range 5 {
			time.Sleep(defaultRODIdle)
			require.NoError(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, "use keeps it alive")
		}
		time.Sleep(defaultRODIdle + 1)
		require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, ErrTokenExpired)

		_, token = c.populate(0, extent{0, 8})
		p := writeTokenList(token, 0, extent{0, 8})
		p[2] = 0x02 // DEL_TKN
		require.NoError(t, c.through(c.it, 1, tokenCDB(0x11, len(p)), p, 0).Failure)
		require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, ErrTokenUnknown)

		// As many as there may be; then the dead make room.
		c.units[0].rods.clear()
		for range maxRODs {
			_, token = c.populate(0, extent{0, 8})
		}
		task, _ := c.populate(0, extent{0, 8})
		require.ErrorIs(t, task.Failure, ErrNoRODs)
		status, _, _ := c.info(0)
		require.EqualValues(t, 2, status)
		time.Sleep(defaultRODIdle + 1)
		_, fresh := c.populate(0, extent{0, 8})
		require.NoError(t, c.writeToken(1, fresh, 0, extent{0, 8}).Failure)
		require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 8}).Failure, ErrTokenUnknown)
		require.EqualValues(t, 1, c.units[0].rods.live.Load())

		done := make(chan TMFResponse, 1)
		c.it.Manage(TaskMgmt{Function: LogicalUnitReset, LUN: 0}, func(r TMFResponse, _ uint32) { done <- r })
		<-done
		c.clearUA(c.it)
		require.ErrorIs(t, c.writeToken(1, fresh, 0, extent{0, 8}).Failure, ErrTokenUnknown)
		require.Zero(t, c.units[0].rods.live.Load())
		c.refused(ErrInvalidField.AtCDB(2, 7), rodInfo(tokenList), nil)
	})
}

func TestTokenBlockSizesDiffer(t *testing.T) {
	n := 0
	c := newCopyBench(t, nil, func(u *UnitConfig) {
		if n++; n == 2 {
			u.BlockSize = 4096
		}
	})
	_, token := c.populate(0, extent{0, 8})
	require.ErrorIs(t, c.writeToken(1, token, 0, extent{0, 1}).Failure, ErrCSCDWrongType)
}

func TestTokenCopyFailures(t *testing.T) {
	c := newCopyBench(t, nil)
	_, token := c.populate(0, extent{0, 8})
	c.media[1].writeErr = errors.New("?")
	require.ErrorIs(t, c.writeToken(1, token, 0, extent{5, 8}).Failure, ErrWriteError)
	c.media[1].writeErr = nil
	c.media[0].readErr = errDisk
	require.ErrorIs(t, c.writeToken(1, token, 0, extent{5, 8}).Failure, ErrThirdParty)
	require.Zero(t, c.tasks())
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
