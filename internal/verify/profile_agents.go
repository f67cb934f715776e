package verify

import (
	"context"
	"sync"

	"nas-target/internal/initiator"
)

func init() {
	c := func(id, title, clause, demand string, nexuses int, run func(*T)) Case {
		return Case{ID: id, Title: title, Clause: clause, Demand: demand, Level: Required,
			Destructive: true, Nexuses: nexuses, needsPR: true, data: true, run: run}
	}
	define(
		c("fence-scsi.unfence", "fence_scsi: nodes join", "fence_scsi(8); SPC-4 r36f 5.13.7, 5.13.9",
			"each node registers its key with REGISTER AND IGNORE EXISTING KEY, the first one reserves Write Exclusive - Registrants Only, and all of them write", 3, fenceJoin),
		c("fence-scsi.off", "fence_scsi: a node is fenced", "fence_scsi(8); "+abortClause,
			"PREEMPT AND ABORT of the node's key takes its registration, and the reservation if it held it; its writes conflict, those of the others go on", 3, fenceOff),
		c("fence-scsi.rejoin", "fence_scsi: a fenced node comes back after a reboot with another ISID", "fence_scsi(8); SPC-4 r36f 5.13.11.2.4",
			"its stale registration carries its own key: it registers anew, preempts its own key, and the stale nexus is gone while its new one holds or may register again", 2, fenceRejoin),
		c("fence-scsi.monitor", "fence_scsi: is the node still registered?", "fence_scsi(8); SPC-4 r36f 6.15.2",
			"READ KEYS and READ RESERVATION of any node, fenced or not, show who is registered", 2, fenceMonitor),
		c("mpathpersist.paths", "mpathpersist: one key on every path", "mpathpersist(8); SPC-4 r36f 5.13.7",
			"a host registers the same key on each of its paths and reserves on one; under Write Exclusive - Registrants Only it writes on all of them", 3, mpathPaths),
		c("mpathpersist.dead-path", "mpathpersist: the path that holds the reservation is gone", "mpathpersist(8); SPC-4 r36f 5.13.11.2.4",
			"RELEASE on another path does nothing; the host preempts its own key from a path that lives, registers the others again, and releases", 2, mpathDeadPath),
		c("mpathpersist.preempt", "mpathpersist: another host takes over from all paths at once", "mpathpersist(8); SPC-4 r36f 5.13.11.2.4",
			"PREEMPT of the key removes the registrations of all paths that carry it", 3, mpathPreempt),
		c("esxi.heartbeat", "ESXi: heartbeats by ATS", "SBC-4 r22 5.3",
			"several hosts update slots of their own in the same area by COMPARE AND WRITE; none of them ever fails without a reason", 3, esxiHeartbeat),
		c("esxi.lock", "ESXi: a lock by ATS", "SBC-4 r22 5.3",
			"of several hosts that take a free lock by COMPARE AND WRITE at once one succeeds, the others find a miscompare", 4, esxiLock),
		c("esxi.block-zero", "ESXi: zeroing a new virtual disk", "SBC-4 r22 5.53",
			"WRITE SAME (16) of a block of zeros zeroes the range and nothing else", 1, esxiZero),
		Case{ID: "esxi.name", Title: "ESXi: the device has an NAA or EUI name", Clause: "SPC-4 r36f 7.8.6", Level: Required,
			Demand: "page 83h names the logical unit by NAA or EUI-64, by which ESXi builds the device's name", run: esxiName},
		c("esxi.windows-guests", "ESXi: Windows clusters on clustered virtual disks", "SPC-4 r36f 5.13.10",
			"the disk of a datastore of clustered virtual disks can be reserved Write Exclusive - All Registrants by several hosts", 2,
			func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				b.Register(t.Key(2))
				a.Expect(reserve(t.Key(1), writeAllRegistrants), good)
				b.Expect(reserve(t.Key(2), writeAllRegistrants), good)
				for _, n := range []*Nexus{a, b} {
					n.Expect(n.Write(t.LBA(0), t.Pattern(1, 1)), good)
				}
			}),
	)
}

// fenceNode is what fence_scsi does for a node that joins.
func fenceNode(n *Nexus, key uint64) {
	n.Expect(initiator.TestUnitReady(), good)
	n.Expect(registerIgnore(key), good)
}

func fenceJoin(t *T) {
	a, b, c := t.Three()
	for i, n := range []*Nexus{a, b, c} {
		t.Note("node %d registers; who finds no reservation makes it", i+1)
		fenceNode(n, t.Key(i+1))
		if !n.Reservation().Held {
			n.Expect(reserve(t.Key(i+1), writeRegistrants), good)
		}
	}
	a.WantKeys(t.Key(1), t.Key(2), t.Key(3))
	a.WantReservation(t.Key(1), writeRegistrants)
	for _, n := range []*Nexus{a, b, c} {
		n.Expect(n.Write(t.LBA(0), t.Pattern(1, 1)), good)
	}
}

