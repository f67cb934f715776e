package verify

import (
	"encoding/binary"

	"nas-target/internal/initiator"
)

func init() {
	pr := func(id, title, clause, demand string, level Level, nexuses int, run func(*T)) Case {
		return Case{ID: "pr." + id, Title: title, Clause: clause, Demand: demand, Level: level,
			Destructive: true, Nexuses: nexuses, needsPR: true, onePort: true, run: run}
	}
	const lists = "SPC-4 r36f 5.13.7, 6.16.3"
	define(
		pr("spec-i-pt", "SPEC_I_PT registers the ports that are listed", lists,
			"with SIP_C=1 the sender and every listed port are registered with the key, logged in or not; with SIP_C=0 SPEC_I_PT=1 ends with INVALID FIELD IN PARAMETER LIST", Required, 3,
			func(t *T) {
				a := t.Nexus(0)
				cmd := registerPorts(t.Key(1), t.portID(1), t.portID(2))
				if !a.Capabilities().SpecIPT {
					a.Expect(cmd, badList)
					a.WantKeys()
					return
				}
				a.Expect(cmd, good)
				a.WantKeys(t.Key(1), t.Key(1), t.Key(1))
				a.Expect(reserve(t.Key(1), writeRegistrants), good)
				t.Note("the listed ports log in and have their rights at once")
				for _, n := range []*Nexus{t.Nexus(1), t.Nexus(2)} {
					n.Expect(n.Write(t.LBA(0), t.Pattern(1, 1)), good)
				}
			}),
		pr("spec-i-pt.registered", "SPEC_I_PT refuses a port that is registered", lists,
			"if one of the listed ports is registered the command ends with INVALID FIELD IN PARAMETER LIST, and nobody is registered by it", Required, 3,
			func(t *T) {
				a, b := t.Two()
				needSpecIPT(t, a)
				b.Register(t.Key(2))
				a.Expect(registerPorts(t.Key(1), t.portID(2), b.S.PortID()), t.older(badList, badCDB))
				b.WantKeys(t.Key(2))
			}),
		pr("spec-i-pt.registered-sender", "SPEC_I_PT of a registered sender is refused", lists+", table 67",
			"a registered nexus that sends REGISTER with SPEC_I_PT=1 gets INVALID FIELD IN PARAMETER LIST", Required, 2,
			func(t *T) {
				a := t.Nexus(0)
				needSpecIPT(t, a)
				a.Register(t.Key(1))
				p := initiator.PRParams{Key: t.Key(1), ServiceKey: t.Key(2), SpecIPT: []initiator.TransportID{t.portID(1)}}
				a.Expect(out(initiator.PRRegister, 0, p), t.older(badList, badCDB))
				a.WantKeys(t.Key(1))
			}),
		pr("spec-i-pt.truncated", "A truncated list of TransportIDs is refused", lists,
			"a TRANSPORTID PARAMETER DATA LENGTH beyond the list, or a TransportID that is cut off, ends with ILLEGAL REQUEST, and nobody is registered", Required, 2,
			func(t *T) {
				a := t.Nexus(0)
				needSpecIPT(t, a)
				list := initiator.PRParams{ServiceKey: t.Key(1), SpecIPT: []initiator.TransportID{t.portID(1)}}.Marshal()
				refusal := either(badLength, badList)
				a.Check(initiator.PROut(initiator.PRRegister, 0, 0, list[:len(list)-4]), refusal)
				cut := append([]byte(nil), list[:len(list)-4]...)
				binary.BigEndian.PutUint32(cut[24:], uint32(len(cut)-28))
				a.Check(initiator.PROut(initiator.PRRegister, 0, 0, cut), refusal)
				a.WantKeys()
			}),
		pr("spec-i-pt.elsewhere", "SPEC_I_PT belongs to REGISTER alone", "SPC-4 r36f 6.16.3",
			"SPEC_I_PT=1 with REGISTER AND IGNORE EXISTING KEY or RESERVE ends with ILLEGAL REQUEST and registers nobody (SPC-3 still allowed it with the former)", Recommended, 2,
			func(t *T) {
				a := t.Nexus(0)
				needSpecIPT(t, a)
				a.Register(t.Key(1))
				p := initiator.PRParams{Key: t.Key(1), ServiceKey: t.Key(1), SpecIPT: []initiator.TransportID{t.portID(1)}}
				refusal := either(badLength, badList)
				a.Check(out(initiator.PRRegisterAndIgnore, 0, p), refusal)
				a.Check(out(initiator.PRReserve, writeExclusive, p), refusal)
				a.WantKeys(t.Key(1))
			}),
		pr("all-tg-pt", "ALL_TG_PT registers through every target port", lists,
			"with ATP_C=1 the registration is marked for all target ports; with ATP_C=0 ALL_TG_PT=1 ends with INVALID FIELD IN PARAMETER LIST", Required, 1,
			func(t *T) {
				a := t.Nexus(0)
				cmd := out(initiator.PRRegister, 0, initiator.PRParams{ServiceKey: t.Key(1), AllPorts: true})
				if !a.Capabilities().AllPorts {
					a.Expect(cmd, badList)
					a.WantKeys()
					return
				}
				a.Expect(cmd, good)
				for _, d := range a.FullStatus().Registrants {
					if !d.AllPorts {
						t.Fail("READ FULL STATUS shows the registration of %s with ALL_TG_PT=0", d.Initiator)
					}
				}
			}),
		Case{ID: "pr.all-tg-pt.other-port", Title: "A registration for all target ports holds at another one", Clause: lists, Level: Required,
			Demand:      "the same initiator port has its rights through the other target port without registering there",
			Destructive: true, Nexuses: 2, Ports: 2, needsPR: true, run: otherPort},
		Case{ID: "pr.one-port", Title: "A registration without ALL_TG_PT holds at its own port alone", Clause: lists, Level: Required,
			Demand:      "the same initiator port at another target port is another nexus, and is not registered",
			Destructive: true, Nexuses: 2, Ports: 2, needsPR: true,
			run: func(t *T) {
				a := t.Nexus(0)
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeRegistrants)
				b := t.samePortElsewhere()
				b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
				b.Expect(register(t.Key(1), 0), conflict)
				a.WantKeys(t.Key(1))
			}},
		pr("aptpl", "APTPL follows the last REGISTER", "SPC-4 r36f 5.13.5, 6.15.4",
			"with PTPL_C=1 PTPL_A is what the last successful REGISTER of any nexus said; with PTPL_C=0 APTPL=1 ends with INVALID FIELD IN PARAMETER LIST", Required, 2,
			func(t *T) {
				a, b := t.Two()
				if !a.Capabilities().PersistCapable {
					a.Expect(registerKept(0, t.Key(1), true), badList)
					a.WantKeys()
					return
				}
				active := func(wanted string) {
					got := "PTPL_A=0"
					if a.Capabilities().PersistActive {
						got = "PTPL_A=1"
					}
					a.saw("REPORT CAPABILITIES", got, wanted)
				}
				a.Expect(registerKept(0, t.Key(1), true), good)
				active("PTPL_A=1")
				b.Expect(registerKept(0, t.Key(2), false), good)
				active("PTPL_A=0")
				b.Expect(registerKept(t.Key(9), t.Key(2), true), conflict)
				active("PTPL_A=0")
				b.Expect(out(initiator.PRRegisterAndIgnore, 0, initiator.PRParams{ServiceKey: t.Key(3), APTPL: true}), good)
				active("PTPL_A=1")
			}),
		pr("aptpl.capable", "Reservations can persist through power loss", "SPC-4 r36f 5.13.5",
			"PTPL_C is optional, but Linux registers with APTPL=1 always and fence agents with it", Recommended, 1,
			func(t *T) {
				if a := t.Nexus(0); !a.Capabilities().PersistCapable {
					t.Fail("PTPL_C is 0: every registration through the Linux kernel fails")
				}
			}),
		pr("replace-lost", "REPLACE LOST RESERVATION where nothing is lost", "SPC-4 r36f 5.13.11.3, 6.15.4",
			"with RLR_C=0 it ends with INVALID FIELD IN CDB, with RLR_C=1 with INVALID RELEASE OF PERSISTENT RESERVATION; nothing changes", Required, 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), writeExclusive)
				refusal := badCDB
				if a.Capabilities().ReplaceLost {
					refusal = illegal(initiator.ASCInvalidRelease)
				}
				lost := out(initiator.PRReplaceLost, exclusiveAccess, initiator.PRParams{ServiceKey: t.Key(2)})
				a.Expect(lost, refusal)
				t.Note("an unregistered nexus may be told of the conflict instead (table 66)")
				b.Expect(lost, either(refusal, conflict))
				a.WantKeys(t.Key(1))
				a.WantReservation(t.Key(1), writeExclusive)
			}),
	)
}

