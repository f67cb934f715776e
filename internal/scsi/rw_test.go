package scsi

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

var errDisk = fmt.Errorf("disk on fire: %w", syscall.EIO)

// forms are the CDB layouts of a family: %08x LBA, %04x blocks, and so on.
type form struct {
	name string
	cdb  func(lba, n uint64, byte1 byte) string
}

func six(op byte) form {
	return form{"6", func(lba, n uint64, _ byte) string { return fmt.Sprintf("%02x %06x %02x 00", op, lba&0x1fffff, byte(n)) }}
}
func ten(op byte) form {
	return form{"10", func(lba, n uint64, b1 byte) string {
		return fmt.Sprintf("%02x %02x %08x 00 %04x 00", op, b1, uint32(lba), uint16(n))
	}}
}
func twelve(op byte) form {
	return form{"12", func(lba, n uint64, b1 byte) string {
		return fmt.Sprintf("%02x %02x %08x %08x 00 00", op, b1, uint32(lba), uint32(n))
	}}
}
func sixteen(op byte) form {
	return form{"16", func(lba, n uint64, b1 byte) string {
		return fmt.Sprintf("%02x %02x %016x %08x 00 00", op, b1, lba, uint32(n))
	}}
}

var (
	reads   = []form{six(0x08), ten(0x28), twelve(0xa8), sixteen(0x88)}
	writes  = []form{six(0x0a), ten(0x2a), twelve(0xaa), sixteen(0x8a)}
	verifys = []form{ten(0x2f), twelve(0xaf), sixteen(0x8f)}
	wverify = []form{ten(0x2e), twelve(0xae), sixteen(0x8e)}
	syncs   = []form{ten(0x35), sixteen(0x91)}
	fetches = []form{ten(0x34), sixteen(0x90)}
)

func each(t *testing.T, fs []form, f func(t *testing.T, c form)) {
	for _, c := range fs {
		t.Run(c.name, func(t *testing.T) { f(t, c) })
	}
}

func TestReadWrite(t *testing.T) {
	for _, size := range []int{512, 4096} {
		b := newBench(t, func(c *UnitConfig) { c.BlockSize = size })
		for i := range reads {
			p := pattern(3*size, byte(i))
			b.good(writes[i].cdb(5, 3, 0), p)
			require.Equal(t, p, b.medium.data[5*size:8*size])
			require.Equal(t, p, b.in(reads[i].cdb(5, 3, 0)))
		}
	}
}

func TestZeroBlocks(t *testing.T) {
	b := newBench(t)
	b.fill(0, 256)
	require.Len(t, b.in("08 00 00 00 00 00"), 256*512, "READ(6): zero is 256")
	b.good("0a 00 00 00 00 00", make([]byte, 256*512))
	for _, fs := range [][]form{reads[1:], writes[1:], verifys, wverify, {sixteen(0x8b)}} {
		each(t, fs, func(t *testing.T, c form) {
			b.TB = t
			b.good(c.cdb(benchBlocks-1, 0, 0), nil)
			b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), c.cdb(benchBlocks, 0, 0), nil)
		})
	}
	b.TB = t
	b.good("89 00 0000000000000fff 000000 00 00 00", nil)
	b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), "89 00 0000000000001000 000000 00 00 00", nil)
}

func TestBitsOfReadsAndWrites(t *testing.T) {
	b := newBench(t)
	for _, fs := range [][]form{reads[1:], writes[1:], {sixteen(0x8b)}} {
		each(t, fs, func(t *testing.T, c form) {
			b.TB = t
			out := make([]byte, 512)
			for _, bits := range []byte{0x10, 0x08, 0x18} {
				r := b.do(c.cdb(0, 1, bits), out, 512)
				require.NoError(t, r.Failure, "DPO and FUA")
			}
			b.refused(ErrInvalidField.AtCDB(1, 5), c.cdb(0, 1, 0x20), out)
			b.refused(ErrInvalidField.AtCDB(1, 7), c.cdb(0, 1, 0x80), out)
		})
	}
	for _, fs := range [][]form{verifys, wverify} {
		each(t, fs, func(t *testing.T, c form) {
			b.TB = t
			b.refused(ErrInvalidField.AtCDB(1, 6), c.cdb(0, 1, 0x40), make([]byte, 512))
			b.refused(ErrInvalidField.AtCDB(1, 2), c.cdb(0, 1, 0x04), make([]byte, 512))
		})
	}
	each(t, wverify, func(t *testing.T, c form) {
		b.TB = t
		b.refused(ErrInvalidField.AtCDB(1, 2), c.cdb(0, 1, 0x06), make([]byte, 512))
	})
	require.Equal(t, Good, b.do("28 00 00000000 3f 0001 00", nil, 512).Status, "GROUP NUMBER is tolerated")
	b.TB = t
	b.refused(ErrInvalidField.AtCDB(6, 7), "28 00 00000000 80 0001 00", nil)
	b.refused(ErrInvalidField.AtCDB(9, 2), "28 00 00000000 00 0001 04", nil)
	require.Equal(t, Good, b.do("28 02 00000000 00 0001 00", nil, 512).Status, "FUA_NV is not looked at")
}

