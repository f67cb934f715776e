package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestHistogramBucketsAreContiguous(t *testing.T) {
	last := -1
	for v := uint64(0); v < 1<<18; v++ {
		i := bucket(v)
		switch {
		case i != last && i != last+1:
			t.Fatalf("value %d: bucket %d follows %d", v, i, last)
		case v > upper(i):
			t.Fatalf("value %d is over bucket %d, which ends at %d", v, i, upper(i))
		case i != last && last >= 0 && upper(last) != v-1:
			t.Fatalf("bucket %d ends at %d, the next begins at %d", last, upper(last), v)
		}
		last = i
	}
	require.Equal(t, histogramBuckets-1, bucket(1<<40-1))
	require.Equal(t, histogramBuckets-1, bucket(math.MaxUint64))
}

func TestHistogramPercentiles(t *testing.T) {
	var h Histogram
	require.Zero(t, h.Percentile(50))
	require.Zero(t, h.Latency())
	r := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 20000 {
		d := time.Duration(math.Exp(r.Float64() * 20))
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, p := range []float64{0, 1, 50, 90, 99, 99.9, 100} {
		exact := all[max(0, int(float64(len(all))*p/100+0.5)-1)]
		got := h.Percentile(p)
		require.GreaterOrEqual(t, got, exact)
		require.LessOrEqual(t, float64(got), float64(exact)*1.016+1, "p%v", p)
	}
	require.Equal(t, all[len(all)-1], h.Percentile(100))

	var a, b Histogram
	for i, d := range all {
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Merge(&b)
	a.Merge(new(Histogram))
	require.Equal(t, h, a)
	var slow Histogram
	slow.Record(time.Hour)
	require.Equal(t, time.Hour, slow.Percentile(99))
}

func TestPatternsStayInTheirRange(t *testing.T) {
	w := Workload{Kind: Read, Sessions: 3, Seed: 5}
	var starts []uint64
	for i := range 3 {
		p := newPattern(w, 10, i)
		starts = append(starts, p.place())
		for range 20 {
			at := p.place()
			require.GreaterOrEqual(t, at, p.from)
			require.Less(t, at, p.from+p.places)
		}
	}
	require.Equal(t, []uint64{0, 3, 6}, starts)

	p := newPattern(Workload{Kind: Read, Sessions: 1}, 4, 0)
	var seen []uint64
	for range 6 {
		seen = append(seen, p.place())
	}
	require.Equal(t, []uint64{0, 1, 2, 3, 0, 1}, seen)

	w.Random = true
	hit := map[uint64]bool{}
	p, again := newPattern(w, 10, 1), newPattern(w, 10, 1)
	for range 200 {
		at := p.place()
		require.Equal(t, at, again.place(), "the seed decides")
		require.Less(t, at, uint64(10))
		hit[at] = true
	}
	require.Len(t, hit, 10)
	few := newPattern(Workload{Kind: Read, Sessions: 8}, 2, 7)
	require.EqualValues(t, 2, few.places, "more sessions than places share everything")
}

func TestExplain(t *testing.T) {
	want := stamp{run: 1, lba: 5, session: 2, sequ: 9}
	block := func(s stamp) []byte { b := make([]byte, 512); s.fill(b); return b }
	require.Equal(t, block(want), block(want))
	stale := want
	stale.sequ = 8
	require.Contains(t, explain(block(stale), want), "whole block of LBA 5, session 2, sequence 8")
	other := want
	other.run = 3
	require.Contains(t, explain(block(other), want), "another run")
	require.Contains(t, explain(make([]byte, 512), want), "zeros")
	torn := append(block(want)[:256], block(stale)[256:]...)
	require.Contains(t, explain(torn, want), "torn")
	require.Contains(t, explain([]byte("some file system"+string(make([]byte, 496))), want), "no stamp")
}

// Whatever is queued, in whatever pieces it leaves, the stream is the same.
func TestOutgoingKeepsTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		require.NoError(t, err)
		defer unix.Close(fds[0])
		defer unix.Close(fds[1])
		unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
		var o outgoing
		var want, got []byte
		buf := make([]byte, 1<<16)
		read := func() {
			for {
				n, _ := unix.Read(fds[1], buf)
				if n <= 0 {
					return
				}
				got = append(got, buf[:n]...)
			}
		}
		next := byte(0)
		fill := func(b []byte) []byte {
			for i := range b {
				b[i] = next
				next++
			}
			want = append(want, b...)
			return b
		}
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			for range rapid.IntRange(0, 12).Draw(t, "pieces") {
				if rapid.Bool().Draw(t, "header") {
					fill(o.small(48))
				} else {
					n := rapid.SampledFrom([]int{1, 100, copyLimit, copyLimit + 1, 50000}).Draw(t, "length")
					o.payload(fill(make([]byte, n)))
				}
			}
			_, err := o.flush(fds[0])
			require.NoError(t, err)
			if rapid.Bool().Draw(t, "read") {
				read()
			}
		}
		for !o.empty() {
			read()
			_, err := o.flush(fds[0])
			require.NoError(t, err)
		}
		read()
		require.Equal(t, want, got)
	})
}
