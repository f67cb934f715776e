package scsi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func caw(lba uint64) string { return fmt.Sprintf("89 00 %016x 000000 01 00 00", lba) }

func join(p ...[]byte) []byte { return bytes.Join(p, nil) }

func TestCompareAndWrite(t *testing.T) {
	b := newBench(t)
	old, fresh := b.fill(7, 1), pattern(512, 99)
	b.good(caw(7), join(old, fresh))
	require.Equal(t, fresh, b.at(7, 1))
	require.Zero(t, b.medium.durable)
	for _, at := range []int{0, 1, 300, 511} {
		wrong := append([]byte{}, fresh...)
		wrong[at] ^= 0x80
		b.refused(ErrMiscompare.WithInfo(uint64(at)), caw(7), join(wrong, old))
		require.Equal(t, fresh, b.at(7, 1), "nothing written")
	}
	b.good("89 08 0000000000000007 000000 01 00 00", join(fresh, old))
	require.Equal(t, 1, b.medium.durable, "FUA")
	b.refused(ErrInvalidField.AtCDB(13, 7), "89 00 0000000000000007 000000 02 00 00", make([]byte, 2048))
	b.refused(ErrInvalidField.AtCDB(1, 5), "89 20 0000000000000007 000000 01 00 00", make([]byte, 1024))
	b.refused(ErrInvalidField.AtCDB(12, 0), "89 00 0000000000000007 000001 01 00 00", make([]byte, 1024))
	b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), caw(benchBlocks), make([]byte, 1024))
	for _, n := range []int{0, 512, 1023, 1025, 2048} {
		b.refused(ErrInvalidIU, caw(7), make([]byte, n))
	}
	require.EqualValues(t, maxCompareBlocks, b.in("12 01 b0 00 ff 00")[5])
}

func TestOrWrite(t *testing.T) {
	b := newBench(t)
	have, or := bytes.Clone(b.fill(7, 2)), pattern(1024, 99)
	b.good("8b 00 0000000000000007 00000002 00 00", or)
	for i := range have {
		have[i] |= or[i]
	}
	require.Equal(t, have, b.at(7, 2))
	b.refused(ErrInvalidIU, "8b 00 0000000000000007 00000002 00 00", or[:512])
	b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), "8b 00 0000000000000fff 00000002 00 00", or)
}

// While a COMPARE AND WRITE stands between its read and its write, nothing
// that overlaps gets in, on any path, and everything else does.
func TestCompareAndWriteIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		other := b.attach("iqn.2026-11.test:b")
		hold := make(chan struct{})
		var stop atomic.Bool
		stop.Store(true)
		b.medium.before = func(op string, off, _ int64) {
			if op == "write" && off == 7*512 && stop.CompareAndSwap(true, false) {
				<-hold
			}
		}
		var ended [7]atomic.Bool
		start := func(i int, cdb string, out []byte) {
			go func() {
				r := b.through(other, 0, cdb, out, 512)
				require.Equal(t, Good, r.Status, cdb)
				ended[i].Store(true)
			}()
			synctest.Wait()
		}
		start(0, caw(7), make([]byte, 1024))
		start(1, "28 00 00000007 00 0001 00", nil)
		start(2, "2a 00 00000007 00 0001 00", make([]byte, 512))
		start(3, caw(7), make([]byte, 1024))
		start(4, "93 01 0000000000000000 00000010 00 00", nil)
		start(5, "8f 00 0000000000000006 00000003 00 00", nil)
		start(6, "2a 00 00000800 00 0001 00", make([]byte, 512)) // 1 MiB away
		for i := range 6 {
			require.False(t, ended[i].Load(), i)
		}
		require.True(t, ended[6].Load())
		close(hold)
		synctest.Wait()
		for i := range ended {
			require.True(t, ended[i].Load(), i)
		}
	})
}