// portID is the initiator port of nexus i, which need not be logged in.
func (t *T) portID(i int) initiator.TransportID {
	c := t.config(i, i)
	return initiator.TransportID{Name: c.InitiatorName, ISID: c.ISID, HasISID: true}
}

func registerPorts(key uint64, ids ...initiator.TransportID) initiator.Cmd {
	return out(initiator.PRRegister, 0, initiator.PRParams{ServiceKey: key, SpecIPT: ids})
}

func needSpecIPT(t *T, n *Nexus) {
	if !n.Capabilities().SpecIPT {
		t.Absent("SIP_C=0: the target does not have SPEC_I_PT")
	}
}

// samePortElsewhere logs the initiator port of nexus 0 in to another target port.
func (t *T) samePortElsewhere() *Nexus {
	first := t.r.path(0)
	for i := 1; i < len(t.r.opt.Paths); i++ {
		if p := t.r.path(i); p.GroupTag != first.GroupTag || p.Login.Target != first.Login.Target {
			own := t.config(0, 0)
			n := t.login(i, 0, func(c *initiator.Config) { c.InitiatorName = own.InitiatorName })
			n.Name = "A at the other port"
			return n
		}
	}
	t.Absent("there is one target port")
	return nil
}

func otherPort(t *T) {
	a := t.Nexus(0)
	if !a.Capabilities().AllPorts {
		t.Absent("ATP_C=0: the target does not have ALL_TG_PT")
	}
	a.Must(out(initiator.PRRegister, 0, initiator.PRParams{ServiceKey: t.Key(1), AllPorts: true}))
	a.Reserve(t.Key(1), writeRegistrants)
	b := t.samePortElsewhere()
	b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), good)
	b.Expect(register(t.Key(1), t.Key(2)), good)
	t.Note("an initiator port that is not registered has no rights there")
	c := b.Stranger()
	c.Expect(c.Write(t.LBA(0), t.Pattern(2, 1)), conflict)
}
