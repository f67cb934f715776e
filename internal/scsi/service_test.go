package scsi

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Tests of the commands around the data: logs, diagnostics, buffers, notes.

func TestLogSense(t *testing.T) {
	b := newBench(t)
	list := b.in("4d 00 40 00 00 0000 ffff 00")[4:]
	require.Contains(t, list, byte(0x2f))
	for code := range 64 {
		r := b.do(fmt.Sprintf("4d 00 %02x 00 00 0000 ffff 00", 0x40|code), nil, 1<<16)
		require.Equal(t, strings.Contains(string(list), string([]byte{byte(code)})), r.Status == Good, "page %02x", code)
		if r.Status == Good {
			require.EqualValues(t, code, r.In[0])
			require.EqualValues(t, len(r.In)-4, int(r.In[2])<<8|int(r.In[3]))
		}
	}
	require.Equal(t, unhex("0d000006 0000 03 02 00ff"), b.in("4d 00 4d 00 00 0000 ffff 00"))
	require.Equal(t, unhex("2f000008 0000 03 04 0000ff00"), b.in("4d 00 6f 00 00 0000 ffff 00"))
	b.unit.latch(ErrFlushFailed)
	require.Equal(t, unhex("2f000008 0000 03 04 5d00ff00"), b.in("4d 00 6f 00 00 0000 ffff 00"))
	sub := b.in("4d 00 40 ff 00 0000 ffff 00")
	require.Equal(t, unhex("40ff 0000"), append(sub[:2:2], 0, 0))
	require.Len(t, sub, 4+2*(len(list)+1))

	b.refused(ErrInvalidField.AtCDB(2, 7), "4d 00 0d 00 00 0000 ffff 00", nil)
	b.refused(ErrInvalidField.AtCDB(3, 7), "4d 00 4d 01 00 0000 ffff 00", nil)
	b.refused(ErrInvalidField.AtCDB(5, 7), "4d 00 4d 00 00 0001 ffff 00", nil)
	b.refused(ErrInvalidField.AtCDB(5, 7), "4d 00 40 00 00 0001 ffff 00", nil)
	b.refused(ErrInvalidField.AtCDB(1, 0), "4d 01 4d 00 00 0000 ffff 00", nil) // SP
}

func TestLogSelect(t *testing.T) {
	b := newBench(t)
	b.good("4c 02 40 00 00 00 00 0000 00", nil)
	b.good("4c 00 4d 00 00 00 00 0000 00", nil)
	b.refused(ErrInvalidField.AtCDB(2, 5), "4c 00 55 00 00 00 00 0000 00", nil)
	b.refused(ErrInvalidField.AtCDB(1, 0), "4c 01 40 00 00 00 00 0000 00", nil)
	b.refused(ErrInvalidField.AtCDB(8, 2), "4c 00 40 00 00 00 00 0004 00", make([]byte, 4))
}

func TestDiagnostics(t *testing.T) {
	b := newBench(t)
	b.good("1d 04 00 0000 00", nil)
	require.Equal(t, 1, b.medium.syncs)
	b.good("1d 10 00 0000 00", nil)
	b.good("1d 10 00 0004 00", make([]byte, 4))
	require.Equal(t, unhex("0000 0001 00"), b.in("1c 01 00 00ff 00"))
	require.Equal(t, unhex("0000 0001 00"), b.in("1c 00 00 00ff 00"))
	b.refused(ErrInvalidField.AtCDB(2, 7), "1c 01 01 00ff 00", nil)
	b.refused(ErrInvalidField.AtCDB(1, 7), "1d 20 00 0000 00", nil)
	b.refused(ErrInvalidField.AtCDB(3, 7), "1d 04 00 0004 00", make([]byte, 4))
	b.refused(ErrInvalidParameter.AtData(0, 7), "1d 10 00 0004 00", unhex("80000000"))
	b.refused(ErrInvalidParameter.AtData(2, 7), "1d 10 00 0004 00", unhex("00000001"))
	b.refused(ErrParameterListLength, "1d 10 00 0003 00", make([]byte, 3))
	b.medium.readErr = errDisk
	b.refused(ErrSelfTest, "1d 04 00 0000 00", nil)
	b.medium.readErr, b.medium.flushErr = nil, errDisk
	b.refused(ErrSelfTest, "1d 04 00 0000 00", nil)
}

