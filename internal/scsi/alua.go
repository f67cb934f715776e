package scsi

import "maps"

// AccessState is the asymmetric access state of a target port group for one
// unit. SPC-4 r36f 5.16.2.4, coded as in REPORT TARGET PORT GROUPS.
type AccessState uint8

const (
	AccessOptimized     AccessState = 0x0
	AccessNonOptimized  AccessState = 0x1
	AccessStandby       AccessState = 0x2
	AccessUnavailable   AccessState = 0x3
	AccessTransitioning AccessState = 0xf
)

func (s AccessState) String() string {
	switch s {
	case AccessOptimized:
		return "active/optimized"
	case AccessNonOptimized:
		return "active/non-optimized"
	case AccessStandby:
		return "standby"
	case AccessUnavailable:
		return "unavailable"
	case AccessTransitioning:
		return "transitioning"
	}
	return "reserved"
}

// groupState is the state of a target port group and who changed it last.
type groupState struct {
	AccessState
	by stateChange
}

// stateChange is the STATUS CODE of REPORT TARGET PORT GROUPS.
type stateChange uint8

const (
	byInitiator stateChange = 1 // SET TARGET PORT GROUPS
	byTarget    stateChange = 2
)

// accessState returns how the unit can be reached through the task's port.
func (t *Task) accessState() AccessState { return t.conf.groups[t.itl.it.port.Group].AccessState }

// accessible refuses what the port group's state does not allow.
func (t *Task) accessible(row *Command) *Check {
	switch t.accessState() {
	case AccessStandby:
		if row.Flags&Standby == 0 {
			return ErrStandby
		}
	case AccessUnavailable:
		if row.Flags&Unavailable == 0 {
			return ErrUnavailable
		}
	case AccessTransitioning:
		if row.Flags&Transition == 0 {
			return ErrAsymmetricTransit
		}
	}
	return nil
}

// SetAccessState changes the state of a target port group and tells every
// nexus. Who fails over calls it; reservations are common to all groups.
func (u *Unit) SetAccessState(group uint16, s AccessState) {
	u.setAccessStates(nil, byTarget, map[uint16]AccessState{group: s})
}

// setAccessStates changes the states of groups. The nexus that asked for it,
// if one did, is not told.
func (u *Unit) setAccessStates(from *itl, by stateChange, states map[uint16]AccessState) {
	changed := false
	u.change(func(f *conf) {
		groups := maps.Clone(f.groups)
		if groups == nil {
			groups = map[uint16]groupState{}
		}
		for g, s := range states {
			changed = changed || groups[g].AccessState != s
			groups[g] = groupState{s, by}
		}
		f.groups = groups
	})
	if changed {
		u.raiseOthers(from, UAAsymmetricChanged)
	}
}

// tpgs is the TPGS field of INQUIRY: the target changes states by itself, and
// initiators may only where the operator lets them.
func (u *Unit) tpgs() byte {
	const implicit, explicit = 1, 2
	if u.setAccess != nil {
		return implicit | explicit
	}
	return implicit
}
