package backtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"nas-target/internal/backstore"

	"github.com/stretchr/testify/require"
)

// Traits tell Run what a kind of store promises beyond the contract, or does
// not.
type Traits struct {
	// Reopen opens once more the medium of the last store that open returned.
	// nil: nothing survives Close.
	Reopen func(testing.TB) (backstore.Store, error)
	// Forgets is true for a store that reads zeros whatever was written.
	Forgets bool
	// Fixed is true when Resize cannot make the medium longer.
	Fixed bool
	// Opaque is true for a medium that does not tell which parts of it are
	// used.
	Opaque bool
	// Exclusive is true when nobody can open the medium a second time.
	Exclusive bool
}

// Run checks the contract of package backstore. open returns a fresh store of
// at least 1 MiB that reads as zeros; Run closes it.
func Run(t *testing.T, open func(testing.TB) backstore.Store, tr Traits) {
	tests := []struct {
		name string
		run  func(*testing.T, *subject)
	}{
		{"FreshReadsZeros", testFresh},
		{"RangesAreChecked", testRanges},
		{"ZeroLength", testZeroLength},
		{"Boundaries", testBoundaries},
		{"BuffersAreTheCallers", testBuffers},
		{"TryRead", testTryRead},
		{"WriteDurable", testWriteDurable},
		{"WriteAtomic", testWriteAtomic},
		{"DiscardEdges", testDiscardEdges},
		{"DiscardFrees", testDiscardFrees},
		{"Extents", testExtents},
		{"CopyOverlaps", testCopy},
		{"RandomOperations", testModel},
		{"ConcurrentNeighbours", testNeighbours},
		{"ConcurrentOverlap", testOverlap},
		{"ConcurrentEverything", testStorm},
		{"Sync", testSync},
		{"Resize", testResize},
		{"Geometry", testGeometry},
		{"Reopen", testReopen},
		{"Exclusive", testExclusive},
		{"Closed", testClosed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			sub := &subject{Store: s, traits: tr, size: s.Size()}
			sub.abilities()
			require.GreaterOrEqual(t, sub.size, int64(1<<20), "the suite needs 1 MiB")
			defer func() {
				if !sub.closed {
					require.NoError(t, sub.Close())
				}
			}()
			test.run(t, sub)
		})
	}
}

// The optional abilities, looked up as a caller would.
type (
	tryReader interface {
		TryReadAt(p []byte, off int64) (bool, error)
	}
	durableWriter interface {
		WriteDurable(p []byte, off int64) error
	}
	atomicWriter interface {
		WriteAtomic(p []byte, off int64) error
		Atomic() (unit, most int64)
	}
	discarder interface {
		Discard(off, n int64) error
	}
	zeroer interface {
		WriteZeros(off, n int64) error
	}
	extenter interface {
		NextExtent(off int64) (int64, bool, error)
	}
	copier interface {
		CopyRange(dst, src, n int64) (int64, error)
	}
	describer interface {
		Geometry() backstore.Geometry
	}
	allocator interface {
		Allocated() (int64, error)
	}
	resizer interface {
		Resize(n int64) error
	}
)

// subject is the store under test with what it can do; an ability it lacks is
// nil.
type subject struct {
	backstore.Store
	traits Traits
	size   int64
	closed bool

	try      tryReader
	durable  durableWriter
	atomic   atomicWriter
	discard  discarder
	zero     zeroer
	extent   extenter
	copier   copier
	describe describer
	alloc    allocator
	resize   resizer
}

func (s *subject) abilities() {
	s.try, _ = s.Store.(tryReader)
	s.durable, _ = s.Store.(durableWriter)
	s.atomic, _ = s.Store.(atomicWriter)
	s.discard, _ = s.Store.(discarder)
	s.zero, _ = s.Store.(zeroer)
	s.extent, _ = s.Store.(extenter)
	s.copier, _ = s.Store.(copier)
	s.describe, _ = s.Store.(describer)
	s.alloc, _ = s.Store.(allocator)
	s.resize, _ = s.Store.(resizer)
}

// Close may be called once; Run does it if the test did not.
func (s *subject) Close() error {
	s.closed = true
	return s.Store.Close()
}

