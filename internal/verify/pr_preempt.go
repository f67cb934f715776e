package verify

import (
	"nas-target/internal/initiator"
)

// takeover builds PREEMPT or PREEMPT AND ABORT.
type takeover func(key, victim uint64, t initiator.PRType) initiator.Cmd

func init() {
	for _, way := range []struct {
		id, name string
		level    Level
		cmd      takeover
	}{
		{"preempt", "PREEMPT", Required, preempt},
		{"preempt-and-abort", "PREEMPT AND ABORT", Required, preemptAbort},
	} {
		definePreempt(way.id, way.name, way.cmd)
	}
}

func definePreempt(id, name string, cmd takeover) {
	clause := "SPC-4 r36f 5.13.11.2.4"
	if id == "preempt-and-abort" {
		clause = "SPC-4 r36f 5.13.11.2.6"
	}
	pr := func(sub, title, demand string, nexuses int, run func(*T)) Case {
		return Case{ID: "pr." + id + sub, Title: name + " " + title, Clause: clause, Demand: demand, Level: Required,
			Destructive: true, Nexuses: nexuses, needsPR: true, run: run}
	}
	// do sends it; that it exists is judged by the first case alone.
	do := func(n *Nexus, c initiator.Cmd, w want) { n.expectOr(c, w) }
	define(
		pr("", "removes a registration", "a key that is not the holder's loses its registration; the reservation stays, TYPE is ignored, PRGENERATION counts one; the loser finds REGISTRATIONS PREEMPTED", 3,
			func(t *T) {
				a, b, c := t.Three()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				c.Register(t.Key(3))
				a.Reserve(t.Key(1), writeRegistrants)
				g := a.Generation()
				a.Expect(cmd(t.Key(1), t.Key(2), writeExclusive), good)
				b.WantUA(initiator.ASCRegistrationsPreempted)
				a.WantUA()
				c.WantUA()
				a.WantKeys(t.Key(1), t.Key(3))
				a.WantReservation(t.Key(1), writeRegistrants)
				a.WantGeneration(g + 1)
				b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
				c.Expect(c.Write(t.LBA(0), t.Pattern(1, 1)), good)
			}),
		pr(".no-reservation", "removes a registration where no reservation is", "without a reservation the victim's registration goes and no reservation comes to be", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				do(a, cmd(t.Key(1), t.Key(2), writeExclusive), good)
				b.WantUA(initiator.ASCRegistrationsPreempted)
				a.WantKeys(t.Key(1))
				a.WantNoReservation()
			}),
		pr(".several", "removes every registration of a key", "all nexuses registered with the key lose their registration, each finds REGISTRATIONS PREEMPTED", 3,
			func(t *T) {
				a, b, c := t.Three()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				c.Register(t.Key(2))
				do(a, cmd(t.Key(1), t.Key(2), writeExclusive), good)
				b.WantUA(initiator.ASCRegistrationsPreempted)
				c.WantUA(initiator.ASCRegistrationsPreempted)
				a.WantKeys(t.Key(1))
			}),
		pr(".nobody", "of a key that nobody has conflicts", "a SERVICE ACTION RESERVATION KEY that no nexus has registered ends with RESERVATION CONFLICT, with a reservation and without", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				do(a, cmd(t.Key(1), t.Key(9), writeExclusive), conflict)
				a.Reserve(t.Key(1), writeExclusive)
				a.Check(cmd(t.Key(1), t.Key(9), writeExclusive), conflict)
				a.WantReservation(t.Key(1), writeExclusive)
			}),
		pr(".zero", "of key 0 is refused", "without an all-registrants reservation a SERVICE ACTION RESERVATION KEY of 0 ends with INVALID FIELD IN PARAMETER LIST and changes nothing", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				do(a, cmd(t.Key(1), 0, writeExclusive), badList)
				b.Reserve(t.Key(2), writeExclusive)
				a.Check(cmd(t.Key(1), 0, writeExclusive), badList)
				a.WantKeys(t.Key(1), t.Key(2))
				a.WantReservation(t.Key(2), writeExclusive)
			}),
		pr(".type-change", "that changes the type tells the others", "a registered nexus that keeps its registration finds RESERVATIONS RELEASED if the reservation's type changes, and nothing if it does not", 3,
			func(t *T) {
				a, b, c := t.Three()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				c.Register(t.Key(3))
				b.Reserve(t.Key(2), writeRegistrants)
				do(a, cmd(t.Key(1), t.Key(2), writeRegistrants), good)
				c.WantUA()
				t.Note("now the type changes")
				a.Expect(cmd(t.Key(1), t.Key(1), writeExclusive), good)
				c.WantUA(initiator.ASCReservationsReleased)
				a.WantUA()
				a.WantReservation(t.Key(1), writeExclusive)
				a.WantKeys(t.Key(1), t.Key(3))
			}),
		pr(".bad-type", "with a type that does not exist takes nothing over", "where a reservation would be made, a reserved TYPE ends with INVALID FIELD IN CDB and nothing changes", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				b.Reserve(t.Key(2), writeExclusive)
				a.Expect(cmd(t.Key(1), t.Key(2), 0x0f), badCDB)
				a.WantKeys(t.Key(1), t.Key(2))
				a.WantReservation(t.Key(2), writeExclusive)
				b.WantUA()
				t.Note("who does not have the command at all answers likewise: with a type that exists it must work")
				do(a, cmd(t.Key(1), t.Key(2), writeExclusive), good)
			}),
		pr(".own-key.holder", "of the holder's own key changes its reservation", "a holder that names its own key stays registered and gets the new type", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				do(a, cmd(t.Key(1), t.Key(1), accessRegistrants), good)
				a.WantKeys(t.Key(1))
				a.WantReservation(t.Key(1), accessRegistrants)
				a.WantUA()
			}),
		pr(".own-key.stale-holder", "of the own key takes over from a stale nexus", "a nexus whose own key is the holder's, too, becomes the holder and stays registered; the other loses its registration (a node that comes back with another ISID)", 1,
			func(t *T) {
				old := t.Nexus(0)
				old.Register(t.Key(1))
				old.Reserve(t.Key(1), writeRegistrants)
				fresh := old.Stranger()
				fresh.Register(t.Key(1))
				do(fresh, cmd(t.Key(1), t.Key(1), writeRegistrants), good)
				fresh.WantKeys(t.Key(1))
				fresh.WantReservation(t.Key(1), writeRegistrants)
				old.WantUA(initiator.ASCRegistrationsPreempted)
				fresh.WantUA()
				fresh.Expect(release(t.Key(1), writeRegistrants), good)
				fresh.WantNoReservation()
			}),
		pr(".own-key.not-holder", "of the own key by who does not hold", "every registration with the key goes, the sender's too; the reservation of another key stays", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a2 := a.Stranger()
				a2.Register(t.Key(1))
				b.Reserve(t.Key(2), writeRegistrants)
				do(a, cmd(t.Key(1), t.Key(1), writeRegistrants), good)
				b.WantKeys(t.Key(2))
				b.WantReservation(t.Key(2), writeRegistrants)
				a2.WantUA(initiator.ASCRegistrationsPreempted)
				a.WantUA()
			}),
	)
	for _, typ := range types {
		typ := typ
		switch {
		case allRegistrants(typ):
			define(
				pr(".all."+token(typ), "of key 0 takes over "+typeName(typ), "every registration but the sender's goes, and the sender holds a reservation of the TYPE that it gave", 3,
					func(t *T) {
						a, b, c := t.Three()
						a.Register(t.Key(1))
						b.Register(t.Key(2))
						c.Register(t.Key(3))
						b.Reserve(t.Key(2), typ)
						do(a, cmd(t.Key(1), 0, writeExclusive), good)
						b.WantUA(initiator.ASCRegistrationsPreempted)
						c.WantUA(initiator.ASCRegistrationsPreempted)
						a.WantUA()
						a.WantKeys(t.Key(1))
						a.WantReservation(t.Key(1), writeExclusive)
					}),
				pr(".one."+token(typ), "of one registrant leaves "+typeName(typ), "the key's registration goes; the reservation stays with those that remain", 3,
					func(t *T) {
						a, b, c := t.Three()
						a.Register(t.Key(1))
						b.Register(t.Key(2))
						c.Register(t.Key(3))
						b.Reserve(t.Key(2), typ)
						do(a, cmd(t.Key(1), t.Key(2), writeExclusive), good)
						b.WantUA(initiator.ASCRegistrationsPreempted)
						c.WantUA()
						a.WantKeys(t.Key(1), t.Key(3))
						a.WantReservation(0, typ)
						b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
						c.Expect(c.Write(t.LBA(0), t.Pattern(1, 1)), good)
					}))
		default:
			define(pr(".holder."+token(typ), "takes "+typeName(typ)+" over", "the holder loses registration and reservation in one step; the sender holds a reservation of the TYPE that it gave, and the loser may not write", 2,
				func(t *T) {
					a, b := t.Two()
					a.Register(t.Key(1))
					b.Register(t.Key(2))
					b.Reserve(t.Key(2), typ)
					g := a.Generation()
					do(a, cmd(t.Key(1), t.Key(2), typ), good)
					b.WantUA(initiator.ASCRegistrationsPreempted)
					a.WantUA()
					a.WantKeys(t.Key(1))
					a.WantReservation(t.Key(1), typ)
					a.WantGeneration(g + 1)
					b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
					a.Expect(a.Write(t.LBA(0), t.Pattern(2, 1)), good)
				}))
		}
	}
}