func fenceOff(t *T) {
	a, b, c := t.Three()
	for i, n := range []*Nexus{a, b, c} {
		fenceNode(n, t.Key(i+1))
	}
	a.Expect(reserve(t.Key(1), writeRegistrants), good)
	t.Note("node 3 fences node 2, which does not hold the reservation")
	c.Expect(preemptAbort(t.Key(3), t.Key(2), writeRegistrants), good)
	b.Expect(b.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
	a.Expect(a.Write(t.LBA(0), t.Pattern(1, 1)), good)
	c.WantKeys(t.Key(1), t.Key(3))
	c.WantReservation(t.Key(1), writeRegistrants)
	t.Note("then node 1, which does")
	c.Expect(preemptAbort(t.Key(3), t.Key(1), writeRegistrants), good)
	a.Expect(a.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
	c.WantKeys(t.Key(3))
	c.WantReservation(t.Key(3), writeRegistrants)
	c.Expect(c.Write(t.LBA(0), t.Pattern(2, 1)), good)
	t.Note("fencing a node that is not registered is a conflict, which the agent takes for done")
	c.Expect(preemptAbort(t.Key(3), t.Key(2), writeRegistrants), conflict)
}

func fenceRejoin(t *T) {
	a, b := t.Two()
	fenceNode(a, t.Key(1))
	fenceNode(b, t.Key(2))
	t.Note("node 2 held the reservation when it lost its power: its registration stays under its old ISID")
	b.Expect(reserve(t.Key(2), writeRegistrants), good)
	b.Drop()
	fresh := b.Stranger()
	fresh.Expect(fresh.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
	fresh.WantKeys(t.Key(1), t.Key(2))
	t.Note("its own key is listed, but by another nexus: it registers, and preempts its own key")
	fresh.Expect(registerIgnore(t.Key(2)), good)
	fresh.Expect(preempt(t.Key(2), t.Key(2), writeRegistrants), good)
	fresh.WantKeys(t.Key(1), t.Key(2))
	fresh.WantReservation(t.Key(2), writeRegistrants)
	fresh.Expect(fresh.Write(t.LBA(0), t.Pattern(1, 1)), good)
	a.Expect(a.Write(t.LBA(0), t.Pattern(2, 1)), good)
}

func fenceMonitor(t *T) {
	a, b := t.Two()
	fenceNode(a, t.Key(1))
	fenceNode(b, t.Key(2))
	a.Expect(reserve(t.Key(1), writeRegistrants), good)
	b.WantKeys(t.Key(1), t.Key(2))
	a.Expect(preemptAbort(t.Key(1), t.Key(2), writeRegistrants), good)
	b.WantKeys(t.Key(1))
	b.WantReservation(t.Key(1), writeRegistrants)
}

func mpathPaths(t *T) {
	a, b, other := t.Three()
	a.Expect(registerIgnore(t.Key(1)), good)
	b.Expect(registerIgnore(t.Key(1)), good)
	a.Expect(reserve(t.Key(1), writeRegistrants), good)
	a.WantKeys(t.Key(1), t.Key(1))
	for _, n := range []*Nexus{a, b} {
		n.Expect(n.Write(t.LBA(0), t.Pattern(1, 1)), good)
	}
	t.Note("another host does not")
	other.Expect(other.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
	t.Note("RESERVE on the other path is a conflict: the paths are two nexuses, and one holds")
	b.Expect(reserve(t.Key(1), writeRegistrants), conflict)
}

func mpathDeadPath(t *T) {
	a, b := t.Two()
	a.Expect(registerIgnore(t.Key(1)), good)
	b.Expect(registerIgnore(t.Key(1)), good)
	a.Expect(reserve(t.Key(1), writeRegistrants), good)
	a.Drop()
	b.Expect(release(t.Key(1), writeRegistrants), good)
	b.WantReservation(t.Key(1), writeRegistrants)
	t.Note("the reservation stays with the dead path; the living one preempts the key that both have")
	b.Expect(preempt(t.Key(1), t.Key(1), writeRegistrants), good)
	b.WantKeys(t.Key(1))
	b.WantReservation(t.Key(1), writeRegistrants)
	b.Expect(release(t.Key(1), writeRegistrants), good)
	b.WantNoReservation()
}

func mpathPreempt(t *T) {
	a, b, other := t.Three()
	a.Expect(registerIgnore(t.Key(1)), good)
	b.Expect(registerIgnore(t.Key(1)), good)
	a.Expect(reserve(t.Key(1), writeRegistrants), good)
	other.Expect(registerIgnore(t.Key(2)), good)
	other.Expect(preempt(t.Key(2), t.Key(1), writeRegistrants), good)
	other.WantKeys(t.Key(2))
	other.WantReservation(t.Key(2), writeRegistrants)
	for _, n := range []*Nexus{a, b} {
		n.Expect(n.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
	}
}

// busy lets a nexus write until stop is called.
func (t *T) busy(n *Nexus) (stop func()) {
	ctx, cancel := context.WithCancel(t.ctx)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			data := t.Pattern(uint64(i), 4)
			for ctx.Err() == nil {
				if r, err := n.U.Do(ctx, n.Write(t.LBA(4*i), data)); err != nil || !r.Good() {
					return
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

func esxiHeartbeat(t *T) {
	needCAW(t, t.Nexus(0), t.LBA(8))
	bs := t.BlockSize()
	for i := range 3 {
		t.Nexus(i).Must(t.Nexus(i).Write(t.LBA(8+i), t.Pattern(0, 1)))
	}
	beats := 5 * t.r.opt.Rounds
	answers := t.together(3, func(i int, n *Nexus) string {
		for beat := range beats {
			r, err := n.try(initiator.CompareAndWrite(t.LBA(8+i), t.Pattern(uint64(beat), 1), t.Pattern(uint64(beat+1), 1), bs, 0))
			if err != nil {
				return errText(err)
			}
			if !r.Good() {
				return answer(r)
			}
		}
		return ""
	}, func(int, *Nexus) {})
	for i, s := range answers {
		if s != "" {
			t.Wrong("a heartbeat of host %d: %s, must be GOOD; ESXi would have lost access to the volume", i+1, s)
		}
	}
	t.Note("%d heartbeats of each of 3 hosts", beats)
}

func esxiLock(t *T) {
	needCAW(t, t.Nexus(0), t.LBA(8))
	bs := t.BlockSize()
	free := make([]byte, bs)
	for round := range t.r.opt.Rounds {
		t.Nexus(0).Must(t.Nexus(0).Write(t.LBA(8), free))
		got := t.together(4, func(i int, n *Nexus) string {
			r, err := n.try(initiator.CompareAndWrite(t.LBA(8), free, t.Pattern(uint64(i), 1), bs, 0))
			switch {
			case err != nil:
				return errText(err)
			case r.Good():
				return "locked"
			case r.Status == initiator.CheckCondition && r.Sense.Key == initiator.Miscompare:
				return ""
			}
			return answer(r)
		}, func(int, *Nexus) {})
		owners, owner := 0, 0
		for i, s := range got {
			switch s {
			case "":
			case "locked":
				owners, owner = owners+1, i
			default:
				t.Wrong("round %d, host %d: %s, must be GOOD or a miscompare", round+1, i+1, s)
			}
		}
		if owners != 1 {
			t.Fail("round %d: %d of 4 hosts have the lock, must be one", round+1, owners)
		}
		if r := t.Nexus(0).send1(t.Nexus(0).Read(t.LBA(8), 1)); differs(r.Data, t.Pattern(uint64(owner), 1)) >= 0 {
			t.Fail("round %d: the lock does not carry the name of host %d, which was told that it has it", round+1, owner+1)
		}
	}
	t.Note("%d rounds of 4 hosts", t.r.opt.Rounds)
}

func esxiZero(t *T) {
	a := t.Nexus(0)
	data := t.Pattern(1, 64)
	a.Must(a.Write(t.LBA(0), data))
	r := a.Do(initiator.WriteSame16(t.LBA(16), 32, make([]byte, t.BlockSize()), initiator.WriteSameOptions{}))
	if unsupported(r) {
		t.Absent("WRITE SAME (16) is not implemented")
	}
	if !r.Good() {
		t.Fail("WRITE SAME (16): %s, must be GOOD", answer(r))
	}
	clear(data[16*t.BlockSize() : 48*t.BlockSize()])
	a.Holds(t.LBA(0), data, "zeros in the range, the rest as it was")
}

func esxiName(t *T) {
	for _, d := range t.designators(t.Nexus(0)) {
		if d.Association == initiator.AssociationUnit && (d.Type == initiator.DesignatorNAA || d.Type == initiator.DesignatorEUI64) {
			t.record(Step{Nexus: "A", Did: "INQUIRY page 83h", Got: designatorText(d)})
			return
		}
	}
	t.Fail("page 83h has no NAA and no EUI-64 designator of the logical unit")
}