// Contenders on several paths count one block up by COMPARE AND WRITE: every
// GOOD is one step, so none was lost.
func TestCompareAndWriteContention(t *testing.T) {
	b := newBench(t)
	const hosts, rounds = 8, 200
	var wg sync.WaitGroup
	var good atomic.Uint64
	for i := range hosts {
		it := b.attach(fmt.Sprintf("iqn.2026-11.test:h%d", i))
		wg.Go(func() {
			for range rounds {
				r := b.through(it, 0, "28 00 00000007 00 0001 00", nil, 512)
				have := bytes.Clone(r.In)
				r.Reset()
				next := bytes.Clone(have)
				binary.BigEndian.PutUint64(next, binary.BigEndian.Uint64(have)+1)
				if b.through(it, 0, caw(7), join(have, next), 0).Status == Good {
					good.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, good.Load(), binary.BigEndian.Uint64(b.at(7, 1)))
	require.Positive(t, good.Load())
}

func TestStripes(t *testing.T) {
	const perStripe = 1 << (stripeShift - 9)
	require.EqualValues(t, 1, stripes(0, 1, 9))
	require.EqualValues(t, 1, stripes(0, perStripe, 9))
	require.EqualValues(t, 3, stripes(0, perStripe+1, 9))
	require.EqualValues(t, 3, stripes(perStripe-1, 2, 9))
	require.Equal(t, uint64(1<<63|1), stripes(64*perStripe-1, 2, 9), "folded")
	require.Equal(t, ^uint64(0), stripes(5, 64*perStripe, 9))
	require.Equal(t, uint64(1<<63), stripes(1<<52-1, 1, 12), "the end of the largest medium")
	// Overlapping extents always share a stripe.
	r := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		a, n := r.Uint64N(1<<40), 1+r.Uint64N(1<<15)
		x := a + r.Uint64N(n)
		require.NotZero(t, stripes(a, n, 9)&stripes(x, 1+r.Uint64N(1<<15), 9))
	}
}

// Readers and writers of the lock under load: an exclusive holder is alone.
func TestRangeLockExcludes(t *testing.T) {
	l := newRangeLock()
	var shared, exclusive [64]atomic.Int32
	over := func(mask uint64, f func(i int)) {
		for i := range 64 {
			if mask&(1<<i) != 0 {
				f(i)
			}
		}
	}
	var wg sync.WaitGroup
	for g := range 48 { // more than there are slots
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 2000 {
				mask := stripes(r.Uint64N(64)<<7, 1+r.Uint64N(300), 9)
				if g%6 == 0 {
					l.lock(mask)
					over(mask, func(i int) {
						if exclusive[i].Add(1) != 1 || shared[i].Load() != 0 {
							panic("not alone")
						}
					})
					over(mask, func(i int) { exclusive[i].Add(-1) })
					l.unlock(mask)
					continue
				}
				s := l.share(mask)
				over(mask, func(i int) {
					shared[i].Add(1)
					if exclusive[i].Load() != 0 {
						panic("shared with an exclusive holder")
					}
				})
				over(mask, func(i int) { shared[i].Add(-1) })
				l.unshare(s)
			}
		})
	}
	wg.Wait()
	for i := range l.slots {
		require.Zero(t, l.slots[i].mask.Load())
	}
	require.Zero(t, l.exclusive.Load())
	require.Zero(t, l.waiting.Load())
}

func BenchmarkRangeLockShare(b *testing.B) {
	l := newRangeLock()
	b.RunParallel(func(pb *testing.PB) {
		for i := uint64(0); pb.Next(); i++ {
			l.unshare(l.share(stripes(i<<7, 8, 9)))
		}
	})
}

func TestWriteAtomic(t *testing.T) {
	b := newBench(t)
	p := pattern(4*512, 5)
	b.good("9c 00 0000000000000007 0000 0004 00 00", p)
	require.Equal(t, p, b.at(7, 4))
	require.Zero(t, b.medium.syncs)
	b.good("9c 18 0000000000000008 0000 0001 3f 00", p[:512])
	require.Equal(t, 1, b.medium.syncs, "FUA")
	b.good("9c 00 0000000000000fff 0000 0000 00 00", nil)
	b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), "9c 00 0000000000001000 0000 0000 00 00", nil)
	b.refused(ErrInvalidField.AtCDB(10, 1), "9c 00 0000000000000007 0200 0004 00 00", p)
	b.refused(ErrInvalidField.AtCDB(1, 5), "9c 20 0000000000000007 0000 0004 00 00", p)
	b.refused(ErrInvalidIU, "9c 00 0000000000000007 0000 0004 00 00", p[:1024])
	b.refused(ErrInvalidField.AtCDB(12, 7), "9c 00 0000000000000000 0000 4001 00 00", nil)
	b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks), "9c 00 0000000000000fff 0000 0002 00 00", p[:1024])
	b.refused(ErrLBAOutOfRange.WithInfo(benchBlocks+1), "9c 00 0000000000001001 0000 0000 00 00", nil)
	b.medium.writeErr = syscall.EIO
	b.refused(ErrWriteError.WithInfo(7), "9c 00 0000000000000007 0000 0004 00 00", p)
}

