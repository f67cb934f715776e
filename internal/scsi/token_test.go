package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

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
