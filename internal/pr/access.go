package pr

// Access is an immutable picture of who may do what, derived from one State.
// The I/O path loads it through one atomic pointer and asks it nothing it has
// asked before: callers cache Rights per nexus and compare the pointer.
type Access struct {
	others    Rights           // nexuses that are not named below
	special   map[Nexus]Rights // nexuses with more or fewer rights than others
	condition Condition
}

// NewAccess derives the picture from s. SPC-4 r36f table 65; SPC-2 r20 table
// 11 for the legacy reservation.
//
// While the reservation information is lost or unreadable nobody has any
// right, not even to Always: what is served nevertheless is a list of the
// standard (SPC-4 r36f 5.13.5.2, 5.13.5.3.2) that is kept with the opcodes.
func NewAccess(s State) *Access {
	if s.Condition != Normal {
		return &Access{condition: s.Condition}
	}
	if s.Legacy != (Nexus{}) {
		return &Access{
			others:  1 << Always,
			special: map[Nexus]Rights{s.Legacy: All &^ (1 << Persistent)},
		}
	}
	r := s.Reservation
	if r.Type == 0 {
		return &Access{others: Unreserved}
	}
	a := &Access{others: All &^ (1 << Write)}
	if r.Type.Exclusive() {
		a.others &^= 1 << Read
	}
	if !r.Type.Shared() {
		a.special = map[Nexus]Rights{r.Holder: All}
		return a
	}
	a.special = make(map[Nexus]Rights, len(s.Registrations))
	for _, g := range s.Registrations {
		a.special[g.Nexus] = All
	}
	return a
}

// Condition says whether the information behind a is known. Only under Normal
// does a missing right mean RESERVATION CONFLICT.
func (a *Access) Condition() Condition { return a.condition }

// Rights returns what n may do. It allocates nothing.
func (a *Access) Rights(n Nexus) Rights {
	if r, ok := a.special[n]; ok {
		return r
	}
	return a.others
}

// Meet returns what both a and b allow, for every nexus. While a command that
// takes rights away waits for the calls of the losers, the meet of the old and
// the new picture is in force: nobody has a right that either of them refuses.
func Meet(a, b *Access) *Access {
	m := &Access{
		others:    a.others & b.others,
		special:   make(map[Nexus]Rights, len(a.special)+len(b.special)),
		condition: max(a.condition, b.condition),
	}
	for n, r := range a.special {
		m.special[n] = r & b.Rights(n)
	}
	for n, r := range b.special {
		m.special[n] = r & a.Rights(n)
	}
	return m
}

// Lost returns the rights that n has under before and not under after.
func Lost(before, after *Access, n Nexus) Rights {
	return before.Rights(n) &^ after.Rights(n)
}

// shrinks reports whether any nexus, named or not, loses a right.
func shrinks(before, after *Access) bool {
	if before.others&^after.others != 0 {
		return true
	}
	for n := range before.special {
		if Lost(before, after, n) != 0 {
			return true
		}
	}
	for n := range after.special {
		if Lost(before, after, n) != 0 {
			return true
		}
	}
	return false
}
