package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets whose width grows with the value: 64 per
// power of two, so that a percentile is at most 1.6 % too high. The zero value is
// empty. It is not safe for concurrent use.
type Histogram struct {
	count    uint64
	sum      uint64 // nanoseconds
	min, max uint64
	buckets  [histogramBuckets]uint64
}

const (
	histogramSub     = 64
	histogramSubBits = 6
	// Up to 2^40 ns, 18 minutes; longer ones fall into the last bucket.
	histogramBuckets = (40 - histogramSubBits + 1) * histogramSub
)

// bucket returns the index of a value. Values below 128 have a bucket each; above,
// the seven leading bits choose.
func bucket(ns uint64) int {
	shift := max(0, bits.Len64(ns)-histogramSubBits-1)
	return min(shift*histogramSub+int(ns>>shift), histogramBuckets-1)
}

// upper is the largest value of a bucket.
func upper(i int) uint64 {
	if i < 2*histogramSub {
		return uint64(i)
	}
	shift := i/histogramSub - 1
	return uint64(i-shift*histogramSub+1)<<shift - 1
}

// Record adds one duration.
func (h *Histogram) Record(d time.Duration) {
	ns := uint64(max(d, 0))
	if h.count == 0 || ns < h.min {
		h.min = ns
	}
	h.max = max(h.max, ns)
	h.count++
	h.sum += ns
	h.buckets[bucket(ns)]++
}

// Merge adds all of other.
func (h *Histogram) Merge(other *Histogram) {
	if other.count == 0 {
		return
	}
	if h.count == 0 || other.min < h.min {
		h.min = other.min
	}
	h.max = max(h.max, other.max)
	h.count += other.count
	h.sum += other.sum
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
}

// Count is the number of durations.
func (h *Histogram) Count() uint64 { return h.count }

// Percentile returns the duration that p percent do not exceed.
func (h *Histogram) Percentile(p float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := max(1, uint64(float64(h.count)*p/100+0.5))
	var seen uint64
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			if i == histogramBuckets-1 {
				break
			}
			return time.Duration(min(upper(i), h.max))
		}
	}
	return time.Duration(h.max)
}

// Latency is the summary of a histogram, in microseconds.
type Latency struct {
	Mean float64 `json:"mean_us"`
	Min  float64 `json:"min_us"`
	P50  float64 `json:"p50_us"`
	P90  float64 `json:"p90_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p99_9_us"`
	Max  float64 `json:"max_us"`
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }

// Latency summarises.
func (h *Histogram) Latency() Latency {
	if h.count == 0 {
		return Latency{}
	}
	return Latency{
		Mean: float64(h.sum) / float64(h.count) / 1e3, Min: float64(h.min) / 1e3,
		P50: micros(h.Percentile(50)), P90: micros(h.Percentile(90)), P99: micros(h.Percentile(99)),
		P999: micros(h.Percentile(99.9)), Max: float64(h.max) / 1e3,
	}
}
