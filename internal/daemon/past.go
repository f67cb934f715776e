package daemon

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"nas-target/internal/admin"
)

const (
	// pastStep and pastSpan are how often and how far back what the units do is
	// remembered, for whoever opens the page and asks what just happened.
	pastStep = 5 * time.Second
	pastSpan = 10 * time.Minute
)

// past remembers what the units did in the last minutes.
type past struct {
	mu    sync.Mutex
	units map[string]*unitPast
}

type unitPast struct {
	last   sample
	points []admin.Moment // oldest first
}

// note takes the counters of a unit into account.
func (p *past) note(unit string, now sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.units == nil {
		p.units = map[string]*unitPast{}
	}
	u := p.units[unit]
	if u == nil {
		p.units[unit] = &unitPast{last: now}
		return
	}
	rate := between(u.last, now)
	u.last = now
	if rate == nil {
		u.points = nil // another unit of that name
		return
	}
	u.points = append(u.points, admin.Moment{Time: now.at, Rate: *rate})
	for now.at.Sub(u.points[0].Time) > pastSpan {
		u.points = u.points[1:]
	}
}

// forget drops the units that were not noted at at: they are gone.
func (p *past) forget(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, u := range p.units {
		if u.last.at.Before(at) {
			delete(p.units, name)
		}
	}
}

func (p *past) list() []admin.Past {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []admin.Past{}
	for name, u := range p.units {
		all = append(all, admin.Past{LUN: name, Points: append([]admin.Moment{}, u.points...)})
	}
	slices.SortFunc(all, func(a, b admin.Past) int { return strings.Compare(a.LUN, b.LUN) })
	return all
}

// remember begins to note what the units do, and to tell at intervals what the
// log left out; stop ends that.
func (d *Daemon) remember() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.noteUnits(ctx)
	}()
	return func() { cancel(); <-done }
}

func (d *Daemon) noteUnits(ctx context.Context) {
	tick := time.NewTicker(pastStep)
	defer tick.Stop()
	told := time.Now()
	defer func() { d.news.left.tell(d.news.log) }()
	for {
		now := time.Now()
		if now.Sub(told) >= sampleSpan {
			d.news.left.tell(d.news.log)
			told = now
		}
		for name, u := range d.now.Load().units {
			d.past.note(name, sample{now, u.scsi.State().Total})
		}
		d.past.forget(now)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Past implements admin.Control.
func (c *control) Past(context.Context) []admin.Past { return c.d.past.list() }