// RFC 7143 §11.4.5: residuals count from what the command calls for, and
// nothing beyond what the initiator gives or takes is touched.
func TestTransferLengthsThatDisagree(t *testing.T) {
	b := newBench(t)
	p := b.fill(4, 2)
	for _, in := range []int{0, 100, 512, 1023, 1024, 5000} {
		r := b.do("28 00 00000004 00 0002 00", nil, in)
		require.Equal(t, Good, r.Status)
		require.Equal(t, p[:min(in, 1024)], append([]byte{}, r.In...))
		require.EqualValues(t, 1024, r.Want)
	}
	before := string(b.medium.data)
	for _, out := range []int{511, 1023} {
		r := b.do("2a 00 00000004 00 0002 00", make([]byte, out), 0)
		require.ErrorIs(t, r.Failure, ErrInvalidIU)
		require.EqualValues(t, 1024, r.Want)
		require.Equal(t, before, string(b.medium.data), "nothing written")
	}
	for _, out := range []int{0, 512} {
		r := b.do("2a 00 00000008 00 0002 00", pattern(out, 7), 0)
		require.Equal(t, Good, r.Status, "whole blocks are written as far as there are any")
		require.EqualValues(t, 1024, r.Want)
		require.Equal(t, append(pattern(out, 7), before[8*512+out:10*512]...), b.at(8, 2))
	}
	before = string(b.medium.data)
	r := b.do("2a 00 00000004 00 0002 00", pattern(5000, 9), 0)
	require.Equal(t, Good, r.Status)
	require.EqualValues(t, 1024, r.Want)
	require.Equal(t, pattern(5000, 9)[:1024], b.at(4, 2))
	require.Equal(t, before[6*512:], string(b.medium.data[6*512:]))
	r = b.do("28 00 00000004 00 0002 00", make([]byte, 512), 0)
	require.Equal(t, Good, r.Status, "a read that comes with data out")
	require.Empty(t, r.In)
}

func TestMaximumTransferLength(t *testing.T) {
	b := newBench(t, func(c *UnitConfig) { c.MaxTransfer = 16 * 512 })
	require.EqualValues(t, 16, b.unit.conf.Load().maxTransfer)
	b.good("2a 00 00000000 00 0010 00", make([]byte, 16*512))
	for _, fs := range [][]form{reads[1:], writes[1:], verifys, wverify, {sixteen(0x8b)}} {
		each(t, fs, func(t *testing.T, c form) {
			r := b.do(c.cdb(0, 17, 0), make([]byte, 17*512), 17*512)
			require.ErrorIs(t, r.Failure, ErrInvalidField)
		})
	}
	for _, fs := range [][]form{syncs, fetches} {
		each(t, fs, func(t *testing.T, c form) {
			require.NoError(t, b.do(c.cdb(0, 17, 0), nil, 0).Failure)
		})
	}
}

