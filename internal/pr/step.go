package pr

import "slices"

// Step applies op to s. It is a function of its arguments and never modifies
// them: next shares with s what did not change. Unless v is Good, next is s
// and there are no effects.
//
// The checks come in one order for every service action: does the action
// exist; is the state known; legacy reservation; parameter list length; is the
// sender registered, with this key; conflict with the reservation; scope and
// type; other parameters; resources. RESERVATION CONFLICT thereby precedes
// every CHECK CONDITION that is about the parameters.
func Step(s State, env Env, op Op) (next State, fx []Effect, v Verdict) {
	next, fx, v = s.step(env, op)
	if !v.OK() {
		return s, nil, v
	}
	return next, fx, v
}

func (s State) step(env Env, op Op) (State, []Effect, Verdict) {
	switch op.Action {
	case NexusLoss, LUReset, PowerCycle, OperatorClear:
		return s.event(op)
	case LegacyReserve, LegacyRelease:
		return s.legacy(op)
	}
	if op.Action > ReplaceLostReservation {
		return s, nil, badCDB(ReasonServiceAction, atServiceAction)
	}
	if v := s.known(); !v.OK() && (s.Condition != InformationLost || op.Action != ReplaceLostReservation) {
		return s, nil, v
	}
	if s.Legacy != (Nexus{}) {
		return s, nil, conflict(ReasonLegacyHeld)
	}
	if op.BadLength {
		return s, nil, Verdict{Status: ParameterListLength, Reason: ReasonListLength}
	}
	switch op.Action {
	case Register, RegisterAndIgnore:
		return s.register(env, op)
	case ReplaceLostReservation:
		return s.replaceLost(op)
	}
	own, ok := s.Find(op.From)
	switch {
	case !ok:
		return s, nil, conflict(ReasonNotRegistered)
	case op.Key != own.Key:
		return s, nil, conflict(ReasonKey)
	}
	switch op.Action {
	case Reserve:
		return s.reserve(op)
	case Release:
		return s.release(env, op)
	case Clear:
		return s.clear(op)
	case RegisterAndMove:
		return s.move(env, op)
	default: // Preempt, PreemptAndAbort
		return s.preempt(op)
	}
}

// known refuses while the state is not what was last acknowledged.
func (s State) known() Verdict {
	switch s.Condition {
	case Normal:
		return Verdict{}
	case InformationLost:
		return Verdict{Status: PersistentInformationLost, Reason: ReasonLost}
	default:
		return Verdict{Status: BecomingReady, Reason: ReasonNotReady}
	}
}

// checkScopeType refuses what no reservation can have. SPC-4 r36f 6.15.3.3,
// 6.15.3.4.
func (op Op) checkScopeType() Verdict {
	switch {
	case op.Scope != luScope:
		return badCDB(ReasonScope, atScope)
	case !op.Type.Valid():
		return badCDB(ReasonType, atType)
	}
	return Verdict{}
}

const luScope = 0

// checkSpecIPt refuses SPEC_I_PT, which only REGISTER may set. SPC-4 r36f
// 6.16.3.
func (op Op) checkSpecIPt() Verdict {
	if op.SpecIPt {
		return badList(ReasonSpecIPt, atSpecIPt)
	}
	return Verdict{}
}

// first returns the first verdict that is not Good.
func first(vs ...Verdict) Verdict {
	for _, v := range vs {
		if !v.OK() {
			return v
		}
	}
	return Verdict{}
}

// registeredExcept lists the registered nexuses but n, in order.
func (s State) registeredExcept(n Nexus) []Nexus {
	out := make([]Nexus, 0, len(s.Registrations))
	for _, r := range s.Registrations {
		if r.Nexus != n {
			out = append(out, r.Nexus)
		}
	}
	return out
}

// without removes the registrations of gone, and what the reservation was if
// its holder is among them. UAs are the caller's business.
func (s State) without(gone map[Nexus]bool) State {
	if len(gone) == 0 {
		return s
	}
	s.Registrations = slices.DeleteFunc(slices.Clone(s.Registrations), func(r Registration) bool { return gone[r.Nexus] })
	if len(s.Registrations) == 0 {
		s.Registrations = nil
	}
	if s.Reservation.Type.AllRegistrants() {
		if s.Registrations == nil {
			s.Reservation = Reservation{}
		}
	} else if gone[s.Reservation.Holder] {
		s.Reservation = Reservation{}
	}
	return s
}

func raise(fx []Effect, u UA, ns []Nexus) []Effect {
	if len(ns) == 0 {
		return fx
	}
	return append(fx, Effect{Kind: RaiseUA, UA: u, Nexuses: ns})
}

func effect(fx []Effect, k EffectKind, ns []Nexus) []Effect {
	if len(ns) == 0 {
		return fx
	}
	return append(fx, Effect{Kind: k, Nexuses: ns})
}