// What the medium writes untorn is what page B0h tells and the command takes;
// where it promises nothing, or nothing that blocks can express, there is no
// such command.
func TestWriteAtomicIsAsLargeAsTheMediumsPromise(t *testing.T) {
	const one, two = "9c 00 0000000000000000 0000 0008 00 00", "9c 00 0000000000000000 0000 0010 00 00"
	for name, c := range map[string]struct {
		unit, most   int64
		block        int
		unit2, most2 uint32
	}{
		"any":                      {1, math.MaxInt64, 512, 0, 0x4000},
		"any, in large blocks":     {1, math.MaxInt64, 4096, 0, 0x800},
		"one size":                 {4096, 4096, 512, 8, 8},
		"the block":                {4096, 4096, 4096, 0, 1},
		"multiples":                {4096, 10000, 512, 8, 16},
		"less than a block":        {512, 512, 4096, 0, 0},
		"blocks of smaller units":  {512, 8192, 4096, 0, 2},
		"not in whole blocks":      {1536, 6144, 512, 3, 12},
		"a unit that no block has": {3000, 9000, 512, 0, 0},
		"nothing":                  {1, 0, 512, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMem(benchBlocks * 512)
			m.atomicUnit, m.atomicMost = c.unit, c.most
			b := newBenchOn(t, m, m, func(u *UnitConfig) { u.BlockSize = c.block })
			limits := b.in("12 01 b0 00 ff 00")
			require.Equal(t, c.most2, binary.BigEndian.Uint32(limits[44:]), "maximum")
			require.Equal(t, c.unit2, binary.BigEndian.Uint32(limits[48:]), "alignment")
			require.Equal(t, c.unit2, binary.BigEndian.Uint32(limits[52:]), "granularity")
			require.Equal(t, make([]byte, 8), limits[56:64], "boundaries")
			known := b.in("a3 0c 01 9c 0000 00000100 00 00")[1]
			if c.most2 == 0 {
				require.EqualValues(t, notSupported, known)
				b.refused(ErrInvalidOpcode, one, make([]byte, 4096))
				return
			}
			require.EqualValues(t, supported, known)
		})
	}
	m := newMem(benchBlocks * 512)
	m.atomicUnit, m.atomicMost = 4096, 4096
	b := newBenchOn(t, m, m)
	b.good(one, pattern(4096, 1))
	b.refused(ErrInvalidField.AtCDB(12, 7), two, make([]byte, 8192))
	b.refused(ErrInvalidField.AtCDB(12, 7), "9c 00 0000000000000000 0000 0007 00 00", make([]byte, 7*512))
	b.refused(ErrInvalidField.AtCDB(2, 7), "9c 00 0000000000000001 0000 0008 00 00", make([]byte, 4096))
}

// No reader sees a part of it, and of two that overlap one is first.
func TestWriteAtomicIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		other := b.attach("iqn.2026-11.test:b")
		hold := make(chan struct{})
		b.medium.before = func(op string, _, _ int64) {
			if op == "atomic" {
				<-hold
			}
		}
		fresh := pattern(8*512, 3)
		var done atomic.Int32
		go func() { b.good("9c 00 0000000000000000 0000 0008 00 00", fresh); done.Add(1) }()
		synctest.Wait()
		for _, cdb := range []string{"28 00 00000004 00 0008 00", "88 00 0000000000000007 00000001 00 00"} {
			go func() {
				r := b.through(other, 0, cdb, nil, 8*512)
				require.Equal(t, fresh[7*512:], r.In[(7-int(r.lba()))*512:][:512])
				done.Add(1)
			}()
		}
		synctest.Wait()
		require.Zero(t, done.Load())
		close(hold)
		synctest.Wait()
		require.EqualValues(t, 3, done.Load())
	})
}
