package daemon

import (
	"sync"
	"time"

	"nas-target/internal/admin"
	"nas-target/internal/scsi"
)

// rates turns the counters of units into rates. It keeps samples of the last
// seconds, taken when somebody looks: who never looks pays nothing, and the
// first look in a while knows no rate.
type rates struct {
	mu    sync.Mutex
	units map[string][]sample // oldest first
}

type sample struct {
	at    time.Time
	total scsi.Totals
}

const (
	// rateSpan is how far back a rate looks, at most.
	rateSpan = 5 * time.Second
	// rateStep is the least time between two samples that are kept.
	rateStep = time.Second
	// rateMin is the least time that a rate is made of.
	rateMin = 200 * time.Millisecond
)

// note takes a unit's counters into account and returns its rate; nil if
// nothing recent is known to compare with.
func (r *rates) note(unit string, at time.Time, total scsi.Totals) *admin.Rate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.units == nil {
		r.units = map[string][]sample{}
	}
	kept := r.units[unit]
	for len(kept) > 0 && at.Sub(kept[0].at) > rateSpan {
		kept = kept[1:]
	}
	var rate *admin.Rate
	if len(kept) > 0 && at.Sub(kept[0].at) >= rateMin {
		rate = between(kept[0], sample{at, total})
	}
	if len(kept) == 0 || at.Sub(kept[len(kept)-1].at) >= rateStep {
		kept = append(kept, sample{at, total})
	}
	r.units[unit] = kept
	return rate
}

// between is what a unit did from a to b; nil if they are of two units that had
// the name one after the other.
func between(a, b sample) *admin.Rate {
	if b.total.ReadBytes < a.total.ReadBytes || b.total.WriteBytes < a.total.WriteBytes {
		return nil
	}
	s := b.at.Sub(a.at).Seconds()
	per := func(f func(*scsi.Totals) uint64) float64 { return float64(f(&b.total)-f(&a.total)) / s }
	mean := func(c scsi.OpClass) float64 {
		n := b.total.Latency[c].Count() - a.total.Latency[c].Count()
		if n == 0 {
			return 0
		}
		return float64(b.total.Latency[c].Nanoseconds-a.total.Latency[c].Nanoseconds) / float64(n) / 1e9
	}
	return &admin.Rate{
		Reads:       per(func(t *scsi.Totals) uint64 { return t.Commands[scsi.ClassRead] }),
		Writes:      per(func(t *scsi.Totals) uint64 { return t.Commands[scsi.ClassWrite] }),
		ReadBytes:   per(func(t *scsi.Totals) uint64 { return t.ReadBytes }),
		WriteBytes:  per(func(t *scsi.Totals) uint64 { return t.WriteBytes }),
		ReadLatency: mean(scsi.ClassRead), WriteLatency: mean(scsi.ClassWrite),
	}
}
