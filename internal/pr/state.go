package pr

import "slices"

// Registration is one registered I_T nexus with its key.
type Registration struct {
	Nexus
	Key Key // never 0

	// AllTargetPorts marks a registration made with ALL_TG_PT=1. Such a
	// request leaves one Registration per target port.
	AllTargetPorts bool
}

// Reservation is the persistent reservation of a logical unit. The scope is
// always LU_SCOPE. The zero value is "none".
type Reservation struct {
	Type   Type
	Holder Nexus // zero for the all-registrants types: every registrant holds
}

// Condition says whether the reservation information of a unit is known.
type Condition uint8

const (
	// Normal: State is what is in force.
	Normal Condition = iota
	// InformationLost: what was saved cannot be trusted. Every command but the
	// few of SPC-4 r36f 5.13.5.3 ends with DATA PROTECT, PERSISTENT
	// RESERVATION INFORMATION LOST, until REPLACE LOST RESERVATION.
	InformationLost
	// NotReady: what was saved cannot be read now. SPC-4 r36f 5.13.5.2.
	NotReady
)

func (c Condition) String() string {
	switch c {
	case Normal:
		return "normal"
	case InformationLost:
		return "information-lost"
	case NotReady:
		return "not-ready"
	}
	return "unknown"
}

// State is everything the reservation rules remember of one logical unit. It
// is a value: nobody modifies a Registrations slice once a State holds it.
type State struct {
	Generation    uint32         // PRGENERATION
	APTPL         bool           // of the last successful registering action; survives power loss if set
	Registrations []Registration // one per nexus, in the order they were made
	Reservation   Reservation

	Legacy    Nexus // owner of the SPC-2 reservation, zero if none; never saved
	Condition Condition
}

// Find returns the registration of n.
func (s State) Find(n Nexus) (Registration, bool) {
	if i := s.index(n); i >= 0 {
		return s.Registrations[i], true
	}
	return Registration{}, false
}

func (s State) index(n Nexus) int {
	return slices.IndexFunc(s.Registrations, func(r Registration) bool { return r.Nexus == n })
}

// Holds reports whether n is a persistent reservation holder: the nexus that
// made the reservation, or any registrant for the all-registrants types.
// SPC-4 r36f 5.13.10.
func (s State) Holds(n Nexus) bool {
	if s.Reservation.Type.AllRegistrants() {
		return s.index(n) >= 0
	}
	return s.Reservation.Type != 0 && s.Reservation.Holder == n
}

// Equal reports whether s and t are the same state.
func (s State) Equal(t State) bool {
	return s.Legacy == t.Legacy && s.Condition == t.Condition && s.sameSaved(t)
}

// sameSaved compares what a Store keeps.
func (s State) sameSaved(t State) bool {
	return s.Generation == t.Generation && s.APTPL == t.APTPL && s.Reservation == t.Reservation &&
		slices.Equal(s.Registrations, t.Registrations)
}

// AfterPowerCycle returns what is left of s after a loss of power: everything
// but the generation if APTPL was set, nothing otherwise. SPC-4 r36f
// 5.13.11.2.1, 6.15.2.
func (s State) AfterPowerCycle() State {
	if !s.APTPL {
		return State{Condition: s.Condition}
	}
	s.Generation, s.Legacy = 0, Nexus{}
	return s
}
