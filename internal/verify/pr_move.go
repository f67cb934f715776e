package verify

import "nas-target/internal/initiator"

func init() {
	pr := func(id, title, demand string, level Level, run func(t *T, a, b *Nexus)) Case {
		return Case{ID: "pr.move" + id, Title: "REGISTER AND MOVE " + title, Clause: "SPC-4 r36f 5.13.8, 6.16.4", Demand: demand, Level: level,
			Destructive: true, Nexuses: 3, needsPR: true, run: func(t *T) {
				a, b := t.Two()
				if id != "" {
					needMove(t, a, b)
				}
				run(t, a, b)
			}}
	}
	define(
		pr("", "moves a reservation", "the destination is registered with the SERVICE ACTION RESERVATION KEY and holds the same type; the sender stays registered; PRGENERATION counts one", Recommended,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				g := a.Generation()
				a.Expect(move(t.moveTo(b, t.Key(1), t.Key(2))), good)
				a.WantKeys(t.Key(1), t.Key(2))
				a.WantReservation(t.Key(2), writeExclusive)
				a.WantGeneration(g + 1)
				b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), good)
				a.Expect(a.Write(t.LBA(0), t.Pattern(2, 1)), conflict)
			}),
		pr(".unregister", "with UNREG unregisters the sender", "with UNREG=1 the sender's registration goes in the same step", Required,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeRegistrants)
				m := t.moveTo(b, t.Key(1), t.Key(2))
				m.Unregister = true
				a.Expect(move(m), good)
				b.WantKeys(t.Key(2))
				b.WantReservation(t.Key(2), writeRegistrants)
				a.Expect(a.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
			}),
		pr(".registered", "to a nexus that is registered replaces its key", "a destination that is registered gets the new key and the reservation", Required,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a.Reserve(t.Key(1), exclusiveAccess)
				a.Expect(move(t.moveTo(b, t.Key(1), t.Key(3))), good)
				a.WantKeys(t.Key(1), t.Key(3))
				a.WantReservation(t.Key(3), exclusiveAccess)
			}),
		pr(".no-reservation", "without a reservation is refused", "it ends with INVALID FIELD IN CDB and registers nobody", Required,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				a.Expect(move(t.moveTo(b, t.Key(1), t.Key(2))), badCDB)
				a.WantKeys(t.Key(1))
			}),
		pr(".not-holder", "by who does not hold the reservation conflicts", "a registered nexus that is not the holder gets RESERVATION CONFLICT", Required,
			func(t *T, a, b *Nexus) {
				c := t.Nexus(2)
				a.Register(t.Key(1))
				c.Register(t.Key(3))
				c.Reserve(t.Key(3), writeRegistrants)
				a.Expect(move(t.moveTo(b, t.Key(1), t.Key(2))), conflict)
				a.WantKeys(t.Key(1), t.Key(3))
				a.WantReservation(t.Key(3), writeRegistrants)
			}),
		pr(".all-registrants", "of an all-registrants reservation conflicts", "a reservation that all registrants hold cannot be moved: RESERVATION CONFLICT", Required,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeAllRegistrants)
				a.Expect(move(t.moveTo(b, t.Key(1), t.Key(2))), conflict)
				a.WantKeys(t.Key(1))
			}),
		pr(".key-mismatch", "with a wrong key conflicts", "a RESERVATION KEY that is not the sender's gets RESERVATION CONFLICT", Required,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				a.Expect(move(t.moveTo(b, t.Key(9), t.Key(2))), conflict)
				a.WantReservation(t.Key(1), writeExclusive)
			}),
		pr(".key-zero", "with a new key of 0 is refused", "a SERVICE ACTION RESERVATION KEY of 0 ends with INVALID FIELD IN PARAMETER LIST", Required,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				a.Expect(move(t.moveTo(b, t.Key(1), 0)), t.older(badList, badCDB))
				a.WantReservation(t.Key(1), writeExclusive)
			}),
		pr(".self", "to the sender itself is refused", "a TransportID and port that are the sender's own end with INVALID FIELD IN PARAMETER LIST", Required,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				a.Expect(move(t.moveTo(a, t.Key(1), t.Key(2))), badList)
				a.WantKeys(t.Key(1))
			}),
		pr(".truncated", "with a truncated TransportID is refused", "a parameter list shorter than its TRANSPORTID LENGTH announces ends with ILLEGAL REQUEST, and nothing changes", Required,
			func(t *T, a, b *Nexus) {
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				list := t.moveTo(b, t.Key(1), t.Key(2)).Marshal()
				a.Expect(initiator.PROut(initiator.PRRegisterAndMove, 0, 0, list[:len(list)-8]), either(badLength, badList))
				a.WantKeys(t.Key(1))
				a.WantReservation(t.Key(1), writeExclusive)
			}),
	)
}

// moveTo names the nexus n as the destination.
func (t *T) moveTo(n *Nexus, key, newKey uint64) initiator.PRMove {
	port, ok := n.ownPort()
	if !ok {
		t.Absent("page 83h gives the target port no relative port identifier, which REGISTER AND MOVE needs")
	}
	return initiator.PRMove{Key: key, ServiceKey: newKey, RelativePort: port, Destination: n.S.PortID()}
}

// needMove skips the case if the target does not move reservations at all.
func needMove(t *T, a, b *Nexus) {
	a.Register(t.Key(1))
	a.Reserve(t.Key(1), writeExclusive)
	r := a.Do(move(t.moveTo(b, t.Key(1), t.Key(2))))
	if !r.Good() {
		t.Absent("REGISTER AND MOVE does not work, which pr.move judges: %s", answer(r))
	}
	a.Must(clearAll(t.Key(1)))
	a.Attentions()
	b.Attentions()
	t.Note("now the question")
}