// pattern makes n bytes whose period no block size divides, so that data in
// the wrong place shows.
func pattern(seed uint64, n int) []byte {
	const period = 1021
	r := rand.NewPCG(seed, seed)
	p := make([]byte, n)
	for i := range min(n, period) {
		p[i] = byte(r.Uint64())
	}
	for done := period; done < n; done *= 2 {
		copy(p[done:], p[:done])
	}
	return p
}

func (s *subject) write(t *testing.T, p []byte, off int64) {
	t.Helper()
	n, err := s.WriteAt(p, off)
	require.NoError(t, err, "write of %d at %d", len(p), off)
	require.Equal(t, len(p), n)
}

func (s *subject) read(t *testing.T, off int64, n int) []byte {
	t.Helper()
	p := bytes.Repeat([]byte{0xdb}, n)
	got, err := s.ReadAt(p, off)
	require.NoError(t, err, "read of %d at %d", n, off)
	require.Equal(t, n, got)
	return p
}

// want is what the store must read after p was written.
func (s *subject) want(p []byte) []byte {
	if s.traits.Forgets {
		return make([]byte, len(p))
	}
	return p
}

// same compares without printing megabytes.
func same(t require.TestingT, want, got []byte, msg string, args ...any) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	if bytes.Equal(want, got) {
		return
	}
	require.Equal(t, len(want), len(got), fmt.Sprintf(msg, args...))
	i := 0
	for want[i] == got[i] {
		i++
	}
	end := min(i+16, len(want))
	require.Equal(t, want[i:end], got[i:end], "%s: first difference at byte %d", fmt.Sprintf(msg, args...), i)
}

func testFresh(t *testing.T, s *subject) {
	same(t, make([]byte, s.size), s.read(t, 0, int(s.size)), "fresh store")
}

// everyOp calls f for each operation on a range that the store can do.
func (s *subject) everyOp(f func(name string, op func(off, n int64) error)) {
	buf := func(n int64) []byte { return bytes.Repeat([]byte{0x5a}, int(max(0, min(n, 4096)))) }
	f("read", func(off, n int64) error { _, err := s.ReadAt(buf(n), off); return err })
	f("write", func(off, n int64) error { _, err := s.WriteAt(buf(n), off); return err })
	if s.try != nil {
		f("try read", func(off, n int64) error {
			ok, err := s.try.TryReadAt(buf(n), off)
			if !ok {
				_, err = s.ReadAt(buf(n), off)
			}
			return err
		})
	}
	if s.durable != nil {
		f("write durable", func(off, n int64) error { return s.durable.WriteDurable(buf(n), off) })
	}
	if s.discard != nil {
		f("discard", s.discard.Discard)
	}
	if s.zero != nil {
		f("write zeros", s.zero.WriteZeros)
	}
	if s.copier != nil {
		f("copy to", func(off, n int64) error { _, err := s.copier.CopyRange(off, 0, n); return err })
		f("copy from", func(off, n int64) error { _, err := s.copier.CopyRange(0, off, n); return err })
	}
}

func testRanges(t *testing.T, s *subject) {
	before := pattern(1, int(s.size))
	s.write(t, before, 0)
	const maxInt = 1<<63 - 1
	s.everyOp(func(name string, op func(off, n int64) error) {
		for _, off := range []int64{-1, -512, -maxInt - 1, s.size, s.size + 1, s.size + 512, 1 << 62, maxInt, maxInt - 511} {
			require.ErrorIs(t, op(off, 512), backstore.ReasonOutOfRange, "%s of 512 at %d", name, off)
		}
		for _, n := range []int64{2, 512, 4096} {
			require.ErrorIs(t, op(s.size-n+1, n), backstore.ReasonOutOfRange, "%s of %d, one byte too far", name, n)
		}
	})
	lengths := []int64{-1, s.size + 1, maxInt, -maxInt - 1}
	if s.discard != nil {
		for _, n := range lengths {
			require.ErrorIs(t, s.discard.Discard(0, n), backstore.ReasonOutOfRange, "discard of %d", n)
			require.ErrorIs(t, s.discard.Discard(512, n), backstore.ReasonOutOfRange, "discard of %d", n)
		}
	}
	if s.zero != nil {
		for _, n := range lengths {
			require.ErrorIs(t, s.zero.WriteZeros(0, n), backstore.ReasonOutOfRange, "zeros of %d", n)
		}
	}
	if s.copier != nil {
		for _, n := range lengths {
			_, err := s.copier.CopyRange(512, 0, n)
			require.ErrorIs(t, err, backstore.ReasonOutOfRange, "copy of %d", n)
		}
	}
	if s.extent != nil {
		for _, off := range []int64{-1, s.size, s.size + 1, maxInt} {
			_, _, err := s.extent.NextExtent(off)
			require.ErrorIs(t, err, backstore.ReasonOutOfRange, "extent at %d", off)
		}
	}
	same(t, s.want(before), s.read(t, 0, int(s.size)), "after refused calls")
}