// The contract of a write acknowledgement: WCE=0 and FUA mean durable before
// GOOD, with or without a medium that can write through by itself.
func TestDurability(t *testing.T) {
	for _, c := range []struct {
		name          string
		cache, able   bool
		byte1         byte
		durable, sync int
	}{
		{"cache", true, true, 0, 0, 0},
		{"cache, FUA", true, true, 0x08, 1, 0},
		{"cache, DPO", true, true, 0x10, 0, 0},
		{"no cache", false, true, 0, 1, 0},
		{"no cache, FUA", false, true, 0x08, 1, 0},
		{"cache, FUA, by flush", true, false, 0x08, 0, 1},
		{"no cache, by flush", false, false, 0, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMem(benchBlocks * 512)
			var medium Medium = m
			if !c.able {
				medium = plain{m}
			}
			b := newBenchOn(t, medium, m, func(u *UnitConfig) { u.WriteCache = c.cache })
			for _, w := range writes[1:] {
				m.durable, m.syncs = 0, 0
				b.good(w.cdb(3, 1, c.byte1), make([]byte, 512))
				require.Equal(t, c.durable, m.durable)
				require.Equal(t, c.sync, m.syncs)
			}
		})
	}
	b := newBench(t)
	b.in("28 08 00000000 00 0001 00")
	require.Equal(t, 1, b.medium.syncs, "FUA read: the cache goes to the medium first")
	b.in("28 00 00000000 00 0001 00")
	require.Equal(t, 1, b.medium.syncs)
}

// The write cache is switched off while a write that was let in under it is
// in the medium: its GOOD may come after, so it must be durable.
func TestWriteThatOverlapsTheSwitchOfTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		inside := make(chan struct{})
		b.medium.before = func(op string, _, _ int64) {
			if op == "write" {
				<-inside
			}
		}
		over := make(chan *Task)
		go func() { over <- b.do("2a 00 00000000 00 0001 00", make([]byte, 512), 0) }()
		synctest.Wait()
		require.NoError(t, b.unit.SetWriteCache(false))
		require.Equal(t, 1, b.medium.count(func() int { return b.medium.syncs }))
		close(inside)
		require.Equal(t, Good, (<-over).Status)
		require.Equal(t, 2, b.medium.syncs)
	})
}

func TestMediumErrors(t *testing.T) {
	type lost struct{ error }
	for _, c := range []struct {
		name string
		err  error
		want *Check
	}{
		{"EIO", errDisk, ErrWriteError.WithInfo(7)},
		{"ENOSPC", fmt.Errorf("x: %w", syscall.ENOSPC), ErrNoSpace},
		{"EDQUOT", syscall.EDQUOT, ErrNoSpace},
		{"EROFS", syscall.EROFS, ErrWriteProtected},
		{"gone", goneError{errors.New("unlinked")}, ErrManualIntervention},
		{"flush", flushError{errors.New("lost")}, ErrFlushFailed},
		{"other", lost{errors.New("?")}, ErrWriteError.WithInfo(7)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.medium.writeErr = c.err
			b.refused(c.want, "2a 00 00000007 00 0001 00", make([]byte, 512))
			require.Equal(t, c.want.Is(ErrFlushFailed), b.unit.conf.Load().failed != nil, "only a failed flush latches")
		})
	}
	b := newBench(t)
	b.medium.readErr = errDisk
	b.refused(ErrReadError.WithInfo(9), "28 00 00000009 00 0004 00", nil)
	b.medium.readErr = io.ErrUnexpectedEOF
	b.refused(ErrManualIntervention, "28 00 00000009 00 0004 00", nil)
}

type goneError struct{ error }

func (goneError) MediumGone() bool { return true }

type flushError struct{ error }

func (flushError) FlushFailed() bool { return true }

// A failed flush is not forgotten: neither a write nor another flush is GOOD
// until an operator says so, and the medium is not asked again.
func TestFailedFlushLatches(t *testing.T) {
	for _, first := range []string{"35 00 00000000 00 0000 00", "2a 08 00000000 00 0001 00"} {
		m := newMem(benchBlocks * 512)
		var told error
		b := newBenchOn(t, plain{m}, m, func(c *UnitConfig) {
			c.Events = &Events{FlushFailed: func(_ *Unit, err error) { told = err }}
		})
		m.flushErr = errDisk
		b.refused(ErrFlushFailed, first, make([]byte, 512))
		require.ErrorIs(t, told, syscall.EIO)
		m.flushErr = nil
		for _, cdb := range []string{
			"35 00 00000000 00 0000 00", "35 02 00000000 00 0000 00", "2a 00 00000000 00 0001 00", "93 01 0000000000000000 00000001 00 00",
			"1b 00 00 00 00 00", "2e 00 00000000 00 0001 00",
		} {
			b.refused(ErrFlushFailed, cdb, make([]byte, 512))
		}
		require.Equal(t, 1, m.syncs)
		b.in("28 00 00000000 00 0001 00")
		b.unit.ClearFailure()
		b.good("2a 08 00000000 00 0001 00", make([]byte, 512))
	}
}

