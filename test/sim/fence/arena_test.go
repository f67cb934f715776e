package fence

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// arena is a bed with the four hosts of a fence race.
type arena struct {
	t   testing.TB
	bed *sim.Bed
	rng *rand.Rand

	survivor *side
	victims  []*side // one node, two nexuses, one key
	third    *side   // registered; no party to the quarrel

	epoch uint32
	tas   bool
}

// side is one nexus with a part of the medium that nobody else writes.
type side struct {
	sim.Host
	id   uint16
	key  uint64
	area int // first LBA of areaBlocks
}

const (
	areaBlocks  = 128
	keySurvivor = 0xa
	keyVictim   = 0xb
	keyThird    = 0xc
)

func newArena(t testing.TB, c sim.Config, rng *rand.Rand) *arena {
	c.Blocks, c.Ports = 5*areaBlocks, 2
	a := &arena{t: t, bed: sim.NewBed(c), rng: rng}
	join := func(w sim.Who, key uint64) *side {
		id := uint16(len(a.sides()) + 1)
		h, err := a.bed.Login(w)
		require.NoError(t, err)
		s := &side{Host: h, id: id, key: key, area: int(id) * areaBlocks}
		sim.Attentions(s)
		return s
	}
	a.survivor = join(sim.Who{Node: "survivor"}, keySurvivor)
	a.victims = append(a.victims, join(sim.Who{Node: "victim"}, keyVictim))
	a.victims = append(a.victims, join(sim.Who{Node: "victim", ISID: sim.ISID(2), Port: 1}, keyVictim))
	a.third = join(sim.Who{Node: "third"}, keyThird)
	return a
}

func (a *arena) close() {
	for _, v := range a.bed.Violations() {
		a.t.Errorf("%v", v)
	}
	a.bed.Close()
}

func (a *arena) sides() (all []*side) {
	for _, s := range append([]*side{a.survivor, a.third}, a.victims...) {
		if s != nil {
			all = append(all, s)
		}
	}
	return all
}

// reset leaves no registration, no reservation, no unit attention.
func (a *arena) reset() {
	sim.Retry(a.survivor, initiator.Release6())
	sim.Must(a.survivor, sim.Join(keySurvivor))
	sim.Must(a.survivor, sim.PR(initiator.PRClear, 0, keySurvivor, 0))
	for _, s := range a.sides() {
		sim.Attentions(s)
	}
	a.epoch++
}

// join registers sides with their keys.
func (a *arena) join(sides ...*side) {
	for _, s := range sides {
		sim.Must(s, sim.Join(s.key))
	}
}

// setTAS sets TAS of the control mode page.
func (a *arena) setTAS(on bool) {
	a.tas = on
	r := sim.Must(a.survivor, initiator.ModeSense10(initiator.ModeCurrent, initiator.PageControl, 0, true, false, 256))
	page := append([]byte(nil), r.Data[8:]...)
	page[0] &^= 0x80
	page[5] &^= 0x40
	if on {
		page[5] |= 0x40
	}
	sim.Must(a.survivor, initiator.ModeSelect10(true, false, append(make([]byte, 8), page...)))
}

// reserve takes a reservation for s.
func (s *side) reserve(typ initiator.PRType) {
	sim.Must(s, sim.PR(initiator.PRReserve, typ, s.key, 0))
}
