package audit

import (
	"slices"
	"time"

	"nas-target/internal/plain"
	"nas-target/internal/pr"
)

// entryOf makes an entry of what a reservation manager told. lun is the unit's
// name, at the wall clock time at which the command ended.
func entryOf(r pr.Record, lun string, at time.Time) Entry {
	e := Entry{
		Time: at, Kind: KindPR, Action: r.Op.Action.String(),
		By: Party{
			Initiator: plain.Text(r.Op.From.Initiator),
			Target:    plain.Text(r.Op.From.Target),
			Peer:      plain.Text(r.Op.Peer),
		},
		Unit: r.Unit, LUN: plain.Text(lun),
		Result: r.Verdict.Status.String(), Reason: string(r.Verdict.Reason),
		PR: &PR{
			Key: Key(r.Op.Key), ServiceKey: Key(r.Op.ServiceKey),
			APTPL: r.Op.APTPL, AllPorts: r.Op.AllTargetPorts, SpecIPt: r.Op.SpecIPt, Unregister: r.Op.Unregister,
			Before: summary(r.Before), After: summary(r.After),
			Drain: time.Duration(r.Drained - r.Started),
			Save:  time.Duration(r.Saved - r.Drained),
			Total: time.Duration(r.Done - r.Started),
		},
	}
	if r.Op.Action == pr.OperatorClear {
		e.By = Party{Operator: e.By.Peer}
	}
	if r.Err != nil {
		e.Detail = plain.Text(r.Err.Error())
	}
	if typed(r.Op.Action) {
		e.PR.Type = r.Op.Type.String()
	}
	e.PR.Added, e.PR.Removed, e.PR.Changed = diff(r.Before.Registrations, r.After.Registrations)
	return e
}

// typed reports whether the action carries a reservation type.
func typed(a pr.Action) bool {
	switch a {
	case pr.Reserve, pr.Release, pr.Preempt, pr.PreemptAndAbort, pr.ReplaceLostReservation:
		return true
	}
	return false
}

func summary(s pr.State) Summary {
	m := Summary{Generation: s.Generation, APTPL: s.APTPL, Registrations: len(s.Registrations)}
	if s.Condition != pr.Normal {
		m.Condition = s.Condition.String()
	}
	if s.Legacy != (pr.Nexus{}) {
		m.Legacy = plain.Text(s.Legacy.Initiator)
	}
	if t := s.Reservation.Type; t != 0 {
		m.Type = t.String()
		if reg, ok := s.Find(s.Reservation.Holder); ok {
			h := right(reg)
			m.Holder = &h
		}
	}
	return m
}

func diff(before, after []pr.Registration) (added, removed, changed []Right) {
	if slices.Equal(before, after) {
		return nil, nil, nil
	}
	old := make(map[pr.Nexus]pr.Registration, len(before))
	for _, r := range before {
		old[r.Nexus] = r
	}
	for _, r := range after {
		was, ok := old[r.Nexus]
		delete(old, r.Nexus)
		switch {
		case !ok:
			added = append(added, right(r))
		case was.Key != r.Key:
			changed = append(changed, right(r))
		}
	}
	for _, r := range before {
		if _, gone := old[r.Nexus]; gone {
			removed = append(removed, right(r))
		}
	}
	return added, removed, changed
}
