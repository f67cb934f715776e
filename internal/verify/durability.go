package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"nas-target/internal/initiator"
)

func init() {
	d := func(id, title, clause, demand string, level Level, pr bool, run func(*T)) Case {
		return Case{ID: "durability." + id, Title: title, Clause: clause, Demand: demand, Level: level,
			Destructive: true, Nexuses: 2, Restart: true, needsPR: pr, data: true, run: run}
	}
	define(
		d("aptpl-1", "What was registered with APTPL=1 survives", "SPC-4 r36f 5.13.5, 5.13.11.2.1",
			"after the restart registrations and reservation are there, and the holder has its rights without registering again", Required, true,
			func(t *T) {
				a, b := kept(t, true)
				a.Reserve(t.Key(1), writeRegistrants)
				t.restart()
				a, b = a.Again(), b.Again()
				a.WantKeys(t.Key(1), t.Key(2))
				a.WantReservation(t.Key(1), writeRegistrants)
				b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), good)
				s := a.Stranger()
				s.Expect(s.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
				a.Expect(release(t.Key(1), writeRegistrants), good)
			}),
		d("aptpl-1.all-registrants", "An all-registrants reservation survives with APTPL=1", "SPC-4 r36f 5.13.5.1",
			"scope and type are kept, and every registrant is a holder again", Required, true,
			func(t *T) {
				a, b := kept(t, true)
				a.Reserve(t.Key(1), accessAll)
				t.restart()
				a, b = a.Again(), b.Again()
				a.WantKeys(t.Key(1), t.Key(2))
				a.WantReservation(0, accessAll)
				b.Expect(release(t.Key(2), accessAll), good)
				b.WantNoReservation()
			}),
		d("aptpl-1.fenced", "Who was fenced stays fenced", "SPC-4 r36f 5.13.5; 5.13.11.2.4",
			"a nexus that was preempted before the restart has no rights after it", Required, true,
			func(t *T) {
				a, b := kept(t, true)
				b.Reserve(t.Key(2), writeRegistrants)
				a.Must(preempt(t.Key(1), t.Key(2), writeRegistrants))
				clean := t.Pattern(before, 1)
				a.Must(a.Write(t.LBA(0), clean))
				t.restart()
				a, b = a.Again(), b.Again()
				b.Expect(b.Write(t.LBA(0), t.Pattern(after1, 1)), conflict)
				a.WantKeys(t.Key(1))
				a.WantReservation(t.Key(1), writeRegistrants)
			}),
		d("aptpl-1.released", "What was given back stays given back", "SPC-4 r36f 5.13.5",
			"RELEASE and the removal of a registration before the restart are remembered, too", Required, true,
			func(t *T) {
				a, b := kept(t, true)
				a.Reserve(t.Key(1), writeExclusive)
				a.Must(release(t.Key(1), writeExclusive))
				b.Must(registerKept(t.Key(2), 0, true))
				t.restart()
				a = a.Again()
				a.WantKeys(t.Key(1))
				a.WantNoReservation()
			}),
		d("aptpl-0", "What was registered with APTPL=0", "SPC-4 r36f 5.13.11.2.1",
			"a loss of power removes registrations and reservation together; a restart that is none may keep both, but not one without the other", Required, true,
			func(t *T) {
				a, _ := kept(t, false)
				a.Reserve(t.Key(1), writeRegistrants)
				t.restart()
				a = a.Again()
				keys, held := len(a.Keys().Keys), a.Reservation().Held
				got := fmt.Sprintf("%d registrations, a reservation: %v", keys, held)
				a.t.record(Step{Nexus: a.Name, Did: "READ KEYS and READ RESERVATION", Got: got})
				gone, stayed := keys == 0 && !held, keys == 2 && held
				switch {
				case t.r.opt.PowerCycle && !gone:
					t.Fail("after a loss of power there are %s; must be none", got)
				case !gone && !stayed:
					t.Fail("after the restart there are %s; must be all or nothing", got)
				case gone:
					t.Note("nothing was kept: a fenced node could write after a restart of the target; register with APTPL=1")
				}
			}),
		d("identity", "The unit is the same after a restart", "SPC-4 r36f 7.8.6, 7.8.16",
			"designators and serial number do not change", Required, false,
			func(t *T) {
				a := t.Nexus(0)
				name := func(n *Nexus) string {
					var all []string
					for _, d := range t.designators(n) {
						if d.Association == initiator.AssociationUnit {
							all = append(all, designatorText(d))
						}
					}
					if r := n.send1(initiator.InquiryVPD(initiator.VPDSerial, 255)); r.Good() && len(r.Data) > 4 {
						all = append(all, string(r.Data[4:]))
					}
					return strings.Join(all, ", ")
				}
				old := name(a)
				t.restart()
				a = a.Again()
				a.saw("INQUIRY pages 83h and 80h", name(a), old)
			}),
		d("write.flushed", "What was flushed survives", "SBC-4 r22 4.10, 5.33",
			"data written and then flushed by SYNCHRONIZE CACHE are there after the restart", Required, false,
			func(t *T) {
				survives(t, func(a *Nexus, data []byte) {
					a.Must(a.Write(t.LBA(0), data))
					a.Must(initiator.SyncCache10(0, 0, false))
				})
			}),
		d("write.fua", "What was written with FUA survives", "SBC-4 r22 4.10, 5.37",
			"data written with FUA=1 are there after the restart", Required, false,
			func(t *T) {
				survives(t, func(a *Nexus, data []byte) {
					r := a.Do(initiator.Write16(t.LBA(0), data, t.BlockSize(), initiator.FUA))
					if badCDB.ok(r) || unsupported(r) {
						t.Absent("FUA is not implemented: %s", answer(r))
					}
					if !r.Good() {
						t.Broken("WRITE (16) with FUA: %s", answer(r))
					}
				})
			}),
		d("write.uncached", "What was acknowledged without a write cache survives", "SBC-4 r22 4.10, 6.4.5",
			"if the caching mode page says WCE=0, every acknowledged write is there after the restart", Required, false,
			func(t *T) {
				a := t.Nexus(0)
				r := a.Do(initiator.ModeSense6(0, initiator.PageCaching, 0, false, 255))
				m, err := initiator.DecodeMode6(r.Data)
				p, ok := m.Find(initiator.PageCaching, 0)
				if !r.Good() || err != nil || !ok || len(p.Raw) < 3 || p.Raw[2]&0x04 != 0 {
					t.Absent("the target has a write cache (WCE=1), or does not say")
				}
				survives(t, func(a *Nexus, data []byte) { a.Must(a.Write(t.LBA(0), data)) })
			}),
	)
}

