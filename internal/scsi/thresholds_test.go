package scsi

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

const setBytes = 1 << thresholdShift

// wideMedium claims to be large and keeps only the first MiB; it tells any
// figures about space.
type wideMedium struct {
	*memMedium
	used, left int64
	err        error
}

func newWide() *wideMedium { return &wideMedium{memMedium: newMem(1 << 20), left: 100 * setBytes} }

func (*wideMedium) Size() int64 { return 100 * setBytes }

func (m *wideMedium) WriteAt(p []byte, _ int64) (int, error) { return m.memMedium.WriteAt(p, 0) }

func (m *wideMedium) Allocated() (int64, error) { return m.used, m.err }
func (m *wideMedium) Free() (int64, error)      { return m.left, m.err }

func TestProvisioningPages(t *testing.T) {
	m := newWide()
	b := newBenchOn(t, m, m.memMedium)
	require.EqualValues(t, 15, b.in("12 01 b2 00 ff 00")[4])
	require.Equal(t, unhex("5c02001c 000000000000000000000000 80010000 0000000a 01020000 00000064"), b.page(0x1c, 2))
	m.used, m.left = 3*setBytes+1, 7*setBytes-1
	require.Equal(t, unhex("0c000018 0001 03 08 00000006 02000000 0002 03 08 00000004 01000000"), b.in("4d 00 4c 00 00 0000 ffff 00"))
	require.Equal(t, unhex("0c00000c 0002 03 08 00000004 01000000"), b.in("4d 00 4c 00 00 0002 ffff 00"))
	b.refused(ErrInvalidField.AtCDB(5, 7), "4d 00 4c 00 00 0003 ffff 00", nil)
	m.left = 1 << 62
	require.Equal(t, unhex("ffffffff"), b.in("4d 00 4c 00 00 0000 ffff 00")[8:12])
	m.err = errors.ErrUnsupported
	require.Equal(t, unhex("0c000000"), b.in("4d 00 4c 00 00 0000 ffff 00"))

	for name, b := range map[string]*bench{
		"thick":         newBenchOn(t, m, m.memMedium, func(c *UnitConfig) { c.Thin = false }),
		"cannot tell":   newBenchOn(t, unaccounted{m.memMedium, m.memMedium}, m.memMedium),
		"no discarding": newBenchOn(t, plain{m}, m.memMedium),
	} {
		b.refused(ErrInvalidField.AtCDB(2, 5), "4d 00 4c 00 00 0000 ffff 00", nil)
		b.refused(ErrInvalidField.AtCDB(3, 7), "5a 08 1c 02 00 00 00 ffff 00", nil)
		require.Zero(t, b.in("12 01 b2 00 ff 00")[4], name)
		list := append(make([]byte, 8), 0x5c, 2, 0, 0)
		b.refused(ErrInvalidParameter.AtData(8, 5), "55 10 00 00 00 00 00 000c 00", list)
	}
}

// unaccounted can discard and cannot tell how much space is left.
type unaccounted struct {
	Medium
	discarder
}

// SBC-4 r22 4.7.3.7: told to every nexus when it is reached, once, and armed
// again when the resources are back.
func TestThresholds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newWide()
		b := newBenchOn(t, m, m.memMedium)
		other := b.attach("iqn.2026-11.test:b")
		mib := make([]byte, 1<<20)
		write := func(mibs int) {
			for range mibs {
				require.Equal(t, Good, b.do("2a 00 00000000 00 0800 00", mib, 0).Status)
			}
			synctest.Wait()
		}
		told := func(it *IT) bool {
			x := it.view.Load().find(0)
			c := x.firstUA(true, false)
			if c != nil {
				require.Equal(t, UAThinThreshold, c)
			}
			return c != nil
		}
		write(40)
		require.False(t, told(b.it))
		m.left = 10 * setBytes
		write(7)
		require.False(t, told(b.it), "not asked yet")
		write(1)
		require.True(t, told(b.it))
		require.True(t, told(other))
		m.left = 9 * setBytes
		write(32)
		require.False(t, told(b.it), "once")
		m.left = 11 * setBytes
		write(16)
		m.left = 10*setBytes + setBytes/2
		write(16)
		require.True(t, told(b.it), "armed again")
		require.True(t, told(other))

		// An initiator sets a threshold on what is used: looked at at once.
		m.used = 50 * setBytes
		p := b.page(0x1c, 2)
		p[16] = 0
		p[24] |= 0x80
		p[31] = 50
		require.Equal(t, Good, b.selectPage(b.it, p).Status)
		synctest.Wait()
		require.True(t, told(b.it))
		b.clearUA(other)
		m.left = 0
		write(32)
		require.False(t, told(b.it), "that one is off")

		// No space at all: do not wait for the next sixteen megabytes.
		p[16] = 0x80
		require.Equal(t, Good, b.selectPage(b.it, p).Status)
		synctest.Wait()
		b.clearUA(b.it)
		m.left = 11 * setBytes
		write(16)
		m.left = 0
		m.writeErr = fmt.Errorf("x: %w", syscall.ENOSPC)
		b.refused(ErrNoSpace, "2a 00 00000000 00 0001 00", mib[:512])
		synctest.Wait()
		require.True(t, told(b.it))
		require.EqualValues(t, 0x10, b.in("1a 08 08 00 ff 00")[2], "WP stays 0")
	})
}

