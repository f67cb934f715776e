package rules

// Service actions of PERSISTENT RESERVE OUT. SPC-4 table 213.
const (
	Register          = 0
	Reserve           = 1
	Release           = 2
	Clear             = 3
	Preempt           = 4
	PreemptAndAbort   = 5
	RegisterAndIgnore = 6
	RegisterAndMove   = 7
	ReplaceLost       = 8
)

// Request is a PERSISTENT RESERVE OUT.
type Request struct {
	Action   int
	Key      uint64 // RESERVATION KEY
	Service  uint64 // SERVICE ACTION RESERVATION KEY
	Scope    uint8
	Type     uint8
	APTPL    bool
	AllPorts bool  // ALL_TG_PT
	Spec     []int // SPEC_I_PT: initiator ports; nil: bit clear

	// REGISTER AND MOVE.
	To    Nexus
	Unreg bool
}

// Result is how a command ends: a status, or CHECK CONDITION with a sense.
type Result uint32

// Results. A sense is key, additional code, qualifier.
const (
	Good             Result = 0
	Conflict         Result = 1
	InvalidCDB       Result = 0x52400
	InvalidParameter Result = 0x52600
	InvalidRelease   Result = 0x52604
)

// Unit attentions, as additional sense codes.
const (
	Preempted             uint16 = 0x2a03 // RESERVATIONS PREEMPTED
	Released              uint16 = 0x2a04 // RESERVATIONS RELEASED
	RegistrationPreempted uint16 = 0x2a05 // REGISTRATIONS PREEMPTED
)

// Answer is what a request must do beyond the new state.
type Answer struct {
	Result Result
	Tell   map[uint16]Set // unit attentions, and for whom
	Abort  Set            // whose other commands end
}

func (a *Answer) tell(asc uint16, who Set) {
	if who != 0 {
		if a.Tell == nil {
			a.Tell = map[uint16]Set{}
		}
		a.Tell[asc] |= who
	}
}

func refuse(r Result) Answer { return Answer{Result: r} }

// Out carries out a PERSISTENT RESERVE OUT from n. A refused one changes
// nothing. SPC-4 5.13, 6.16.
func (s State) Out(n Nexus, r Request) (State, Answer) {
	next, a := s.out(n, r)
	if a.Result != Good {
		return s, a
	}
	switch r.Action { // SPC-4 6.15.2: once per successful command
	case Register, RegisterAndIgnore, Clear, Preempt, PreemptAndAbort, RegisterAndMove:
		next.Gen = s.Gen + 1
	}
	return next, a
}

func (s State) out(n Nexus, r Request) (State, Answer) {
	if s.Legacy != None {
		return s, refuse(Conflict)
	}
	if r.Action == Register || r.Action == RegisterAndIgnore {
		return s.register(n, r)
	}
	if s.Key[n] == 0 || r.Action != ReplaceLost && s.Key[n] != r.Key {
		return s, refuse(Conflict)
	}
	switch r.Action {
	case Reserve:
		return s.reserve(n, r)
	case Release:
		return s.release(n, r)
	case Clear:
		return s.clear(n, r)
	case Preempt, PreemptAndAbort:
		return s.preempt(n, r)
	case RegisterAndMove:
		return s.move(n, r)
	}
	return s, refuse(InvalidRelease) // REPLACE LOST RESERVATION while nothing is lost
}

// register is 5.13.7, tables 67 to 69.
func (s State) register(n Nexus, r Request) (State, Answer) {
	ports := []int{n.Port()}
	if r.AllPorts {
		ports = nil
		for p := range Ports {
			ports = append(ports, p)
		}
	}
	mine := func(f func(m Nexus) bool) bool { // at any of the ports
		for _, p := range ports {
			if f(At(n.Initiator(), p)) {
				return true
			}
		}
		return false
	}
	if r.Action == Register && mine(func(m Nexus) bool { return s.Key[m] != r.Key }) {
		return s, refuse(Conflict)
	}
	known := mine(func(m Nexus) bool { return s.Key[m] != 0 })
	if r.Spec != nil && (r.Action == RegisterAndIgnore || known) {
		return s, refuse(InvalidParameter)
	}
	if r.Service == 0 {
		return s.unregister(n, ports, known, r.APTPL)
	}
	var wanted Set
	for _, p := range ports {
		wanted.add(At(n.Initiator(), p))
		for _, i := range r.Spec {
			if wanted.add(At(i, p)); s.Key[At(i, p)] != 0 {
				return s, refuse(InvalidParameter) // note b: all or nothing
			}
		}
	}
	for m := range Nexus(Nexuses) {
		if wanted.Has(m) {
			s.Key[m] = r.Service
			s.AllPorts &^= 1 << m
			if r.AllPorts {
				s.AllPorts.add(m)
			}
		}
	}
	s.APTPL = r.APTPL
	return s, Answer{}
}