func testZeroLength(t *testing.T, s *subject) {
	before := pattern(2, int(s.size))
	s.write(t, before, 0)
	s.everyOp(func(name string, op func(off, n int64) error) {
		for _, off := range []int64{0, 1, 512, s.size - 1, s.size} {
			require.NoError(t, op(off, 0), "%s of nothing at %d", name, off)
		}
	})
	same(t, s.want(before), s.read(t, 0, int(s.size)), "after calls of length zero")
}

func testBoundaries(t *testing.T, s *subject) {
	model := make([]byte, s.size)
	seed := uint64(10)
	for _, edge := range []int64{0, 512, 4096, 16 << 10, 64 << 10, 256 << 10, s.size} {
		for _, delta := range []int64{-4096, -513, -512, -1, 0, 1, 511, 512} {
			for _, n := range []int64{1, 511, 512, 513, 4096, 4097, 70_000, 300_000} {
				off := edge + delta
				if off < 0 || off+n > s.size {
					continue
				}
				seed++
				p := pattern(seed, int(n))
				s.write(t, p, off)
				copy(model[off:], p)
				same(t, s.want(p), s.read(t, off, int(n)), "%d bytes at %d", n, off)
			}
		}
	}
	same(t, s.want(model), s.read(t, 0, int(s.size)), "whole store")
}

func testBuffers(t *testing.T, s *subject) {
	p := pattern(3, 9000)
	for _, off := range []int64{0, 100} {
		q := bytes.Clone(p)
		s.write(t, q, off)
		same(t, p, q, "the buffer of a write at %d", off)
		clear(q)
		same(t, s.want(p), s.read(t, off, len(p)), "after the caller used its buffer again")
	}
}

func testTryRead(t *testing.T, s *subject) {
	if s.try == nil {
		return
	}
	p := pattern(4, 64<<10)
	s.write(t, p, 4096)
	for _, n := range []int{1, 512, 4096, 64 << 10} {
		q := make([]byte, n)
		ok, err := s.try.TryReadAt(q, 4096)
		require.NoError(t, err)
		if ok {
			same(t, s.want(p[:n]), q, "TryReadAt of %d", n)
		}
	}
}

func testWriteDurable(t *testing.T, s *subject) {
	if s.durable == nil {
		return
	}
	for i, n := range []int{1, 512, 4096, 5000, 64 << 10, 300_000} {
		p := pattern(uint64(20+i), n)
		require.NoError(t, s.durable.WriteDurable(p, 777))
		same(t, s.want(p), s.read(t, 777, n), "durable write of %d", n)
	}
}

// What is not promised is refused, and writes nothing.
func testWriteAtomic(t *testing.T, s *subject) {
	if s.atomic == nil {
		return
	}
	unit, most := s.atomic.Atomic()
	before := pattern(30, int(s.size))
	s.write(t, before, 0)
	if most == 0 {
		require.Error(t, s.atomic.WriteAtomic(pattern(31, 4096), 0))
		same(t, s.want(before), s.read(t, 0, int(s.size)), "after refused calls")
		return
	}
	require.Positive(t, unit)
	if unit > 1 {
		require.Error(t, s.atomic.WriteAtomic(pattern(31, int(unit)), unit/2), "offset")
		require.Error(t, s.atomic.WriteAtomic(pattern(31, int(unit/2)), 0), "length")
	}
	if most < s.size {
		require.Error(t, s.atomic.WriteAtomic(pattern(31, int(most+unit)), 0), "too long")
	}
	require.ErrorIs(t, s.atomic.WriteAtomic(pattern(31, int(unit)), s.size), backstore.ReasonOutOfRange)
	same(t, s.want(before), s.read(t, 0, int(s.size)), "after refused calls")
	for i, n := range []int64{unit, min(most, s.size/2) / unit * unit} {
		p := pattern(uint64(32+i), int(n)+1)[1:] // at an odd address
		require.NoError(t, s.atomic.WriteAtomic(p, unit))
		copy(before[unit:], p)
		same(t, s.want(before), s.read(t, 0, int(s.size)), "%d bytes", n)
	}
}

