package verify

import "nas-target/internal/initiator"

func init() {
	pr := func(id, title, clause, demand string, nexuses int, run func(*T)) Case {
		return Case{ID: "pr." + id, Title: title, Clause: clause, Demand: demand, Level: Required,
			Destructive: true, Nexuses: nexuses, needsPR: true, run: run}
	}
	define(
		pr("reserve.again", "RESERVE by who holds the reservation", "SPC-4 r36f 5.13.9",
			"the holder that asks for what it has gets GOOD and nothing changes; asking for another type conflicts", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				a.Expect(reserve(t.Key(1), writeExclusive), good)
				a.Expect(reserve(t.Key(1), exclusiveAccess), conflict)
				a.WantReservation(t.Key(1), writeExclusive)
			}),
		pr("reserve.other", "RESERVE while another nexus holds a reservation", "SPC-4 r36f 5.13.9, table 66",
			"a registered nexus that is not the holder gets RESERVATION CONFLICT, whatever type it asks for", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a.Reserve(t.Key(1), writeRegistrants)
				for _, typ := range []initiator.PRType{writeRegistrants, writeExclusive, accessRegistrants} {
					b.Check(reserve(t.Key(2), typ), conflict)
				}
				a.WantReservation(t.Key(1), writeRegistrants)
			}),
		pr("reserve.all-registrants", "With an all-registrants type every registrant is a holder", "SPC-4 r36f 5.13.9, 5.13.10",
			"any registrant that asks for the reservation again gets GOOD, also who registered after it; READ RESERVATION shows key 0", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeAllRegistrants)
				a.WantReservation(0, writeAllRegistrants)
				b.Register(t.Key(2))
				b.Expect(reserve(t.Key(2), writeAllRegistrants), good)
				b.Expect(reserve(t.Key(2), writeExclusive), conflict)
				b.WantReservation(0, writeAllRegistrants)
			}),
		pr("reserve.scope-type", "RESERVE of what does not exist is refused", "SPC-4 r36f 6.15.3.3, 6.15.3.4",
			"a scope other than LU_SCOPE and the reserved types end with INVALID FIELD IN CDB and reserve nothing", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				for _, scope := range []uint8{1, 2, 15} {
					a.Check(initiator.PROut(initiator.PRReserve, scope, writeExclusive, initiator.PRParams{Key: t.Key(1)}.Marshal()), badCDB)
				}
				for _, typ := range []initiator.PRType{0, 2, 4, 9, 15} {
					a.Check(reserve(t.Key(1), typ), badCDB)
				}
				a.WantNoReservation()
			}),
		pr("release.nothing", "RELEASE without a reservation", "SPC-4 r36f 5.13.11.2.2",
			"a registered nexus that releases where no reservation is gets GOOD", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				a.Expect(release(t.Key(1), writeExclusive), good)
				a.WantKeys(t.Key(1))
			}),
		pr("release.not-holder", "RELEASE by a registered nexus that is not the holder", "SPC-4 r36f 5.13.11.2.2, table 66",
			"it gets GOOD, and the reservation stays", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a.Reserve(t.Key(1), writeRegistrants)
				b.Expect(release(t.Key(2), writeRegistrants), good)
				b.WantReservation(t.Key(1), writeRegistrants)
			}),
		pr("release.wrong-type", "RELEASE of another type than the reservation's", "SPC-4 r36f 5.13.11.2.2",
			"the holder whose type or scope does not match gets INVALID RELEASE OF PERSISTENT RESERVATION, and the reservation stays", 1,
			func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				a.Expect(release(t.Key(1), exclusiveAccess), illegal(initiator.ASCInvalidRelease))
				a.WantReservation(t.Key(1), writeExclusive)
			}),
		pr("release.holder", "RELEASE by the holder", "SPC-4 r36f 5.13.11.2.2",
			"the reservation goes, the registrations stay, and others may write again", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
				a.Expect(release(t.Key(1), writeExclusive), good)
				a.WantNoReservation()
				a.WantKeys(t.Key(1))
				b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), good)
			}),
		pr("clear", "CLEAR removes everything", "SPC-4 r36f 5.13.11.2.7",
			"reservation and all registrations go, the sender's too; every other nexus that was registered finds RESERVATIONS PREEMPTED, nobody else", 3,
			func(t *T) {
				a, b, c := t.Three()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a.Reserve(t.Key(1), writeExclusive)
				g := a.Generation()
				t.Note("CLEAR may be sent by any registered nexus, not the holder alone")
				b.Expect(clearAll(t.Key(2)), good)
				a.WantUA(initiator.ASCReservationsPreempted)
				b.WantUA()
				c.WantUA()
				b.WantKeys()
				b.WantNoReservation()
				b.WantGeneration(g + 1)
				c.Expect(c.Write(t.LBA(0), t.Pattern(1, 1)), good)
			}),
		pr("kept.lu-reset", "A reset takes no reservation away", "SPC-4 r36f 5.13.1",
			"registrations and reservation survive LOGICAL UNIT RESET", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				b.manage(initiator.TMFLUReset, initiator.TMFComplete)
				a.WantKeys(t.Key(1))
				a.WantReservation(t.Key(1), writeExclusive)
				b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
			}),
	)
	for _, typ := range types {
		typ := typ
		define(
			pr("release.unit-attention."+token(typ), "RELEASE of "+typeName(typ)+" tells whom it concerns", "SPC-4 r36f 5.13.11.2.2",
				releaseDemand(typ), 3, func(t *T) { releaseAttention(t, typ) }),
			pr("unregister.holder."+token(typ), "The holder of "+typeName(typ)+" unregisters", "SPC-4 r36f 5.13.11.2.3, table 71",
				unregisterDemand(typ), 3, func(t *T) { unregisterHolder(t, typ) }),
		)
	}
}