func TestVerify(t *testing.T) {
	b := newBench(t)
	p := b.fill(8, 3)
	copy(b.medium.data[20*512:], p[:512])
	copy(b.medium.data[21*512:], p[:512])
	bad := append([]byte{}, p...)
	bad[1024] ^= 1
	each(t, verifys, func(t *testing.T, c form) {
		b.TB = t
		b.good(c.cdb(8, 3, 0x00), nil)
		b.good(c.cdb(8, 3, 0x02), p)
		b.refused(ErrMiscompare.WithInfo(10), c.cdb(8, 3, 0x02), bad)
		b.good(c.cdb(20, 2, 0x06), p[:512])
		b.refused(ErrMiscompare.WithInfo(9), c.cdb(8, 3, 0x06), p[:512])
		b.good(c.cdb(8, 0, 0x06), nil)
		b.refused(ErrInvalidIU, c.cdb(8, 3, 0x02), p[:1024])
		b.good(c.cdb(100, 2, 0x02), make([]byte, 1024)) // never written: VBULS
		b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), c.cdb(benchBlocks-1, 2, 0), nil)
	})
	require.Positive(t, b.medium.syncs, "the medium is verified, not the cache")
	b.medium.readErr = errDisk
	b.TB = t
	b.refused(ErrReadError.WithInfo(8), verifys[0].cdb(8, 3, 0), nil)
}

func TestVerifyOfManyChunks(t *testing.T) {
	m := newMem(8 << 20)
	b := newBenchOn(t, m, m)
	p := pattern(3<<20, 1)
	copy(m.data, p)
	b.good("8f 02 0000000000000000 00001800 00 00", p)
	p[2<<20+700] ^= 1
	b.refused(ErrMiscompare.WithInfo(4097), "8f 02 0000000000000000 00001800 00 00", p)
}

func TestWriteAndVerify(t *testing.T) {
	b := newBench(t)
	each(t, wverify, func(t *testing.T, c form) {
		b.TB = t
		for i, bytchk := range []byte{0, 0x02} {
			b.medium.durable = 0
			p := pattern(1024, byte(i)+7)
			b.good(c.cdb(30, 2, bytchk), p)
			require.Equal(t, p, b.at(30, 2))
			require.Equal(t, 1, b.medium.durable)
		}
		r := b.do(c.cdb(30, 2, 0), make([]byte, 4096), 0)
		require.Equal(t, Good, r.Status)
		require.EqualValues(t, 1024, r.Want)
	})
	// A medium that stores something else is found out.
	lie := &lyingMedium{memMedium: newMem(benchBlocks * 512)}
	b = newBenchOn(t, lie, lie.memMedium)
	b.refused(ErrMiscompare.WithInfo(30), "2e 02 0000001e 00 0002 00", pattern(1024, 3))
}

type lyingMedium struct{ *memMedium }

func (m *lyingMedium) WriteDurable(p []byte, off int64) error {
	return m.memMedium.WriteDurable(make([]byte, len(p)), off)
}

func TestSynchronizeCache(t *testing.T) {
	b := newBench(t)
	each(t, syncs, func(t *testing.T, c form) {
		b.TB = t
		b.medium.syncs = 0
		b.good(c.cdb(0, 0, 0), nil)
		b.good(c.cdb(5, 7, 0), nil)
		b.good(c.cdb(benchBlocks-1, 1, 0), nil)
		b.good(c.cdb(0, 0, 0x04), nil) // SYNC_NV
		require.Equal(t, 4, b.medium.syncs)
		b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), c.cdb(benchBlocks, 0, 0), nil)
		b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), c.cdb(benchBlocks-1, 2, 0), nil)
		b.refused(ErrInvalidField.AtCDB(1, 3), c.cdb(0, 0, 0x08), nil)
		require.Equal(t, 4, b.medium.syncs)
	})
}