func testDiscardEdges(t *testing.T, s *subject) {
	for name, zero := range map[string]func(off, n int64) error{"discard": s.discardFunc(), "write zeros": s.zeroFunc()} {
		if zero == nil {
			continue
		}
		for _, r := range [][2]int64{{0, 1}, {0, 4096}, {1, 4096}, {511, 2}, {512, 512}, {4095, 4098}, {4096, 4096}, {100, 200_000}, {65_535, 65_538}, {0, s.size}, {s.size - 1, 1}, {s.size - 5000, 5000}} {
			model := pattern(5, int(s.size))
			s.write(t, model, 0)
			require.NoError(t, zero(r[0], r[1]), "%s %v", name, r)
			clear(model[r[0] : r[0]+r[1]])
			same(t, s.want(model), s.read(t, 0, int(s.size)), "%s %v", name, r)
		}
	}
}

func (s *subject) discardFunc() func(off, n int64) error {
	if s.discard == nil {
		return nil
	}
	return s.discard.Discard
}

func (s *subject) zeroFunc() func(off, n int64) error {
	if s.zero == nil {
		return nil
	}
	return s.zero.WriteZeros
}

func testDiscardFrees(t *testing.T, s *subject) {
	if s.discard == nil || s.alloc == nil || s.describe == nil || !s.describe.Geometry().Thin || s.traits.Forgets || s.traits.Opaque {
		return
	}
	s.write(t, pattern(6, int(s.size)), 0)
	require.NoError(t, s.Sync()) // delayed allocation counts from here
	full, err := s.alloc.Allocated()
	require.NoError(t, err)
	require.GreaterOrEqual(t, full, s.size)
	require.NoError(t, s.discard.Discard(0, s.size/2))
	require.NoError(t, s.Sync())
	half, err := s.alloc.Allocated()
	require.NoError(t, err)
	require.LessOrEqual(t, half, full-s.size/2+s.size/16, "half of the store was given back")
}

func testExtents(t *testing.T, s *subject) {
	if s.extent == nil {
		return
	}
	s.tileExtents(t)
	s.write(t, pattern(7, 100_000), 200_001)
	s.tileExtents(t)
	if s.traits.Forgets || s.traits.Opaque {
		return
	}
	_, mapped, err := s.extent.NextExtent(200_001)
	require.NoError(t, err)
	require.True(t, mapped, "what was written is mapped")
	if s.discard != nil && s.describe != nil && s.describe.Geometry().Thin {
		require.NoError(t, s.discard.Discard(0, s.size))
		n, mapped, err := s.extent.NextExtent(0)
		require.NoError(t, err)
		require.False(t, mapped)
		require.Equal(t, s.size, n, "all was given back")
	}
}

// tileExtents checks that extents cover the store without a gap, and that what
// is not mapped reads as zeros.
func (s *subject) tileExtents(t *testing.T) {
	t.Helper()
	for off := int64(0); off < s.size; {
		n, mapped, err := s.extent.NextExtent(off)
		require.NoError(t, err)
		require.Positive(t, n)
		require.LessOrEqual(t, off+n, s.size)
		if !mapped {
			same(t, make([]byte, n), s.read(t, off, int(n)), "unmapped extent at %d", off)
		}
		off += n
	}
}

func testCopy(t *testing.T, s *subject) {
	if s.copier == nil {
		return
	}
	for _, c := range []struct{ dst, src, n int64 }{
		{0, s.size / 2, s.size / 2}, {s.size / 2, 0, s.size / 2}, {10, 0, 1000}, {0, 10, 1000}, {5, 5, 5000},
		{4096, 0, s.size - 4096}, {0, 4096, s.size - 4096}, {1, 0, s.size - 1}, {0, 1, s.size - 1}, {700_000, 3, 100_000},
	} {
		model := pattern(8, int(s.size))
		s.write(t, model, 0)
		if s.discard != nil {
			require.NoError(t, s.discard.Discard(40_000, 60_000))
			clear(model[40_000:100_000])
		}
		n, err := s.copier.CopyRange(c.dst, c.src, c.n)
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.n, n)
		copy(model[c.dst:c.dst+c.n], bytes.Clone(model[c.src:c.src+c.n]))
		same(t, s.want(model), s.read(t, 0, int(s.size)), "copy %+v", c)
	}
}

