package pr

import "slices"

// Keys is READ KEYS: the key of every registration, duplicates included, in
// the order of registration. SPC-4 r36f 6.15.2.
func (s State) Keys() []Key {
	keys := make([]Key, len(s.Registrations))
	for i, r := range s.Registrations {
		keys[i] = r.Key
	}
	return keys
}

// Held is READ RESERVATION: the type of the reservation and the key of its
// holder, which is 0 for the all-registrants types. ok is false if there is no
// reservation. The scope is 0. SPC-4 r36f 6.15.3.
func (s State) Held() (k Key, t Type, ok bool) {
	if s.Reservation.Type == 0 {
		return 0, 0, false
	}
	r, _ := s.Find(s.Reservation.Holder)
	return r.Key, s.Reservation.Type, true
}

// Capabilities is REPORT CAPABILITIES. SPC-4 r36f 6.15.4, tables 207 to 209.
type Capabilities struct {
	ReplaceLost    bool   // RLR_C
	Compatible     bool   // CRH
	SpecInitiator  bool   // SIP_C
	AllTargetPorts bool   // ATP_C
	PersistCapable bool   // PTPL_C
	PersistActive  bool   // PTPL_A
	AllowCommands  uint8  // ALLOW COMMANDS
	Types          []Type // PERSISTENT RESERVATION TYPE MASK; valid (TMV=1)
}

// Capabilities returns what the engine can do, and whether APTPL is on.
func (s State) Capabilities() Capabilities {
	return Capabilities{
		ReplaceLost:    true,
		Compatible:     true,
		SpecInitiator:  true,
		AllTargetPorts: true,
		PersistCapable: true,
		PersistActive:  s.APTPL,
		AllowCommands:  allowCommands,
		Types:          Types[:],
	}
}

// allowCommands promises table 65 as it is printed: TEST UNIT READY and
// RECEIVE COPY RESULTS pass every type, MODE SENSE and its like pass the
// write-exclusive ones.
const allowCommands = 4

// Descriptor is one full status descriptor. SPC-4 r36f table 211.
type Descriptor struct {
	Initiator    string // initiator port name
	Key          Key
	Holder       bool
	Type         Type   // if Holder
	AllPorts     bool   // ALL_TG_PT: stands for this initiator port at every target port
	RelativePort uint16 // if not AllPorts; 0 if the target port does not exist any more
}

// FullStatus is READ FULL STATUS: a descriptor for every registration, in
// their order. The registrations that one ALL_TG_PT left at every target port
// are one descriptor as long as they still say the same.
func (s State) FullStatus(ports []Port) []Descriptor {
	relative := make(map[string]uint16, len(ports))
	for _, p := range ports {
		relative[p.Name] = p.RelativeID
	}
	whole := s.wholeDevice(ports)
	out := make([]Descriptor, 0, len(s.Registrations))
	for i, r := range s.Registrations {
		d := Descriptor{Initiator: r.Initiator, Key: r.Key, Holder: s.holds(r)}
		if d.Holder {
			d.Type = s.Reservation.Type
		}
		switch first, ok := whole[r.Initiator]; {
		case !ok:
			d.RelativePort = relative[r.Target]
		case first != i:
			continue
		default:
			d.AllPorts = true
		}
		out = append(out, d)
	}
	return out
}

// wholeDevice finds the initiator ports of which one descriptor can stand for
// every registration: registered by ALL_TG_PT at every target port and nowhere
// else, with the same key, and holding at all of them or at none. It returns
// the index of the first registration of each.
func (s State) wholeDevice(ports []Port) map[string]int {
	if !slices.ContainsFunc(s.Registrations, func(r Registration) bool { return r.AllTargetPorts }) {
		return nil
	}
	device := make(map[string]bool, len(ports))
	for _, p := range ports {
		device[p.Name] = true
	}
	type set struct {
		first, size int
		split       bool // one descriptor cannot speak for all
	}
	sets := make(map[string]set)
	for i, r := range s.Registrations {
		g, ok := sets[r.Initiator]
		if !ok {
			g.first = i
		}
		as := s.Registrations[g.first]
		g.size++
		g.split = g.split || !r.AllTargetPorts || !device[r.Target] || r.Key != as.Key || s.holds(r) != s.holds(as)
		sets[r.Initiator] = g
	}
	whole := make(map[string]int)
	for ini, g := range sets {
		if !g.split && g.size == len(device) {
			whole[ini] = g.first
		}
	}
	return whole
}

// holds is Holds for a nexus known to be registered.
func (s State) holds(r Registration) bool {
	return s.Reservation.Type.AllRegistrants() || s.Reservation.Type != 0 && s.Reservation.Holder == r.Nexus
}
