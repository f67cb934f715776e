package verify

import (
	"fmt"
	"slices"

	"nas-target/internal/initiator"
)

const (
	writeExclusive      = initiator.WriteExclusive
	exclusiveAccess     = initiator.ExclusiveAccess
	writeRegistrants    = initiator.WriteExclusiveRegistrantsOnly
	accessRegistrants   = initiator.ExclusiveAccessRegistrants
	writeAllRegistrants = initiator.WriteExclusiveAllRegistrants
	accessAll           = initiator.ExclusiveAccessAllRegistrants
)

// types are all reservation types.
var types = []initiator.PRType{writeExclusive, exclusiveAccess, writeRegistrants, accessRegistrants, writeAllRegistrants, accessAll}

func allRegistrants(t initiator.PRType) bool { return t == writeAllRegistrants || t == accessAll }

// registrantsType tells the types that give registrants rights.
func registrantsType(t initiator.PRType) bool { return t >= writeRegistrants }

// token is the type in a case's id, as the field abbreviates it.
func token(t initiator.PRType) string {
	return map[initiator.PRType]string{1: "we", 3: "ea", 5: "wero", 6: "earo", 7: "wear", 8: "eaar"}[t]
}

// out builds PERSISTENT RESERVE OUT with the basic parameter list.
func out(sa initiator.PROutAction, t initiator.PRType, p initiator.PRParams) initiator.Cmd {
	return initiator.PROut(sa, 0, t, p.Marshal())
}

func register(old, key uint64) initiator.Cmd {
	return out(initiator.PRRegister, 0, initiator.PRParams{Key: old, ServiceKey: key})
}

func registerKept(old, key uint64, aptpl bool) initiator.Cmd {
	return out(initiator.PRRegister, 0, initiator.PRParams{Key: old, ServiceKey: key, APTPL: aptpl})
}

func registerIgnore(key uint64) initiator.Cmd {
	return out(initiator.PRRegisterAndIgnore, 0, initiator.PRParams{ServiceKey: key})
}

func reserve(key uint64, t initiator.PRType) initiator.Cmd {
	return out(initiator.PRReserve, t, initiator.PRParams{Key: key})
}

func release(key uint64, t initiator.PRType) initiator.Cmd {
	return out(initiator.PRRelease, t, initiator.PRParams{Key: key})
}

func clearAll(key uint64) initiator.Cmd {
	return out(initiator.PRClear, 0, initiator.PRParams{Key: key})
}

func preempt(key, victim uint64, t initiator.PRType) initiator.Cmd {
	return out(initiator.PRPreempt, t, initiator.PRParams{Key: key, ServiceKey: victim})
}

func preemptAbort(key, victim uint64, t initiator.PRType) initiator.Cmd {
	return out(initiator.PRPreemptAndAbort, t, initiator.PRParams{Key: key, ServiceKey: victim})
}

func move(m initiator.PRMove) initiator.Cmd {
	return initiator.PROut(initiator.PRRegisterAndMove, 0, 0, m.Marshal())
}

// fullStatusName is the one query that targets do without, and say so.
const fullStatusName = "PERSISTENT RESERVE IN READ FULL STATUS"

// observe runs a query that other cases judge; what it decodes to judges this one.
func observe[V any](n *Nexus, name string, query func() (V, error)) V {
	for attempt := 0; ; attempt++ {
		v, err := query()
		if err == nil {
			return v
		}
		r, ended := initiator.AsStatus(err)
		switch {
		case ended && isUA(r) && attempt < maxAttentions:
			continue
		case ended && name == fullStatusName && (unsupported(r) || badCDB.ok(r)):
			n.t.record(Step{Nexus: n.Name, Did: name, Got: answer(r)})
			n.t.Absent("%s is not implemented: %s", name, answer(r))
		case ended:
			n.t.record(Step{Nexus: n.Name, Did: name, Got: answer(r)})
			n.t.Broken("%s: %s: %s, which another case judges", n.Name, name, answer(r))
		case isTransport(err):
			n.noAnswer(name, err)
		}
		n.t.record(Step{Nexus: n.Name, Did: name, Got: errText(err), Wrong: true})
		n.t.Fail("%s: %s is malformed: %s", n.Name, name, errText(err))
	}
}

// Keys reads the registered keys.
func (n *Nexus) Keys() initiator.PRKeys {
	ctx, cancel := n.t.within()
	defer cancel()
	k := observe(n, "PERSISTENT RESERVE IN READ KEYS", func() (initiator.PRKeys, error) { return n.U.ReadKeys(ctx) })
	return k
}

// WantKeys judges which keys are registered, in any order.
func (n *Nexus) WantKeys(keys ...uint64) {
	k := n.Keys()
	got := slices.Clone(k.Keys)
	slices.Sort(got)
	slices.Sort(keys)
	n.saw("READ KEYS", keyNames(got), keyNames(keys))
}

