package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// PERSISTENT RESERVE OUT. SPC-4 r36f 6.16. One at a time per unit, on the
// control queue: data I/O, however much or stuck, does not delay it.
func init() {
	out := func(op pr.Action, name, usage, ignore string) {
		register(Command{
			Op: 0x5f, SA: uint16(op), HasSA: true, Name: "PERSISTENT RESERVE OUT/" + name,
			Access: pr.Persistent, Dir: DataOut, Flags: Control | Standby | WithoutPR, Class: ClassReservation,
			Usage: usage, Ignore: ignore, Length: Field{5, 4},
			Run: runPROut,
		})
	}
	const scopeIgnored = "00 00 ff 00 00 00 00 00 00 00"
	out(pr.Register, "REGISTER", "5f 00 00 00 00 ff ff ff ff 00", scopeIgnored)
	out(pr.Reserve, "RESERVE", "5f 01 ff 00 00 ff ff ff ff 00", "")
	out(pr.Release, "RELEASE", "5f 02 ff 00 00 ff ff ff ff 00", "")
	out(pr.Clear, "CLEAR", "5f 03 00 00 00 ff ff ff ff 00", scopeIgnored)
	out(pr.Preempt, "PREEMPT", "5f 04 ff 00 00 ff ff ff ff 00", "")
	out(pr.PreemptAndAbort, "PREEMPT AND ABORT", "5f 05 ff 00 00 ff ff ff ff 00", "")
	out(pr.RegisterAndIgnore, "REGISTER AND IGNORE EXISTING KEY", "5f 06 00 00 00 ff ff ff ff 00", scopeIgnored)
	out(pr.RegisterAndMove, "REGISTER AND MOVE", "5f 07 00 00 00 ff ff ff ff 00", scopeIgnored)
	out(pr.ReplaceLostReservation, "REPLACE LOST RESERVATION", "5f 08 ff 00 00 ff ff ff ff 00", "")
}

func runPROut(t *Task) error {
	op := parsePROut(pr.Action(serviceAction(&t.CDB)), t.CDB[2], t.Out[:t.Need])
	op.From = t.itl.it.nexus
	op.Peer = t.itl.it.Peer()
	return t.unit.reserve(t, op)
}

// reserve applies a reservation request and does all that it entails before
// the answer.
func (u *Unit) reserve(t *Task, op pr.Op) error {
	out := u.pr.Apply(op, t.itl.it.dev.env(u), u.fence)
	u.carryOut(t, out.Effects)
	if op.Action == pr.LegacyReserve && t.itl.gone() {
		u.pr.Apply(pr.Op{Action: pr.NexusLoss, From: op.From}, pr.Env{}, u.fence)
	}
	return verdictError(out.Verdict)
}

// parsePROut reads a parameter list. Lengths that are wrong are noted, not
// judged: their place in the order of checks belongs to the rules.
func parsePROut(a pr.Action, scopeType byte, p []byte) pr.Op {
	op := pr.Op{Action: a, Scope: scopeType >> 4, Type: pr.Type(scopeType & 0x0f)}
	if len(p) < 24 {
		op.BadLength = true
		return op
	}
	op.Key = pr.Key(binary.BigEndian.Uint64(p))
	op.ServiceKey = pr.Key(binary.BigEndian.Uint64(p[8:]))
	if a == pr.RegisterAndMove {
		op.Unregister, op.APTPL = p[17]&0x02 != 0, p[17]&0x01 != 0
		op.RelativePort = binary.BigEndian.Uint16(p[18:])
		parseTransports(&op, p, 20)
		return op
	}
	op.SpecIPt, op.AllTargetPorts, op.APTPL = p[20]&0x08 != 0, p[20]&0x04 != 0, p[20]&0x01 != 0
	if !op.SpecIPt {
		op.BadLength = len(p) != 24
		return op
	}
	parseTransports(&op, p, 24)
	return op
}

// parseTransports reads the TransportIDs behind their four-byte length at p[at].
func parseTransports(op *pr.Op, p []byte, at int) {
	if len(p) < at+4 || uint64(binary.BigEndian.Uint32(p[at:])) != uint64(len(p)-at-4) {
		op.BadLength = true
		return
	}
	for at += 4; at < len(p); {
		id, n := parseTransportID(p[at:], at)
		if n == 0 {
			op.BadLength = true
			return
		}
		op.Transports = append(op.Transports, id)
		at += n
	}
}

// verdictError maps the rules' answer to status and sense, in one place.
func verdictError(v pr.Verdict) error {
	point := func(c *Check, data bool) error {
		if data {
			return c.AtData(int(v.Pointer.Byte), int(v.Pointer.Bit)).named(v.Reason)
		}
		return c.AtCDB(int(v.Pointer.Byte), int(v.Pointer.Bit)).named(v.Reason)
	}
	switch v.Status {
	case pr.Good:
		return nil
	case pr.Conflict:
		return errConflict
	case pr.InvalidFieldInCDB:
		return point(ErrInvalidField, false)
	case pr.InvalidFieldInParameterList:
		return point(ErrInvalidParameter, true)
	case pr.ParameterListLength:
		return ErrParameterListLength
	case pr.InvalidRelease:
		return ErrInvalidRelease
	case pr.InsufficientReservationResources:
		return ErrNoRoomForReserve
	case pr.InsufficientRegistrationResources:
		return ErrNoRoomToRegister
	case pr.PersistentInformationLost:
		return ErrPRLost
	case pr.BecomingReady:
		return ErrManualIntervention
	}
	return ErrPRNotPersisted
}

// env is what the rules must know of the device around a unit.
func (d *Device) env(u *Unit) pr.Env {
	e := pr.Env{TargetPorts: d.prPorts(), NUAR: u.conf.Load().nuar}
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.known {
		e.InitiatorPorts = append(e.InitiatorPorts, n)
	}
	return e
}

func (d *Device) prPorts() []pr.Port {
	var ports []pr.Port
	for _, p := range d.Ports() {
		ports = append(ports, pr.Port{Name: p.Name, RelativeID: p.Relative})
	}
	return ports
}