func releaseDemand(t initiator.PRType) string {
	if registrantsType(t) {
		return "the other registered nexuses find RESERVATIONS RELEASED, the sender and unregistered ones do not"
	}
	return "no unit attention: the type gives the other nexuses nothing that they could lose"
}

func releaseAttention(t *T, typ initiator.PRType) {
	a, b, c := t.Three()
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	a.Reserve(t.Key(1), typ)
	a.Expect(release(t.Key(1), typ), good)
	if registrantsType(typ) {
		b.WantUA(initiator.ASCReservationsReleased)
	} else {
		b.WantUA()
	}
	a.WantUA()
	c.WantUA()
	a.WantNoReservation()
}

func unregisterDemand(t initiator.PRType) string {
	switch {
	case allRegistrants(t):
		return "the reservation stays while a registrant remains, and goes with the last"
	case registrantsType(t):
		return "the reservation goes, and every other registered nexus finds RESERVATIONS RELEASED"
	}
	return "the reservation goes, without a unit attention"
}

func unregisterHolder(t *T, typ initiator.PRType) {
	a, b, c := t.Three()
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	a.Reserve(t.Key(1), typ)
	a.Expect(register(t.Key(1), 0), good)
	switch {
	case allRegistrants(typ):
		b.WantUA()
		b.WantReservation(0, typ)
		b.Expect(release(t.Key(2), typ), good)
		b.WantNoReservation()
		t.Note("and with the last registrant it goes")
		b.Expect(reserve(t.Key(2), typ), good)
		b.Expect(register(t.Key(2), 0), good)
		b.WantNoReservation()
		c.Expect(c.Write(t.LBA(0), t.Pattern(1, 1)), good)
	case registrantsType(typ):
		b.WantUA(initiator.ASCReservationsReleased)
		b.WantNoReservation()
	default:
		b.WantUA()
		b.WantNoReservation()
	}
	b.WantKeys(func() []uint64 {
		if allRegistrants(typ) {
			return nil
		}
		return []uint64{t.Key(2)}
	}()...)
}
