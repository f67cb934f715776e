package fence

import (
	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// A fence is one way to take rights away. SPC-4 r36f 5.13.
type fence struct {
	name  string
	types []initiator.PRType // what is held before the strike, 0: nothing

	// prepare starts where nobody is registered.
	prepare func(a *arena, held initiator.PRType)
	// strike returns the command that takes the rights away once it ends with
	// GOOD, and who sends it.
	strike func(a *arena, held initiator.PRType) (by *side, c initiator.Cmd)
	// after is the reservation then: it says whether losers may read.
	after func(a *arena, held initiator.PRType) initiator.PRType
	// losers are those who may not write any more.
	losers func(a *arena) []*side
	// spared says that the third host must not feel anything.
	spared bool
}

const (
	we   = initiator.WriteExclusive
	ea   = initiator.ExclusiveAccess
	wero = initiator.WriteExclusiveRegistrantsOnly
	earo = initiator.ExclusiveAccessRegistrants
	wear = initiator.WriteExclusiveAllRegistrants
	eaar = initiator.ExclusiveAccessAllRegistrants
)

// exclusive says whether a type keeps reads away as well.
func exclusive(t initiator.PRType) bool { return t == ea || t == earo || t == eaar }

var allTypes = []initiator.PRType{we, ea, wero, earo, wear, eaar}

func (a *arena) everybody() []*side { return append([]*side{a.third}, a.victims...) }

func joinAll(a *arena) { a.join(a.sides()...) }

func victims(a *arena) []*side { return a.victims }

func firstVictim(a *arena) []*side { return a.victims[:1] }

func sameType(_ *arena, held initiator.PRType) initiator.PRType { return held }

// preempting makes the rows of PREEMPT and PREEMPT AND ABORT, which differ in
// what becomes of commands under way but not in who may write afterwards.
func preempting(name string, sa initiator.PROutAction) []fence {
	// The type of a new reservation; the same for one round.
	newType := func(a *arena) initiator.PRType { return allTypes[int(a.epoch)%len(allTypes)] }
	// fs: the survivor holds, or all do, and the victims are registrants.
	return []fence{
		{
			name: name + " a registrant", types: []initiator.PRType{wero, earo, wear, eaar}, spared: true,
			prepare: func(a *arena, held initiator.PRType) { joinAll(a); a.survivor.reserve(held) },
			strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
				return a.survivor, sim.PR(sa, held, keySurvivor, keyVictim)
			},
			after: sameType, losers: victims,
		},
		{
			name: name + " the holder", types: []initiator.PRType{we, ea, wero, earo},
			prepare: func(a *arena, held initiator.PRType) { joinAll(a); a.victims[0].reserve(held) },
			strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
				return a.survivor, sim.PR(sa, newType(a), keySurvivor, keyVictim)
			},
			after:  func(a *arena, _ initiator.PRType) initiator.PRType { return newType(a) },
			losers: victims,
		},
		{
			name: name + " all registrants", types: []initiator.PRType{wear, eaar},
			prepare: func(a *arena, held initiator.PRType) { joinAll(a); a.survivor.reserve(held) },
			strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
				return a.survivor, sim.PR(sa, newType(a), keySurvivor, 0)
			},
			after:  func(a *arena, _ initiator.PRType) initiator.PRType { return newType(a) },
			losers: (*arena).everybody,
		},
	}
}

// fences lists every PERSISTENT RESERVE OUT that takes rights away, and
// RESERVE(6).
var fences = append(append(preempting("PREEMPT AND ABORT", initiator.PRPreemptAndAbort),
	preempting("PREEMPT", initiator.PRPreempt)...),
	fence{
		name: "CLEAR and RESERVE", types: allTypes,
		prepare: func(a *arena, held initiator.PRType) { joinAll(a); a.survivor.reserve(wero) },
		strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
			sim.Must(a.survivor, sim.PR(initiator.PRClear, 0, keySurvivor, 0))
			a.join(a.survivor)
			return a.survivor, sim.PR(initiator.PRReserve, held, keySurvivor, 0)
		},
		after: sameType, losers: (*arena).everybody,
	},
	fence{
		name: "RESERVE against registrants", types: []initiator.PRType{we, ea},
		prepare: func(a *arena, _ initiator.PRType) { joinAll(a) },
		strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
			return a.survivor, sim.PR(initiator.PRReserve, held, keySurvivor, 0)
		},
		after: sameType, losers: (*arena).everybody,
	},
	fence{
		name: "RESERVE against strangers", types: allTypes,
		prepare: func(a *arena, _ initiator.PRType) { a.join(a.survivor) },
		strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
			return a.survivor, sim.PR(initiator.PRReserve, held, keySurvivor, 0)
		},
		after: sameType, losers: (*arena).everybody,
	},
	fence{
		name: "REGISTER AND MOVE", types: []initiator.PRType{we, ea, wero, earo},
		prepare: func(a *arena, held initiator.PRType) { joinAll(a); a.victims[0].reserve(held) },
		strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
			return a.victims[0], initiator.PROut(initiator.PRRegisterAndMove, 0, 0, initiator.PRMove{
				Key: keyVictim, ServiceKey: keySurvivor, RelativePort: 1, Destination: a.survivor.Who().PortID(),
				Unregister: held == wero || held == earo || a.rng.IntN(2) == 0,
			}.Marshal())
		},
		after: sameType, losers: firstVictim,
	},
	fence{
		name: "own unregistration", types: []initiator.PRType{wero, earo, wear, eaar}, spared: true,
		prepare: func(a *arena, held initiator.PRType) { joinAll(a); a.survivor.reserve(held) },
		strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
			return a.victims[0], sim.PR(initiator.PRRegister, 0, keyVictim, 0)
		},
		after: sameType, losers: firstVictim,
	},
	fence{
		name: "PREEMPT of oneself to another type", types: []initiator.PRType{wero, earo},
		prepare: func(a *arena, held initiator.PRType) { joinAll(a); a.survivor.reserve(held) },
		strike: func(a *arena, held initiator.PRType) (*side, initiator.Cmd) {
			return a.survivor, sim.PR(initiator.PRPreempt, map[initiator.PRType]initiator.PRType{wero: we, earo: ea}[held], keySurvivor, keySurvivor)
		},
		after: sameType, losers: (*arena).everybody,
	},
	fence{
		name: "RESERVE(6)", types: []initiator.PRType{0},
		prepare: func(*arena, initiator.PRType) {},
		strike: func(a *arena, _ initiator.PRType) (*side, initiator.Cmd) {
			return a.survivor, initiator.Reserve6()
		},
		after:  func(*arena, initiator.PRType) initiator.PRType { return ea }, // reads conflict too
		losers: (*arena).everybody,
	},
)
