package verify

import (
	"context"

	"nas-target/internal/initiator"
)

func init() {
	pr := func(id, title, clause, demand string, run func(*T)) Case {
		return Case{ID: "pr.legacy." + id, Title: title, Clause: clause, Demand: demand, Level: Required,
			Destructive: true, Nexuses: 2, needsPR: true, run: func(t *T) {
				needLegacy(t)
				run(t)
			}}
	}
	define(
		pr("holder", "RESERVE (6) by the holder of a persistent reservation", "SPC-4 r36f 5.13.3",
			"with CRH=1 RESERVE and RELEASE of the holder, or of a registrant under a registrants type, end with GOOD and do nothing; with CRH=0 they conflict",
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a.Reserve(t.Key(1), writeRegistrants)
				w := conflict
				if a.Capabilities().CompatibleReserve {
					w = good
				}
				for _, n := range []*Nexus{a, b} {
					n.Expect(initiator.Reserve6(), w)
					n.Expect(initiator.Release6(), w)
				}
				t.Note("had RESERVE done anything, the other could not write now")
				a.Must(initiator.TestUnitReady())
				a.Do(initiator.Reserve6())
				b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), good)
				a.WantReservation(t.Key(1), writeRegistrants)
			}),
		pr("registered", "RESERVE (6) while persistent reservations are in use", "SPC-4 r36f 5.13.3",
			"while a nexus is registered RESERVE and RELEASE of any other end with RESERVATION CONFLICT",
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Expect(initiator.Reserve6(), conflict)
				a.Reserve(t.Key(1), writeExclusive)
				b.Expect(initiator.Reserve6(), conflict)
				b.Expect(initiator.Release6(), conflict)
				a.WantReservation(t.Key(1), writeExclusive)
			}),
		pr("excludes", "RESERVE (6) keeps everybody else out", "SPC-2 r20 5.5.1, table 11",
			"another nexus' READ, WRITE, PERSISTENT RESERVE IN and OUT end with RESERVATION CONFLICT; INQUIRY, REPORT LUNS and REQUEST SENSE do not; RELEASE ends it",
			func(t *T) {
				a, b := t.Two()
				a.Must(initiator.Reserve6())
				a.Cleanup6()
				for _, c := range []initiator.Cmd{
					initiator.Reserve6(), initiator.TestUnitReady(), b.Read(t.LBA(0), 1), b.Write(t.LBA(0), t.Pattern(1, 1)),
					initiator.PRIn(initiator.PRReadKeys, 64), register(0, t.Key(2)),
				} {
					b.Check(c, conflict)
				}
				b.Check(initiator.Inquiry(96), good)
				b.Check(initiator.ReportLUNs(0, 256), good)
				b.Check(initiator.RequestSense(false, 252), good)
				t.Note("RELEASE of who has nothing does nothing, and is no error")
				b.Check(initiator.Release6(), good)
				b.Check(b.Read(t.LBA(0), 1), conflict)
				a.Expect(initiator.Release6(), good)
				b.Expect(b.Read(t.LBA(0), 1), good)
				b.Expect(register(0, t.Key(2)), good)
			}),
		pr("logout", "RESERVE (6) ends with its session", "SPC-2 r20 5.5.1; RFC 7143 §4.4.3.2",
			"when the session that reserved logs out, its reservation is gone",
			func(t *T) {
				a, b := t.Two()
				a.Must(initiator.Reserve6())
				b.Expect(b.Read(t.LBA(0), 1), conflict)
				a.Logout()
				b.Until(b.Read(t.LBA(0), 1), good)
			}),
		pr("lu-reset", "RESERVE (6) ends with a reset", "SPC-2 r20 5.5.1",
			"LOGICAL UNIT RESET of another nexus ends it",
			func(t *T) {
				a, b := t.Two()
				a.Must(initiator.Reserve6())
				a.Cleanup6()
				b.Expect(b.Read(t.LBA(0), 1), conflict)
				b.manage(initiator.TMFLUReset, initiator.TMFComplete)
				b.Expect(b.Read(t.LBA(0), 1), good)
			}),
	)
}

// needLegacy skips the case on targets that have left RESERVE (6) behind.
func needLegacy(t *T) {
	a := t.Nexus(0)
	if r := a.Do(initiator.Reserve6()); unsupported(r) {
		t.Absent("RESERVE (6) is not implemented: %s", answer(r))
	}
	a.Must(initiator.Release6())
}

// Cleanup6 gives the unit back however the case ends.
func (n *Nexus) Cleanup6() {
	n.t.Cleanup(func(ctx context.Context) { _, _ = n.U.Do(ctx, initiator.Release6()) })
}