func testSync(t *testing.T, s *subject) {
	require.NoError(t, s.Sync())
	s.write(t, pattern(9, 4096), 0)
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() { errs[i] = s.Sync() })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func testGeometry(t *testing.T, s *subject) {
	if s.describe == nil {
		return
	}
	g := s.describe.Geometry()
	for name, n := range map[string]int{"LogicalBlock": g.LogicalBlock, "PhysicalBlock": g.PhysicalBlock} {
		require.Zero(t, n&(n-1), "%s is a power of two or nothing", name)
	}
	for _, n := range []int64{g.Alignment, int64(g.MinIO), int64(g.OptimalIO), g.DiscardGranularity, g.DiscardAlignment, g.MaxDiscard} {
		require.GreaterOrEqual(t, n, int64(0))
	}
	require.Equal(t, g, s.describe.Geometry(), "geometry is constant")
}

func testResize(t *testing.T, s *subject) {
	if s.resize == nil {
		return
	}
	before := pattern(11, int(s.size))
	s.write(t, before, 0)
	require.NoError(t, s.resize.Resize(s.size), "to the size it has")
	for _, n := range []int64{s.size - 4096, 4096, 0, -1, -1 << 62} {
		require.Error(t, s.resize.Resize(n), "to %d", n)
		require.Equal(t, s.size, s.Size())
	}
	require.ErrorIs(t, s.resize.Resize(s.size/2), backstore.ReasonShrinkRefused)
	if !s.traits.Fixed {
		grown := s.size + 1<<20
		require.NoError(t, s.resize.Resize(grown))
		require.Equal(t, grown, s.Size())
		same(t, make([]byte, 1<<20), s.read(t, s.size, 1<<20), "new space")
		p := pattern(12, 4096)
		s.write(t, p, grown-4096)
		same(t, s.want(p), s.read(t, grown-4096, 4096), "the new end")
	}
	same(t, s.want(before), s.read(t, 0, int(s.size)), "old data")
}

func testReopen(t *testing.T, s *subject) {
	if s.traits.Reopen == nil {
		return
	}
	p := pattern(13, int(s.size))
	s.write(t, p, 0)
	if s.discard != nil {
		require.NoError(t, s.discard.Discard(8192, 8192))
		clear(p[8192 : 2*8192])
	}
	require.NoError(t, s.Sync())
	require.NoError(t, s.Close())
	again, err := s.traits.Reopen(t)
	require.NoError(t, err)
	defer func() { require.NoError(t, again.Close()) }()
	require.Equal(t, s.size, again.Size())
	got := make([]byte, s.size)
	_, err = again.ReadAt(got, 0)
	require.NoError(t, err)
	same(t, p, got, "after closing and opening")
}

func testExclusive(t *testing.T, s *subject) {
	if !s.traits.Exclusive {
		return
	}
	_, err := s.traits.Reopen(t)
	require.ErrorIs(t, err, backstore.ReasonLocked)
	s.write(t, pattern(14, 512), 0) // the first one goes on
	require.NoError(t, s.Close())
	again, err := s.traits.Reopen(t)
	require.NoError(t, err, "free after Close")
	require.NoError(t, again.Close())
}

func testClosed(t *testing.T, s *subject) {
	require.NoError(t, s.Close())
	s.everyOp(func(name string, op func(off, n int64) error) {
		require.ErrorIs(t, op(0, 512), backstore.ReasonClosed, name)
	})
	require.ErrorIs(t, s.Sync(), backstore.ReasonClosed)
	if s.extent != nil {
		_, _, err := s.extent.NextExtent(0)
		require.ErrorIs(t, err, backstore.ReasonClosed)
	}
	if s.resize != nil {
		require.ErrorIs(t, s.resize.Resize(s.size), backstore.ReasonClosed)
	}
	require.ErrorIs(t, s.Store.Close(), backstore.ReasonClosed)
}
