package verify

import "nas-target/internal/initiator"

func init() {
	pr := func(id, title, clause, demand string, nexuses int, run func(*T)) Case {
		return Case{ID: "pr." + id, Title: title, Clause: clause, Demand: demand, Level: Required,
			Destructive: true, Nexuses: nexuses, needsPR: true, run: run}
	}
	const registering = "SPC-4 r36f 5.13.7"
	define(
		pr("register.new", "REGISTER registers a key", registering,
			"REGISTER of an unregistered nexus with RESERVATION KEY 0 registers its key", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Expect(register(0, t.Key(1)), good)
				a.WantKeys(t.Key(1))
			}),
		pr("register.nothing", "REGISTER of key 0 by an unregistered nexus does nothing", registering+", table 67",
			"an unregistered nexus that sends REGISTER with both keys 0 gets GOOD and stays unregistered", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Expect(register(0, 0), good)
				a.WantKeys()
				a.Expect(registerIgnore(0), good)
				a.WantKeys()
			}),
		pr("register.unregistered-key", "REGISTER of an unregistered nexus with a RESERVATION KEY conflicts", registering+", table 67",
			"an unregistered nexus whose RESERVATION KEY is not 0 gets RESERVATION CONFLICT, and is not registered", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Expect(register(t.Key(9), t.Key(1)), conflict)
				a.WantKeys()
			}),
		pr("register.key-mismatch", "REGISTER with a wrong RESERVATION KEY conflicts", registering+", table 67",
			"a registered nexus whose RESERVATION KEY is not its own gets RESERVATION CONFLICT; registration and PRGENERATION stay", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				g := a.Generation()
				a.Expect(register(t.Key(9), t.Key(3)), conflict)
				a.Expect(register(0, t.Key(3)), conflict)
				a.Expect(register(t.Key(2), 0), conflict)
				a.WantKeys(t.Key(1), t.Key(2))
				a.WantGeneration(g)
			}),
		pr("register.change", "REGISTER changes the key, and the reservation follows", registering,
			"a registered nexus gets its new key; its reservation stays and is reported with the new key", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a.Reserve(t.Key(1), writeExclusive)
				a.Expect(register(t.Key(1), t.Key(3)), good)
				b.WantKeys(t.Key(2), t.Key(3))
				b.WantReservation(t.Key(3), writeExclusive)
				a.Expect(release(t.Key(1), writeExclusive), conflict)
				a.Expect(release(t.Key(3), writeExclusive), good)
			}),
		pr("register.again", "REGISTER of the same key again is no error", registering,
			"a registered nexus that registers the key it has gets GOOD and stays registered once", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				a.Expect(register(t.Key(1), t.Key(1)), good)
				a.WantKeys(t.Key(1))
			}),
		pr("register.shared-key", "Several nexuses may use one key", "SPC-4 r36f 5.13.7, 6.15.2",
			"a key may be registered by several nexuses; READ KEYS lists it once for each", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Expect(register(0, t.Key(1)), good)
				a.WantKeys(t.Key(1), t.Key(1))
				a.Expect(register(t.Key(1), 0), good)
				a.WantKeys(t.Key(1))
				b.Expect(reserve(t.Key(1), writeExclusive), good)
			}),
		pr("register.unregister", "REGISTER of key 0 unregisters", registering+", 5.13.11.2.3",
			"the registration goes, those of others stay, and the nexus has to register before it may reserve", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				g := a.Generation()
				a.Expect(register(t.Key(1), 0), good)
				b.WantKeys(t.Key(2))
				b.WantGeneration(g + 1)
				a.Expect(reserve(t.Key(1), writeExclusive), conflict)
			}),
		pr("register.ignore", "REGISTER AND IGNORE EXISTING KEY ignores the RESERVATION KEY", registering+", table 68",
			"the key is registered, replaced or, with 0, removed, whatever the RESERVATION KEY field says", 1,
			func(t *T) {
				a := t.Nexus(0)
				ignoring := func(rk, key uint64) initiator.Cmd {
					return out(initiator.PRRegisterAndIgnore, 0, initiator.PRParams{Key: rk, ServiceKey: key})
				}
				g := a.Generation()
				a.Expect(ignoring(t.Key(9), t.Key(1)), good)
				a.WantKeys(t.Key(1))
				a.Expect(ignoring(t.Key(9), t.Key(2)), good)
				a.WantKeys(t.Key(2))
				a.WantGeneration(g + 2)
				a.Expect(ignoring(t.Key(9), 0), good)
				a.WantKeys()
			}),
		pr("register.others-reservation", "A nexus may register while another holds any reservation", "SPC-4 r36f 5.13.1, table 66",
			"REGISTER and REGISTER AND IGNORE EXISTING KEY are allowed whatever reservation exists, and create no unit attention", 3,
			func(t *T) {
				a, b, c := t.Three()
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), exclusiveAccess)
				b.Expect(register(0, t.Key(2)), good)
				c.Expect(registerIgnore(t.Key(3)), good)
				a.WantUA()
				a.WantKeys(t.Key(1), t.Key(2), t.Key(3))
				a.WantReservation(t.Key(1), exclusiveAccess)
			}),
		pr("register.isid", "Another ISID is another nexus", "RFC 7143 §4.4.1; SPC-4 r36f 5.13.7",
			"a session of the same initiator with another ISID is not registered: its RESERVE conflicts, and its registration is one more", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				b := a.Stranger()
				b.Expect(reserve(t.Key(1), writeExclusive), conflict)
				b.Expect(register(0, t.Key(2)), good)
				a.WantKeys(t.Key(1), t.Key(2))
			}),
		pr("register.relogin", "A registration outlives its session", "SPC-4 r36f 5.13.1; RFC 7143 App. E.2",
			"logging out and in again with the same ISID leaves registration and reservation as they were; no new REGISTER is needed", 2,
			func(t *T) { relogin(t, (*Nexus).Logout) }),
		pr("register.drop", "A registration outlives a broken connection", "SPC-4 r36f 5.13.1; RFC 7143 App. E.2",
			"a connection that breaks leaves registration and reservation as they were; the nexus has them when it is back", 2,
			func(t *T) { relogin(t, (*Nexus).Drop) }),
		pr("register.list-length", "A parameter list of the wrong length is refused", "SPC-4 r36f 6.16.2",
			"without SPEC_I_PT a PARAMETER LIST LENGTH other than 24 ends with PARAMETER LIST LENGTH ERROR, and registers nobody", 1,
			func(t *T) {
				a := t.Nexus(0)
				list := initiator.PRParams{ServiceKey: t.Key(1)}.Marshal()
				for _, n := range []int{8, 16, 23, 25, 28} {
					l := append([]byte(nil), append(list, 0, 0, 0, 0)[:n]...)
					a.Check(initiator.PROut(initiator.PRRegister, 0, 0, l), badLength)
				}
				a.WantKeys()
			}),
		pr("out.service-action", "Reserved service actions of PERSISTENT RESERVE OUT are refused", "SPC-4 r36f 6.16.1",
			"service actions 09h to 1Fh end with INVALID FIELD IN CDB and change nothing", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				for sa := initiator.PROutAction(9); sa < 0x20; sa++ {
					a.Check(out(sa, 0, initiator.PRParams{Key: t.Key(1)}), badCDB)
				}
				a.WantKeys(t.Key(1))
			}),
		pr("out.unregistered", "Only who has registered may change reservations", "SPC-4 r36f 5.13.1, table 66; 6.16.3",
			"RESERVE, RELEASE, CLEAR and PREEMPT of an unregistered nexus end with RESERVATION CONFLICT, whatever key they name, and change nothing", 2,
			func(t *T) {
				a, b := t.Two()
				for _, held := range []bool{false, true} {
					if held {
						a.Register(t.Key(1))
						a.Reserve(t.Key(1), writeExclusive)
						t.Note("the same while %s holds a reservation", a.Name)
					}
					for _, key := range []uint64{0, t.Key(1)} {
						b.Check(reserve(key, writeExclusive), conflict)
						b.Check(release(key, writeExclusive), conflict)
						b.Check(clearAll(key), conflict)
						b.Check(preempt(key, t.Key(1), writeExclusive), conflict)
					}
				}
				a.WantKeys(t.Key(1))
				a.WantReservation(t.Key(1), writeExclusive)
			}),
		pr("out.key-mismatch", "A wrong RESERVATION KEY conflicts", "SPC-4 r36f 6.16.3",
			"RESERVE, RELEASE, CLEAR and PREEMPT with another RESERVATION KEY than the sender's own end with RESERVATION CONFLICT and change nothing", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a.Check(reserve(t.Key(2), writeExclusive), conflict)
				a.WantNoReservation()
				a.Reserve(t.Key(1), writeExclusive)
				g := a.Generation()
				for _, key := range []uint64{0, t.Key(2), t.Key(9)} {
					a.Check(release(key, writeExclusive), conflict)
					a.Check(clearAll(key), conflict)
					a.Check(preempt(key, t.Key(2), writeExclusive), conflict)
				}
				a.WantKeys(t.Key(1), t.Key(2))
				a.WantReservation(t.Key(1), writeExclusive)
				a.WantGeneration(g)
			}),
		pr("generation", "PRGENERATION counts what changes registrations", "SPC-4 r36f 6.15.2, 6.16.1",
			"each successful REGISTER, REGISTER AND IGNORE EXISTING KEY, PREEMPT and CLEAR adds exactly one, RESERVE and RELEASE nothing, and what is refused nothing", 2,
			func(t *T) {
				a, b := t.Two()
				g := a.Generation()
				counts := func(n *Nexus, c initiator.Cmd, w want, add uint32) {
					n.Expect(c, w)
					g += add
					a.WantGeneration(g)
				}
				counts(a, register(0, t.Key(1)), good, 1)
				counts(b, registerIgnore(t.Key(2)), good, 1)
				counts(b, register(t.Key(2), t.Key(3)), good, 1)
				counts(a, reserve(t.Key(1), writeExclusive), good, 0)
				counts(b, reserve(t.Key(3), writeExclusive), conflict, 0)
				counts(a, release(t.Key(1), writeExclusive), good, 0)
				counts(a, preempt(t.Key(1), t.Key(9), writeExclusive), conflict, 0)
				counts(a, preempt(t.Key(1), t.Key(3), writeExclusive), good, 1)
				counts(b, register(0, t.Key(2)), good, 1)
				counts(b, register(t.Key(2), 0), good, 1)
				counts(a, clearAll(t.Key(1)), good, 1)
			}),
	)
}

// relogin leaves in the given way and comes back.
func relogin(t *T, leave func(*Nexus)) {
	a, b := t.Two()
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	a.Reserve(t.Key(1), writeExclusive)
	leave(a)
	b.WantKeys(t.Key(1), t.Key(2))
	b.WantReservation(t.Key(1), writeExclusive)
	a = a.Again()
	a.Expect(a.Write(t.LBA(0), t.Pattern(1, 1)), good)
	a.Expect(release(t.Key(1), writeExclusive), good)
	a.WantNoReservation()
}
