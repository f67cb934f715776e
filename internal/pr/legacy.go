package pr

// event applies what happens to a unit without a command.
func (s State) event(op Op) (State, []Effect, Verdict) {
	switch op.Action {
	case NexusLoss:
		if s.Legacy == op.From {
			s.Legacy = Nexus{}
		}
		return s, nil, Verdict{}
	case LUReset:
		s.Legacy = Nexus{}
		return s, nil, Verdict{}
	case PowerCycle:
		return s.AfterPowerCycle(), nil, Verdict{}
	}
	// OperatorClear: CLEAR, by somebody who needs neither a nexus nor the old
	// information.
	if s.Condition == NotReady {
		return s, nil, s.known()
	}
	fx := raise(nil, ReservationsPreempted, s.registeredExcept(Nexus{}))
	fx = effect(fx, AllowRemoval, s.registeredExcept(Nexus{}))
	return State{Generation: s.Generation + 1, APTPL: s.APTPL}, fx, Verdict{}
}

// legacy is RESERVE and RELEASE of SPC-2 with the exceptions of SPC-4 r36f
// 5.13.3 (CRH=1).
func (s State) legacy(op Op) (State, []Effect, Verdict) {
	if v := s.known(); !v.OK() {
		return s, nil, v
	}
	_, registered := s.Find(op.From)
	if s.Holds(op.From) || registered && s.Reservation.Type.Shared() {
		return s, nil, Verdict{}
	}
	if len(s.Registrations) > 0 {
		return s, nil, conflict(ReasonRegistered)
	}
	switch {
	case op.Action == LegacyReserve && s.Legacy != (Nexus{}) && s.Legacy != op.From:
		return s, nil, conflict(ReasonLegacyHeld)
	case op.Action == LegacyReserve:
		s.Legacy = op.From
	case s.Legacy == op.From:
		s.Legacy = Nexus{}
	}
	return s, nil, Verdict{}
}
