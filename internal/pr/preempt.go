package pr

// preempt is PREEMPT and PREEMPT AND ABORT. SPC-4 r36f 5.13.11.2.4 to .6,
// table 72. The sender is registered and its key is right.
func (s State) preempt(op Op) (State, []Effect, Verdict) {
	var victims []Nexus // registered with the service action key
	gone := make(map[Nexus]bool)
	for _, r := range s.Registrations {
		if r.Key == op.ServiceKey { // never, if it is zero
			victims = append(victims, r.Nexus)
			gone[r.Nexus] = true
		}
	}
	if op.ServiceKey != 0 && len(victims) == 0 {
		return s, nil, conflict(ReasonNoVictim)
	}
	all := s.Reservation.Type.AllRegistrants()
	var takes bool // the reservation goes to the sender
	if all {
		takes = op.ServiceKey == 0
	} else {
		takes = gone[s.Reservation.Holder]
	}
	if takes {
		if v := op.checkScopeType(); !v.OK() {
			return s, nil, v
		}
	}
	if v := op.checkSpecIPt(); !v.OK() {
		return s, nil, v
	}
	if op.ServiceKey == 0 && !all {
		return s, nil, badList(ReasonServiceKeyZero, atServiceKey)
	}

	if op.ServiceKey == 0 { // everybody holds, so everybody is preempted
		victims = s.registeredExcept(Nexus{})
		for _, n := range victims {
			gone[n] = true
		}
	}
	if takes {
		delete(gone, op.From) // who takes the reservation keeps its registration
	}
	next := s.without(gone)
	var losers []Nexus
	for _, n := range victims {
		if n != op.From {
			losers = append(losers, n)
		}
	}
	fx := raise(nil, RegistrationsPreempted, losers)
	if takes {
		next.Reservation = establish(op.Type, op.From)
		if op.Type != s.Reservation.Type {
			fx = raise(fx, ReservationsReleased, next.registeredExcept(op.From))
		}
	}
	if op.Action == PreemptAndAbort {
		// Whether or not the victims hold the reservation, and the sender's
		// other tasks too if it uses that key.
		fx = effect(fx, AbortTasks, victims)
		fx = effect(fx, AllowRemoval, victims)
	}
	next.Generation++
	return next, fx, Verdict{}
}
