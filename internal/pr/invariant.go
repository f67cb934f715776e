package pr

import "fmt"

// Broken is the panic of a Unit whose state broke an invariant. What is in
// force can no longer be trusted, so the process must not go on: do not
// recover it. After a restart the last saved state is in force, which is the
// one that was last acknowledged.
type Broken struct {
	Err    error
	Before State
	Op     Op
	After  State
}

func (b *Broken) Error() string {
	return fmt.Sprintf("reservation engine: %v after %v from %v", b.Err, b.Op.Action, b.Op.From)
}

func (b *Broken) Unwrap() error { return b.Err }

// IsBroken reports whether r, a value that recover returned, is a Broken.
func IsBroken(r any) bool {
	_, ok := r.(*Broken)
	return ok
}

// Check reports what is impossible about s: the invariants that hold after
// every Step and of every saved state.
func (s State) Check() error {
	seen := make(map[Nexus]bool, len(s.Registrations))
	for _, r := range s.Registrations {
		switch {
		case r.Key == 0:
			return fmt.Errorf("%v is registered with key 0", r.Nexus)
		case !r.storable():
			return fmt.Errorf("registration of a nexus whose names cannot be: %q, %q", r.Initiator, r.Target)
		case seen[r.Nexus]:
			return fmt.Errorf("%v is registered twice", r.Nexus)
		}
		seen[r.Nexus] = true
	}
	t, holder := s.Reservation.Type, s.Reservation.Holder
	switch {
	case t == 0:
		if holder != (Nexus{}) {
			return fmt.Errorf("%v holds no reservation", holder)
		}
	case !t.Valid():
		return fmt.Errorf("reservation of %v", t)
	case t.AllRegistrants():
		if holder != (Nexus{}) {
			return fmt.Errorf("%v alone holds a reservation of type %v", holder, t)
		}
		if len(s.Registrations) == 0 {
			return fmt.Errorf("reservation of type %v without a registrant", t)
		}
	case !seen[holder]:
		return fmt.Errorf("reservation held by %v, which is not registered", holder)
	}
	if s.Legacy != (Nexus{}) && (len(s.Registrations) > 0 || t != 0) {
		return fmt.Errorf("legacy reservation of %v beside persistent ones", s.Legacy)
	}
	if s.Condition != Normal && (s.Generation != 0 || s.APTPL || len(s.Registrations) > 0 || t != 0 || s.Legacy != (Nexus{})) {
		return fmt.Errorf("something is known although the condition is %v", s.Condition)
	}
	return nil
}

// verify panics if a Step went wrong.
func verify(before, after State, op Op, v Verdict) {
	err := after.Check()
	switch {
	case err != nil:
	case !v.OK() && !after.Equal(before):
		err = fmt.Errorf("a refused command (%v) changed the state", v)
	case v.OK() && !generationFits(before, after, op):
		err = fmt.Errorf("generation went from %d to %d", before.Generation, after.Generation)
	default:
		return
	}
	panic(&Broken{Err: err, Before: before, Op: op, After: after})
}

// generationFits is SPC-4 r36f 6.15.2 for a successful op.
func generationFits(before, after State, op Op) bool {
	switch op.Action {
	case Register, RegisterAndIgnore, RegisterAndMove, Clear, Preempt, PreemptAndAbort, OperatorClear:
		return after.Generation == before.Generation+1
	case ReplaceLostReservation, PowerCycle:
		return after.Generation == 0
	}
	return after.Generation == before.Generation
}
