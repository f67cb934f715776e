package iscsi

import (
	"net/netip"
	"sync"
	"time"
)

// gate bounds what peers can cost before they have proven anything: how many
// of them are in login, in total and from one source, and how often one source
// may fail. A source is an IPv4 address or an IPv6 /64.
type gate struct {
	mu      sync.Mutex
	waiting int
	sources map[netip.Prefix]*source
}

type source struct {
	waiting  int
	failures float64   // as of at; they fade with time
	at       time.Time // of the last failure
}

func sourceOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// enter lets a connection begin its login, or says why not.
func (g *gate) enter(o *Options, from netip.Addr, now time.Time) Reason {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := sourceOf(from)
	s := g.sources[p]
	switch {
	case g.waiting >= o.MaxLogins:
		return ReasonTooManyLogins
	case s != nil && s.waiting >= o.MaxLoginsPerSource:
		return ReasonTooManyLoginsFromSource
	case s != nil && s.faded(o, now) >= float64(o.LoginFailures):
		return ReasonLoginBackOff
	}
	if s == nil {
		s = &source{}
		if g.sources == nil {
			g.sources = map[netip.Prefix]*source{}
		}
		g.sources[p] = s
	}
	g.waiting++
	s.waiting++
	return ""
}

// faded returns how many failures still count: LoginFailures fade in a minute.
func (s *source) faded(o *Options, now time.Time) float64 {
	return max(0, s.failures-float64(o.LoginFailures)*now.Sub(s.at).Minutes())
}

// leave ends a login; failed says that it counts against the source.
func (g *gate) leave(o *Options, from netip.Addr, now time.Time, failed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := sourceOf(from)
	s := g.sources[p]
	g.waiting--
	s.waiting--
	if failed {
		s.failures, s.at = s.faded(o, now)+1, now
	}
	if s.waiting == 0 && s.faded(o, now) == 0 {
		delete(g.sources, p)
	}
	if len(g.sources) > 2*maxSources {
		g.tidy(o, now)
	}
}

// maxSources is how many sources that failed are remembered at least.
const maxSources = 4096

// tidy forgets the sources that need not be remembered, and as many others as
// there are too many.
func (g *gate) tidy(o *Options, now time.Time) {
	for p, s := range g.sources {
		if s.waiting == 0 && s.faded(o, now) == 0 {
			delete(g.sources, p)
		}
	}
	for p, s := range g.sources {
		if len(g.sources) <= maxSources {
			return
		}
		if s.waiting == 0 {
			delete(g.sources, p)
		}
	}
}
