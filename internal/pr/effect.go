package pr

import "fmt"

// EffectKind says what the caller of Step has to do, beyond remembering the
// next state, before it answers the command.
type EffectKind uint8

const (
	// RaiseUA: establish the unit attention UA for each nexus.
	RaiseUA EffectKind = iota + 1

	// AbortTasks: abort every task of the nexuses on this unit, copy
	// operations included, but not the PREEMPT AND ABORT itself, and answer
	// only when none of them can change the medium any more. SPC-4 r36f
	// 5.13.11.2.6.
	AbortTasks

	// AllowRemoval: do what PREVENT ALLOW MEDIUM REMOVAL with PREVENT=0 from
	// each nexus would do. SBC-4 r22 5.15.
	AllowRemoval
)

func (k EffectKind) String() string {
	switch k {
	case RaiseUA:
		return "raise-unit-attention"
	case AbortTasks:
		return "abort-tasks"
	case AllowRemoval:
		return "allow-removal"
	}
	return fmt.Sprintf("effect-%d", uint8(k))
}

// UA is a unit attention condition of the reservation rules. SPC-4 r36f
// 5.13.11.2.
type UA uint8

const (
	ReservationsPreempted  UA = iota + 1 // 2A/03: CLEAR
	ReservationsReleased                 // 2A/04
	RegistrationsPreempted               // 2A/05
)

func (u UA) String() string {
	switch u {
	case ReservationsPreempted:
		return "reservations-preempted"
	case ReservationsReleased:
		return "reservations-released"
	case RegistrationsPreempted:
		return "registrations-preempted"
	}
	return fmt.Sprintf("ua-%d", uint8(u))
}

// Effect is one consequence of a successful Step. Nexuses is never empty and
// names nobody twice.
type Effect struct {
	Kind    EffectKind
	UA      UA // of RaiseUA
	Nexuses []Nexus
}