func TestResize(t *testing.T) {
	b := newBench(t)
	other := b.attach("iqn.2026-11.test:b")
	last := "28 00 00001fff 00 0001 00"
	b.refused(ErrLBAOutOfRange.WithInfo(8191), last, nil)
	require.NoError(t, b.unit.Resize(8192*512+100))
	require.EqualValues(t, 8192*512, b.unit.Size())
	b.refused(UACapacityChanged, last, nil)
	b.refusedAt(other, UACapacityChanged, last, nil)
	b.in(last)
	require.Equal(t, unhex("00001fff 00000200"), b.in("25 00 00 00 00 00 00 00 00 00"))
	require.NoError(t, b.unit.Resize(8192*512))
	require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status, "no change, no word")
	require.ErrorIs(t, b.unit.Resize(4096*512), ErrShrink)
	b.unit.change(func(f *conf) { f.notReady = ErrSanitizeInProgress })
	require.ErrorIs(t, b.unit.Resize(1<<30), ErrErasing)
	require.EqualValues(t, 8192*512, b.medium.Size())

	m := newMem(1 << 20)
	poor := newBenchOn(t, plain{m}, m)
	require.ErrorIs(t, poor.unit.Resize(2<<20), ErrFixedSize)
	require.NoError(t, m.Resize(2<<20)) // a device that grew by itself
	require.NoError(t, poor.unit.Resize(2<<20))
	require.EqualValues(t, 2<<20, poor.unit.Size())
}

// A write that waits while the unit grows may use what is new.
func TestResizeWhileWaiting(t *testing.T) {
	b := newBench(t)
	w, _, _ := b.submit("2a 00 00000000 00 0001 00", nil, 512, 0)
	require.NoError(t, b.unit.Resize(8192*512))
	w.Out = make([]byte, 512)
	require.Equal(t, Finished, b.it.Resume(w))
	require.Equal(t, Good, w.Status)
}

func TestSetReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		goOn := b.stopAt("write", 1)
		var inside *Task
		go func() { inside = b.do("2a 00 00000000 00 0001 00", make([]byte, 512), 0) }()
		synctest.Wait()
		waiting, _, _ := b.submit("2a 00 00000001 00 0001 00", nil, 512, 0)
		over := false
		go func() { b.unit.SetReadOnly(true); over = true }()
		synctest.Wait()
		require.False(t, over, "a write is inside the medium")
		goOn()
		synctest.Wait()
		require.True(t, over)
		require.Equal(t, Good, inside.Status)
		waiting.Out = make([]byte, 512)
		require.Equal(t, Finished, b.it.Resume(waiting))
		require.ErrorIs(t, waiting.Failure, ErrWriteProtected)
		b.refused(UAModeChanged, "00 00 00 00 00 00", nil)
		require.EqualValues(t, 0x90, b.in("1a 08 08 00 ff 00")[2])
		b.unit.SetReadOnly(true)
		b.in("28 00 00000000 00 0001 00")
		b.unit.SetReadOnly(false)
		b.refused(UAModeChanged, "00 00 00 00 00 00", nil)
		b.good("2a 00 00000000 00 0001 00", make([]byte, 512))
	})
}

func TestSetWriteCache(t *testing.T) {
	b := newBench(t)
	require.NoError(t, b.unit.SetWriteCache(false))
	require.Equal(t, 1, b.medium.syncs)
	b.refused(UAModeChanged, "00 00 00 00 00 00", nil)
	require.Zero(t, b.page(8, 0)[2])
	require.Zero(t, b.in("5a 08 88 00 00 00 00 ff ff 00")[10], "the default too")
}
