package load

// rng is SplitMix64: two multiplications per number, one word of state.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n); n is far below 2^64, so the bias of the
// remainder does not matter here.
func (r *rng) below(n uint64) uint64 { return r.next() % n }

// pattern is where a session's I/Os go, in units of whole I/Os.
type pattern struct {
	rng    rng
	random bool
	from   uint64 // first place of this session's range
	places uint64
	next   uint64
}

// newPattern shares out places among sessions: random ones all use everything,
// sequential ones start a stream each, in a range of its own if there are enough.
func newPattern(w Workload, places uint64, session int) pattern {
	p := pattern{rng: rng(w.Seed + uint64(session)*0x1000193), random: w.Random, places: places}
	if own := places / uint64(w.Sessions); own > 0 && (!w.Random || w.Kind == Verify) {
		p.from, p.places = own*uint64(session), own
	}
	return p
}

// place returns the next address.
func (p *pattern) place() uint64 {
	if p.random {
		return p.from + p.rng.below(p.places)
	}
	at := p.from + p.next
	if p.next++; p.next == p.places {
		p.next = 0
	}
	return at
}