// kept registers two nexuses.
func kept(t *T, aptpl bool) (a, b *Nexus) {
	a, b = t.Two()
	if aptpl && !a.Capabilities().PersistCapable {
		t.Absent("PTPL_C=0: the target does not keep reservations")
	}
	a.Must(registerKept(0, t.Key(1), aptpl))
	b.Must(registerKept(0, t.Key(2), aptpl))
	return a, b
}

// survives writes in a way that promises durability, and restarts the target.
func survives(t *T, write func(*Nexus, []byte)) {
	a := t.Nexus(0)
	data := t.Pattern(uint64(time.Now().UnixNano()), 64)
	write(a, data)
	t.restart()
	a = a.Again()
	a.Holds(t.LBA(0), data, "what was acknowledged")
}

// restartTime bounds the hook, and how long the target may take afterwards.
const restartTime = 60 * time.Second

// restart runs the hook and waits until the target serves again.
func (t *T) restart() {
	ctx, cancel := context.WithTimeout(t.ctx, 2*restartTime)
	defer cancel()
	began := time.Now()
	// A target that shuts down in order waits for its initiators.
	for _, n := range t.nexuses {
		n.leave(ctx)
	}
	t.r.dismiss()
	if err := t.r.opt.RestartHook(ctx); err != nil {
		t.Broken("the command of --restart-hook failed: %v", err)
	}
	if _, err := t.r.waitKeeper(ctx, restartTime); err != nil {
		t.Broken("the target does not serve again after the restart: %s", errText(err))
	}
	t.record(Step{Did: "the restart hook has run, and the target serves again", Elapsed: time.Since(began)})
}