func TestEchoBuffer(t *testing.T) {
	b := newBench(t)
	other := b.attach("iqn.2026-11.test:b")
	require.Equal(t, unhex("01001000"), b.in("3c 0b 00 000000 000010 00"))
	require.Equal(t, unhex("00000000"), b.in("3c 03 00 000000 000010 00"))
	b.refused(ErrCommandSequence, "3c 0a 00 000000 001000 00", nil)
	p := pattern(echoCapacity, 3)
	b.good("3b 0a 00 000000 001000 00", p)
	require.Equal(t, Good, b.through(other, 0, "3b 0a 00 000000 000004 00", []byte("else"), 0).Status)
	require.Equal(t, p, b.in("3c 0a 00 000000 001000 00"))
	require.Equal(t, p[:7], b.in("3c 0a 00 000000 000007 00"))
	b.good("3b 0a 00 000000 000000 00", nil)
	require.Empty(t, b.in("3c 0a 00 000000 001000 00"))
	b.refused(ErrInvalidField.AtCDB(6, 7), "3b 0a 00 000000 001001 00", make([]byte, echoCapacity+1))
	b.refused(ErrInvalidField.AtCDB(2, 7), "3b 0a 01 000000 000004 00", make([]byte, 4))
	b.refused(ErrInvalidField.AtCDB(5, 7), "3c 0a 00 000001 000004 00", nil)
	for _, mode := range []byte{0, 2, 4, 5, 6, 7, 0x0d, 0x0e, 0x0f, 0x1a} {
		b.refused(ErrInvalidField.AtCDB(1, 4), fmt.Sprintf("3b %02x 00 000000 000004 00", mode), make([]byte, 4))
	}
	b.refused(ErrInvalidField.AtCDB(1, 4), "3c 02 00 000000 000004 00", nil)
}

func TestDefectListsAreEmpty(t *testing.T) {
	b := newBench(t)
	require.Equal(t, unhex("00 1d 0000"), b.in("37 00 1d 00 00 00 00 0100 00"))
	require.Equal(t, unhex("00 0c 0000 00000000"), b.in("b7 0c 00000000 00000100 00 00"))
}

func TestIdentifyingInformation(t *testing.T) {
	var saved Memory
	var fail error
	b := newBench(t, func(c *UnitConfig) {
		c.Memory = Memory{Text: "was here"}
		c.Remember = func(m Memory) error {
			if fail == nil {
				saved = m
			}
			return fail
		}
	})
	other := b.attach("iqn.2026-11.test:b")
	report := func(kind byte) []byte { return b.in(fmt.Sprintf("a3 05 00 00 00 00 00000200 %02x 00", kind<<1)) }
	set := func(kind byte, n int) string { return fmt.Sprintf("a4 06 00 00 00 00 %08x %02x 00", n, kind<<1) }
	require.Equal(t, "\x00\x00\x00\x09was here\x00", string(report(2)))
	require.Equal(t, make([]byte, 4), report(0))
	require.Equal(t, unhex("00000008 00000040 04000100"), report(0x7f))

	b.good(set(0, 3), []byte{1, 0, 2})
	require.Equal(t, unhex("00000003 010002"), report(0))
	require.Equal(t, Memory{Information: "\x01\x00\x02", Text: "was here"}, saved)
	b.refusedAt(other, UAIdentifierChanged, "00 00 00 00 00 00", nil)
	b.good(set(0, 3), []byte{1, 0, 2})
	require.Equal(t, Good, b.through(other, 0, "00 00 00 00 00 00", nil, 0).Status, "no change")
	b.good(set(2, 4), []byte("é\x00x"))
	require.Equal(t, "é", saved.Text)
	b.good(set(2, 0), nil)
	require.Empty(t, saved.Text)

	b.refused(ErrInvalidParameter.AtData(1, 7), set(2, 2), []byte("ab"))
	b.refused(ErrInvalidParameter.AtData(0, 7), set(2, 2), []byte{0xff, 0})
	b.refused(ErrInvalidField.AtCDB(6, 7), set(0, maxInformation+1), make([]byte, maxInformation+1))
	b.refused(ErrInvalidField.AtCDB(6, 7), set(2, maxText+1), make([]byte, maxText+1))
	b.refused(ErrInvalidField.AtCDB(10, 7), set(1, 1), make([]byte, 1))
	b.refused(ErrInvalidField.AtCDB(10, 7), "a3 05 00 00 00 00 00000200 02 00", nil)

	fail = errors.New("no space")
	b.refused(ErrNotSaved, set(0, 1), []byte{9})
	require.Equal(t, unhex("00000003 010002"), report(0), "what was not saved did not happen")

	forgetful := newBench(t)
	forgetful.refused(ErrInvalidField.AtCDB(1, 4), "a3 05 00 00 00 00 00000200 00 00", nil)
	forgetful.refused(ErrInvalidField.AtCDB(1, 4), set(0, 1), []byte{9})
}

func TestTimestamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		other := b.attach("iqn.2026-11.test:b")
		now := time.Now().UnixMilli()
		require.Equal(t, unhex(fmt.Sprintf("000a 03 00 %012x 0000", now)), b.in("a3 0f 00 00 00 00 00000020 00 00"))
		for _, at := range []int64{1000, 1 << 40, 1<<48 - 10000} {
			b.good("a4 0f 00 00 00 00 0000000c 00 00", unhex(fmt.Sprintf("00000000 %012x 0000", at)))
			time.Sleep(5 * time.Second)
			require.Equal(t, unhex(fmt.Sprintf("000a 02 00 %012x 0000", at+5000)), b.in("a3 0f 00 00 00 00 00000020 00 00"))
			b.refusedAt(other, UATimestampChanged, "00 00 00 00 00 00", nil)
		}
		b.good("a4 0f 00 00 00 00 00000000 00 00", nil)
		b.refused(ErrParameterListLength, "a4 0f 00 00 00 00 0000000b 00 00", make([]byte, 11))
	})
}