// saw records what a query showed, and stops the case if it is not what was wanted.
func (n *Nexus) saw(did, got, wanted string) {
	wrong := got != wanted
	n.t.record(Step{Nexus: n.Name, Did: did, Got: got, Want: wanted, Wrong: wrong})
	if wrong {
		n.t.Fail("%s: %s shows %s, must show %s", n.Name, did, got, wanted)
	}
}

// Generation reads PRGENERATION.
func (n *Nexus) Generation() uint32 {
	g := n.Keys().Generation
	n.t.record(Step{Nexus: n.Name, Did: "READ KEYS", Got: fmt.Sprintf("generation %d", g)})
	return g
}

// WantGeneration judges PRGENERATION.
func (n *Nexus) WantGeneration(g uint32) {
	n.saw("READ KEYS", fmt.Sprintf("generation %d", n.Keys().Generation), fmt.Sprintf("generation %d", g))
}

// Reservation reads the reservation.
func (n *Nexus) Reservation() initiator.PRReservation {
	ctx, cancel := n.t.within()
	defer cancel()
	return observe(n, "PERSISTENT RESERVE IN READ RESERVATION", func() (initiator.PRReservation, error) { return n.U.ReadReservation(ctx) })
}

func reservationText(r initiator.PRReservation) string {
	if !r.Held {
		return "no reservation"
	}
	text := fmt.Sprintf("%s, key %s", typeName(r.Type), keyName(r.Key))
	if r.Scope != 0 {
		text += fmt.Sprintf(", scope %d", r.Scope)
	}
	return text
}

// WantReservation judges the reservation; for the all-registrants types the key
// is 0, whatever key is given. SPC-4 r36f 6.15.3.
func (n *Nexus) WantReservation(key uint64, t initiator.PRType) {
	if allRegistrants(t) {
		key = 0
	}
	n.saw("READ RESERVATION", reservationText(n.Reservation()), reservationText(initiator.PRReservation{Held: true, Key: key, Type: t}))
}

// WantNoReservation judges that there is none.
func (n *Nexus) WantNoReservation() {
	n.saw("READ RESERVATION", reservationText(n.Reservation()), "no reservation")
}

// FullStatus reads the registrations with their ports.
func (n *Nexus) FullStatus() initiator.PRFullStatus {
	ctx, cancel := n.t.within()
	defer cancel()
	return observe(n, fullStatusName, func() (initiator.PRFullStatus, error) { return n.U.ReadFullStatus(ctx) })
}

// Capabilities reads REPORT CAPABILITIES.
func (n *Nexus) Capabilities() initiator.PRCapabilities {
	ctx, cancel := n.t.within()
	defer cancel()
	c := observe(n, "PERSISTENT RESERVE IN REPORT CAPABILITIES", func() (initiator.PRCapabilities, error) { return n.U.PRCapabilities(ctx) })
	n.t.record(Step{Nexus: n.Name, Did: "REPORT CAPABILITIES", Got: capabilityText(c)})
	return c
}

func capabilityText(c initiator.PRCapabilities) string {
	bit := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return fmt.Sprintf("RLR_C=%d CRH=%d SIP_C=%d ATP_C=%d PTPL_C=%d PTPL_A=%d TMV=%d type mask %04X", bit(c.ReplaceLost),
		bit(c.CompatibleReserve), bit(c.SpecIPT), bit(c.AllPorts), bit(c.PersistCapable), bit(c.PersistActive), bit(c.TypeMaskValid), c.TypeMask)
}

// Register registers a nexus on the way to a question.
func (n *Nexus) Register(key uint64) { n.Must(register(0, key)) }

// Reserve takes a reservation on the way to a question; a type that the target
// does not have skips the case.
func (n *Nexus) Reserve(key uint64, t initiator.PRType) {
	r := n.given(reserve(key, t), either(good, badCDB))
	if !r.Good() {
		n.t.Absent("%s is not implemented: %s", typeName(t), answer(r))
	}
}

// older allows another answer to targets that claim a version before SPC-4, as
// its tables do in their notes. SPC-4 r36f tables 67 and 70.
func (t *T) older(now, then want) want {
	if t.r.inquiry.Version < 6 {
		return either(now, then)
	}
	return now
}

// expectOr judges a service action that a target may lack: then the case is
// skipped, because the case about the service action says so already.
func (n *Nexus) expectOr(c initiator.Cmd, w want) initiator.Response {
	missing := either(badOpcode, badCDB)
	r, ok := n.judged(c, want{w.text, either(w, missing).ok})
	switch {
	case !ok:
		panic(stop{})
	case !w.ok(r):
		n.t.Absent("%s is not implemented: %s", prOutNames[c.CDB[1]&0x1f], answer(r))
	}
	return r
}