// unregister is the rest of 5.13.7, and 5.13.11.2.3.
func (s State) unregister(n Nexus, ports []int, known, aptpl bool) (State, Answer) {
	var a Answer
	if !known {
		return s, a
	}
	typ := s.Type
	for _, p := range ports {
		s.drop(At(n.Initiator(), p))
	}
	if s.Type == 0 && registrantsOnly(typ) {
		a.tell(Released, s.Registered())
	}
	s.APTPL = aptpl
	return s, a
}

// reserve is 5.13.9.
func (s State) reserve(n Nexus, r Request) (State, Answer) {
	switch {
	case s.Type != 0 && !s.Holds(n):
		return s, refuse(Conflict)
	case r.Scope != 0 || !knownType(r.Type):
		return s, refuse(InvalidCDB)
	case r.Spec != nil:
		return s, refuse(InvalidParameter)
	case s.Type != 0 && s.Type != r.Type:
		return s, refuse(Conflict)
	}
	if s.Type == 0 {
		s.give(r.Type, n)
	}
	return s, Answer{}
}

// release is 5.13.11.2.2.
func (s State) release(n Nexus, r Request) (State, Answer) {
	var a Answer
	switch {
	case r.Scope != 0 || !knownType(r.Type):
		return s, refuse(InvalidCDB)
	case r.Spec != nil:
		return s, refuse(InvalidParameter)
	case !s.Holds(n):
		return s, a
	case s.Type != r.Type:
		return s, refuse(InvalidRelease)
	}
	if registrantsOnly(s.Type) {
		a.tell(Released, s.Registered()&^(1<<n))
	}
	s.free()
	return s, a
}

// clear is 5.13.11.2.7.
func (s State) clear(n Nexus, r Request) (State, Answer) {
	var a Answer
	if r.Spec != nil {
		return s, refuse(InvalidParameter)
	}
	a.tell(Preempted, s.Registered()&^(1<<n))
	s.Key, s.AllPorts = [Nexuses]uint64{}, 0
	s.free()
	return s, a
}

// preempt is 5.13.11.2.4 to .6 and table 72.
func (s State) preempt(n Nexus, r Request) (State, Answer) {
	var a Answer
	victims := s.with(r.Service)
	if r.Service != 0 && victims == 0 {
		return s, refuse(Conflict)
	}
	taken := s.Type != 0 && !everyoneHolds(s.Type) && s.Key[s.Holder] == r.Service
	if everyoneHolds(s.Type) && r.Service == 0 {
		taken, victims = true, s.Registered()
	}
	switch {
	case taken && (r.Scope != 0 || !knownType(r.Type)):
		return s, refuse(InvalidCDB)
	case r.Spec != nil, r.Service == 0 && !taken:
		return s, refuse(InvalidParameter)
	}
	if r.Action == PreemptAndAbort {
		a.Abort = victims
	}
	a.tell(RegistrationPreempted, victims&^(1<<n))
	old := s.Type
	for m := range Nexus(Nexuses) {
		if victims.Has(m) && !(taken && m == n) {
			s.drop(m)
		}
	}
	if taken {
		s.give(r.Type, n)
		if r.Type != old {
			a.tell(Released, s.Registered()&^(1<<n))
		}
	}
	return s, a
}

// move is 5.13.8, table 70.
func (s State) move(n Nexus, r Request) (State, Answer) {
	switch {
	case s.Type == 0:
		return s, refuse(InvalidCDB)
	case everyoneHolds(s.Type), s.Holder != n:
		return s, refuse(Conflict)
	case r.Service == 0, r.To.Initiator() == n.Initiator():
		return s, refuse(InvalidParameter)
	}
	s.APTPL = r.APTPL
	s.Key[r.To] = r.Service
	s.AllPorts &^= 1 << r.To
	s.Holder = r.To
	if r.Unreg {
		s.drop(n)
	}
	return s, Answer{}
}

// Reserve6 and Release6 are the reservations of SPC-2, with the rules of CRH=1.
// SPC-4 5.13.3.
func (s State) Reserve6(n Nexus) (State, Result) {
	switch {
	case s.Holds(n) || registrantsOnly(s.Type) && s.Key[n] != 0:
		return s, Good
	case s.Registered() != 0, s.Legacy != None && s.Legacy != n:
		return s, Conflict
	}
	s.Legacy = n
	return s, Good
}

// Release6 is RELEASE(6).
func (s State) Release6(n Nexus) (State, Result) {
	switch {
	case s.Holds(n) || registrantsOnly(s.Type) && s.Key[n] != 0:
		return s, Good
	case s.Registered() != 0:
		return s, Conflict
	}
	if s.Legacy == n {
		s.Legacy = None
	}
	return s, Good
}

// NexusLoss ends a RESERVE(6) of n, and nothing else. SPC-4 5.13.1.
func (s State) NexusLoss(n Nexus) State {
	if s.Legacy == n {
		s.Legacy = None
	}
	return s
}

// Reset ends a RESERVE(6), and nothing else.
func (s State) Reset() State {
	s.Legacy = None
	return s
}
