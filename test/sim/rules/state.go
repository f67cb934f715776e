package rules

import "fmt"

// Initiators and Ports span the nexuses that exist: every initiator port at
// every target port.
const (
	Initiators = 4
	Ports      = 2
	Nexuses    = Initiators * Ports
)

// Nexus is an I_T nexus by number.
type Nexus int8

// None is no nexus.
const None Nexus = -1

// At returns the nexus of an initiator port and a target port, by number.
func At(initiator, port int) Nexus { return Nexus(initiator*Ports + port) }

// Initiator is the number of n's initiator port.
func (n Nexus) Initiator() int { return int(n) / Ports }

// Port is the number of n's target port.
func (n Nexus) Port() int { return int(n) % Ports }

// Set is a set of nexuses, one bit each.
type Set uint16

// Has reports whether n is in s.
func (s Set) Has(n Nexus) bool { return n >= 0 && s&(1<<n) != 0 }

func (s *Set) add(n Nexus) { *s |= 1 << n }

// State is what a logical unit remembers of reservations.
type State struct {
	Key      [Nexuses]uint64 // 0: not registered
	AllPorts Set             // registered with ALL_TG_PT=1
	Type     uint8           // of the persistent reservation, 0: none
	Holder   Nexus           // of types 1, 3, 5, 6; else None
	Gen      uint32          // PRGENERATION
	APTPL    bool
	Legacy   Nexus // who did RESERVE(6); None if nobody
}

// New is the state of a unit that nobody ever reserved.
func New() State { return State{Holder: None, Legacy: None} }

// Registered is everybody with a key.
func (s State) Registered() (all Set) {
	for n, k := range s.Key {
		if k != 0 {
			all.add(Nexus(n))
		}
	}
	return all
}

func (s State) with(key uint64) (all Set) {
	for n, k := range s.Key {
		if k == key && k != 0 {
			all.add(Nexus(n))
		}
	}
	return all
}

// everyoneHolds: every registrant is a holder. SPC-4 5.13.10.
func everyoneHolds(typ uint8) bool { return typ == 7 || typ == 8 }

// registrantsOnly: being registered gives rights. SPC-4 table 65.
func registrantsOnly(typ uint8) bool { return typ >= 5 && typ <= 8 }

// keepsReadersAway: the exclusive access types.
func keepsReadersAway(typ uint8) bool { return typ == 3 || typ == 6 || typ == 8 }

func knownType(typ uint8) bool { return typ == 1 || typ == 3 || registrantsOnly(typ) }

// Holds reports whether n is a holder of the persistent reservation.
func (s State) Holds(n Nexus) bool {
	switch {
	case s.Type == 0:
		return false
	case everyoneHolds(s.Type):
		return s.Key[n] != 0
	}
	return s.Holder == n
}

// AllHold reports whether every registrant is a holder.
func (s State) AllHold() bool { return everyoneHolds(s.Type) }

// Kind sorts commands as SPC-4 table 65 and SBC-4 table 13 do.
type Kind uint8

const (
	Always    Kind = iota // INQUIRY, REPORT LUNS, REQUEST SENSE, READ CAPACITY
	Status                // TEST UNIT READY
	PRCommand             // PERSISTENT RESERVE IN and OUT
	Read                  // reads, VERIFY, MODE SENSE
	Write                 // everything that changes something
)

// Allows reports whether n may run a command of kind k. SPC-4 table 65; SPC-2
// table 11 with a RESERVE(6) in force.
func (s State) Allows(n Nexus, k Kind) bool {
	if s.Legacy != None {
		return k == Always || s.Legacy == n && k != PRCommand
	}
	switch {
	case k == Always || k == Status || k == PRCommand, s.Type == 0, s.Holds(n):
		return true
	case registrantsOnly(s.Type) && s.Key[n] != 0:
		return true
	}
	return k == Read && !keepsReadersAway(s.Type)
}

// drop removes the registration of n. SPC-4 5.13.11.2.3: the reservation goes
// with its holder, or with the last of them.
func (s *State) drop(n Nexus) {
	held := s.Holds(n)
	s.Key[n] = 0
	s.AllPorts &^= 1 << n
	if held && (!everyoneHolds(s.Type) || s.Registered() == 0) {
		s.free()
	}
}

func (s *State) free() { s.Type, s.Holder = 0, None }

func (s *State) give(typ uint8, n Nexus) {
	s.Type, s.Holder = typ, n
	if everyoneHolds(typ) {
		s.Holder = None
	}
}

// AfterPowerLoss is what a loss of power leaves. SPC-4 5.13.11.2.1, 6.15.2.
func (s State) AfterPowerLoss() State {
	if !s.APTPL {
		return New()
	}
	s.Gen, s.Legacy = 0, None
	return s
}

func (s State) String() string {
	out := fmt.Sprintf("gen %d", s.Gen)
	for n, k := range s.Key {
		if k != 0 {
			out += fmt.Sprintf(" %d.%d=%x", Nexus(n).Initiator(), Nexus(n).Port(), k)
		}
	}
	if s.Type != 0 {
		out += fmt.Sprintf(" type %d", s.Type)
		if s.Holder != None {
			out += fmt.Sprintf(" of %d.%d", s.Holder.Initiator(), s.Holder.Port())
		}
	}
	if s.Legacy != None {
		out += fmt.Sprintf(" RESERVE(6) of %d.%d", s.Legacy.Initiator(), s.Legacy.Port())
	}
	if s.APTPL {
		out += " APTPL"
	}
	return out
}