// IMMED answers at once and flushes behind; what several ask for while one
// flush runs is served by one more, and a failure is not lost.
func TestSynchronizeCacheImmediately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		hold := make(chan struct{})
		b.medium.before = func(op string, _, _ int64) {
			if op == "sync" {
				<-hold
			}
		}
		for range 5 {
			b.good("35 02 00000000 00 0000 00", nil)
			synctest.Wait()
		}
		require.Zero(t, b.medium.syncs)
		hold <- struct{}{}
		synctest.Wait()
		require.Equal(t, 1, b.medium.count(func() int { return b.medium.syncs }))
		b.medium.flushErr = errDisk
		close(hold)
		synctest.Wait()
		require.Equal(t, 2, b.medium.syncs)
		b.refused(ErrFlushFailed, "35 02 00000000 00 0000 00", nil)
		b.refused(ErrFlushFailed, "2a 00 00000000 00 0001 00", make([]byte, 512))
	})
}

func TestPreFetch(t *testing.T) {
	m := newMem(40 << 20)
	b := newBenchOn(t, m, m)
	each(t, fetches, func(t *testing.T, c form) {
		for _, byte1 := range []byte{0, bitImmed} {
			r := b.do(c.cdb(3, 5, byte1), nil, 0)
			require.Equal(t, ConditionMet, r.Status)
			require.NoError(t, r.Failure)
		}
		require.Equal(t, Good, b.do(c.cdb(0, 0, 0), nil, 0).Status, "40 MiB are not all fetched")
		require.Equal(t, ConditionMet, b.do(c.cdb(40<<11-1, 0, 0), nil, 0).Status)
		b.TB = t
		b.refused(ErrLBAOutOfRange.WithInfo(40<<11), c.cdb(40<<11, 0, 0), nil)
		b.refused(ErrLBAOutOfRange.WithInfo(40<<11), c.cdb(40<<11-1, 2, 0), nil)
	})
	m.readErr = errDisk
	b.TB = t
	b.refused(ErrReadError.WithInfo(3), fetches[0].cdb(3, 5, 0), nil)
}

func TestStartStop(t *testing.T) {
	b := newBench(t)
	b.good("1b 00 00 00 01 00", nil)
	require.Zero(t, b.medium.syncs)
	b.good("1b 00 00 00 00 00", nil)
	require.Equal(t, 1, b.medium.syncs, "stopping flushes")
	b.good("1b 00 00 00 04 00", nil)
	require.Equal(t, 1, b.medium.syncs, "NO_FLUSH")
	require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status, "no node stops the disk of the others")
	b.refused(ErrInvalidField.AtCDB(4, 1), "1b 00 00 00 02 00", nil)
	b.refused(ErrInvalidField.AtCDB(4, 1), "1b 00 00 00 03 00", nil)
	b.refused(ErrInvalidField.AtCDB(4, 7), "1b 00 00 00 30 00", nil)
	b.refused(ErrInvalidField.AtCDB(3, 0), "1b 00 00 01 01 00", nil)
}

func TestPreventAllow(t *testing.T) {
	b := newBench(t)
	x := b.it.view.Load().find(0)
	b.good("1e 00 00 00 01 00", nil)
	require.True(t, x.prevent)
	b.good("1e 00 00 00 00 00", nil)
	require.False(t, x.prevent)
	b.refused(ErrInvalidField.AtCDB(4, 1), "1e 00 00 00 02 00", nil)
	b.refused(ErrInvalidField.AtCDB(4, 1), "1e 00 00 00 03 00", nil)
}

// Every command that writes is refused on a read-only unit, whoever made it
// read-only, and touches nothing.
func TestReadOnly(t *testing.T) {
	b := newBench(t, func(c *UnitConfig) { c.ReadOnly = true })
	before := string(b.medium.data)
	for _, cdb := range []string{
		"0a 00 00 00 01 00", "2a 00 00000000 00 0001 00", "aa 00 00000000 00000001 00 00", "8a 00 0000000000000000 00000001 00 00",
		"2e 00 00000000 00 0001 00", "ae 00 00000000 00000001 00 00", "8e 00 0000000000000000 00000001 00 00",
		"41 00 00000000 00 0001 00", "93 01 0000000000000000 00000001 00 00", "42 00 00 00 00 00 00 0018 00",
		"89 00 0000000000000000 000000 01 00 00", "8b 00 0000000000000000 00000001 00 00",
	} {
		b.refused(ErrWriteProtected, cdb, make([]byte, 1024))
	}
	require.Equal(t, before, string(b.medium.data))
	b.in("28 00 00000000 00 0001 00")
	for _, r := range Commands() {
		if r.Class == ClassWrite || r.Class == ClassUnmap {
			require.NotZero(t, r.Flags&Writes, r.Name)
		}
	}
}
