package iscsi

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// gate bounds what peers can cost before they have proven anything: how many
// of them are in login, in total and from one source, and how often one source
// may fail. A source is an IPv4 address or an IPv6 /64: many hosts behind one
// router, or one that floods. So who finds no room is not sent away but stands
// in line, where nothing is read from it and no goroutine is its own: it costs
// its descriptor, a timer and a few words.
type gate struct {
	mu      sync.Mutex
	inside  int // in login
	lined   int // in line
	sources map[netip.Prefix]*source
	turn    []*source // those with a line, whose turn it is first
	shut    bool
}

type source struct {
	prefix   netip.Prefix
	inside   int
	line     []*visitor
	failures float64   // as of at; they fade with time
	at       time.Time // of the last failure
}

// visitor is a connection that is not logged in.
type visitor struct {
	nc       net.Conn
	info     ConnInfo
	patience *time.Timer // in line
}

func sourceOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// enter lets a connection begin its login, puts it in line, or says why it
// cannot stay.
func (g *gate) enter(o *Options, v *visitor, now time.Time) (in bool, why Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := sourceOf(v.info.Remote.Addr())
	s := g.sources[p]
	if s != nil && s.faded(o, now) >= float64(o.LoginFailures) {
		return false, ReasonLoginBackOff
	}
	if s == nil {
		s = &source{prefix: p}
	}
	room := g.inside < o.MaxLogins && s.inside < o.MaxLoginsPerSource
	switch {
	case g.shut:
		return false, ReasonShutdown
	case room:
		g.inside++
		s.inside++
	case len(s.line) >= o.LoginLinePerSource:
		return false, ReasonTooManyLoginsFromSource
	case g.lined >= o.LoginLine:
		return false, ReasonTooManyLogins
	default:
		if len(s.line) == 0 {
			g.turn = append(g.turn, s)
		}
		s.line = append(s.line, v)
		g.lined++
	}
	if g.sources == nil {
		g.sources = map[netip.Prefix]*source{}
	}
	g.sources[p] = s
	return room, ""
}

// faded returns how many failures still count: LoginFailures fade in a minute.
func (s *source) faded(o *Options, now time.Time) float64 {
	return max(0, s.failures-float64(o.LoginFailures)*now.Sub(s.at).Minutes())
}

// leave ends a login; failed says that it counts against the source. It
// returns whose turn it is now, if anybody waited for that, and those who are
// sent away because of the failure.
func (g *gate) leave(o *Options, v *visitor, now time.Time, failed bool) (next *visitor, away []*visitor) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sources[sourceOf(v.info.Remote.Addr())]
	g.inside--
	s.inside--
	if failed {
		s.failures, s.at = s.faded(o, now)+1, now
		if s.failures >= float64(o.LoginFailures) {
			away = s.line
			g.noLine(s)
		}
	}
	next = g.next(o)
	g.forget(o, s, now)
	if len(g.sources) > 2*maxSources {
		g.tidy(o, now)
	}
	return next, away
}

// next takes somebody out of the line. The sources have their turns one after
// the other, so that a long line of one does not hold up the others.
func (g *gate) next(o *Options) *visitor {
	if g.inside >= o.MaxLogins {
		return nil
	}
	for n, s := range g.turn {
		if s.inside >= o.MaxLoginsPerSource {
			continue
		}
		v := s.line[0]
		g.turn = append(slices.Delete(g.turn, n, n+1), s)
		g.unline(s, 0)
		g.inside++
		s.inside++
		return v
	}
	return nil
}

// unline takes the nth out of the line of s.
func (g *gate) unline(s *source, n int) {
	s.line = slices.Delete(s.line, n, n+1)
	g.lined--
	if len(s.line) == 0 {
		g.noLine(s)
	}
}

// noLine ends the line of s.
func (g *gate) noLine(s *source) {
	g.lined -= len(s.line)
	s.line = nil
	if n := slices.Index(g.turn, s); n >= 0 {
		g.turn = slices.Delete(g.turn, n, n+1)
	}
}

// abandon takes v out of the line. It returns false if its turn has come.
func (g *gate) abandon(o *Options, v *visitor, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.sources[sourceOf(v.info.Remote.Addr())]
	if s == nil {
		return false
	}
	n := slices.Index(s.line, v)
	if n < 0 {
		return false
	}
	g.unline(s, n)
	g.forget(o, s, now)
	return true
}

// close lets nobody in any more, and returns those in line.
func (g *gate) close() []*visitor {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	var away []*visitor
	for len(g.turn) > 0 {
		s := g.turn[0]
		away = append(away, s.line...)
		g.noLine(s)
	}
	return away
}

// idle reports whether nothing need be remembered of s.
func (s *source) idle(o *Options, now time.Time) bool {
	return s.inside == 0 && len(s.line) == 0 && s.faded(o, now) == 0
}

func (g *gate) forget(o *Options, s *source, now time.Time) {
	if s.idle(o, now) {
		delete(g.sources, s.prefix)
	}
}

// maxSources is how many sources that failed are remembered at least.
const maxSources = 4096

// tidy forgets the sources that need not be remembered, and as many others as
// there are too many.
func (g *gate) tidy(o *Options, now time.Time) {
	for _, s := range g.sources {
		g.forget(o, s, now)
	}
	for p, s := range g.sources {
		if len(g.sources) <= maxSources {
			return
		}
		if s.inside == 0 && len(s.line) == 0 {
			delete(g.sources, p)
		}
	}
}
