package pr

import "slices"

// move is REGISTER AND MOVE. SPC-4 r36f 5.13.8, table 70.
func (s State) move(env Env, op Op) (State, []Effect, Verdict) {
	switch {
	case s.Reservation.Type == 0:
		return s, nil, badCDB(ReasonNothingToMove, atServiceAction)
	case s.Reservation.Type.AllRegistrants():
		return s, nil, conflict(ReasonAllRegistrants)
	case !s.Holds(op.From):
		return s, nil, conflict(ReasonNotHolder)
	case op.ServiceKey == 0:
		return s, nil, badList(ReasonServiceKeyZero, atServiceKey)
	}
	port := slices.IndexFunc(env.TargetPorts, func(p Port) bool { return p.RelativeID == op.RelativePort })
	if port < 0 {
		return s, nil, badList(ReasonRelativePort, atRelativePort)
	}
	// A TransportID of format 00b may name several ports, and a reservation
	// has one holder: the port has to be named.
	var names []string
	if len(op.Transports) == 1 && op.Transports[0].Port {
		names = op.Transports[0].resolve(env)
	}
	if len(names) != 1 {
		return s, nil, badList(ReasonTransportID, atTransportID)
	}
	to := Nexus{names[0], env.TargetPorts[port].Name}
	if to.Initiator == op.From.Initiator {
		return s, nil, badList(ReasonOwnPort, atTransportID)
	}
	if !to.storable() {
		return s, nil, unstorable
	}
	r := Registration{Nexus: to, Key: op.ServiceKey}
	regs := slices.Clone(s.Registrations)
	if i := s.index(to); i >= 0 {
		regs[i] = r
	} else if len(regs) >= env.max() && !op.Unregister {
		return s, nil, full
	} else {
		regs = append(regs, r)
	}
	if op.Unregister {
		regs = slices.DeleteFunc(regs, func(r Registration) bool { return r.Nexus == op.From })
	}
	s.Registrations, s.APTPL = regs, op.APTPL
	s.Reservation.Holder = to
	s.Generation++
	return s, nil, Verdict{}
}
