package pr

// establish returns the reservation of type t for n.
func establish(t Type, n Nexus) Reservation {
	if t.AllRegistrants() {
		return Reservation{Type: t}
	}
	return Reservation{Type: t, Holder: n}
}

// reserve is SPC-4 r36f 5.13.9.
func (s State) reserve(op Op) (State, []Effect, Verdict) {
	if s.Reservation.Type != 0 && !s.Holds(op.From) {
		return s, nil, conflict(ReasonNotHolder)
	}
	if v := op.checkScopeType(); !v.OK() {
		return s, nil, v
	}
	if s.Reservation.Type != 0 && s.Reservation.Type != op.Type {
		return s, nil, conflict(ReasonOtherType)
	}
	if v := op.checkSpecIPt(); !v.OK() {
		return s, nil, v
	}
	if s.Reservation.Type == 0 {
		s.Reservation = establish(op.Type, op.From)
	}
	return s, nil, Verdict{}
}

// release is SPC-4 r36f 5.13.11.2.2.
func (s State) release(env Env, op Op) (State, []Effect, Verdict) {
	if v := first(op.checkScopeType(), op.checkSpecIPt()); !v.OK() {
		return s, nil, v
	}
	if !s.Holds(op.From) {
		return s, nil, Verdict{}
	}
	if s.Reservation.Type != op.Type {
		return s, nil, Verdict{Status: InvalidRelease, Reason: ReasonReleaseMismatch}
	}
	var fx []Effect
	if s.Reservation.Type.Shared() && !env.NUAR {
		fx = raise(fx, ReservationsReleased, s.registeredExcept(op.From))
	}
	s.Reservation = Reservation{}
	return s, fx, Verdict{}
}

// clear is SPC-4 r36f 5.13.11.2.7.
func (s State) clear(op Op) (State, []Effect, Verdict) {
	if v := op.checkSpecIPt(); !v.OK() {
		return s, nil, v
	}
	fx := raise(nil, ReservationsPreempted, s.registeredExcept(op.From))
	fx = effect(fx, AllowRemoval, s.registeredExcept(Nexus{}))
	s.Registrations, s.Reservation = nil, Reservation{}
	s.Generation++
	return s, fx, Verdict{}
}

// replaceLost is SPC-4 r36f 5.13.11.3. Whoever sends it need not be
// registered while information is lost, for then nobody is.
func (s State) replaceLost(op Op) (State, []Effect, Verdict) {
	if s.Condition == Normal {
		if _, ok := s.Find(op.From); !ok {
			return s, nil, conflict(ReasonNotRegistered) // table 66
		}
		return s, nil, Verdict{Status: InvalidRelease, Reason: ReasonNotLost}
	}
	v := op.checkScopeType()
	switch {
	case !v.OK():
		return s, nil, v
	case op.Key != 0:
		return s, nil, badList(ReasonKeyNotZero, atKey)
	case op.ServiceKey == 0:
		return s, nil, badList(ReasonServiceKeyZero, atServiceKey)
	case op.SpecIPt:
		return s, nil, badList(ReasonSpecIPt, atSpecIPt)
	case op.AllTargetPorts:
		return s, nil, badList(ReasonAllTgPt, atAllTgPt)
	case !op.From.storable():
		return s, nil, unstorable
	}
	return State{
		APTPL:         op.APTPL,
		Registrations: []Registration{{Nexus: op.From, Key: op.ServiceKey}},
		Reservation:   establish(op.Type, op.From),
	}, nil, Verdict{}
}
