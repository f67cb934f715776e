package verify

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"nas-target/internal/initiator"
)

// arbitration is the interval in which an owner defends its disk, and so how
// long a reservation command may take: DiskArbInterval, 3 s by default.
const arbitration = 3 * time.Second

func init() {
	w := func(id, title, clause, demand string, nexuses int, run func(*T)) Case {
		return Case{ID: "windows-cluster." + id, Title: title, Clause: clause, Demand: demand, Level: Required,
			Destructive: true, Nexuses: nexuses, needsPR: true, data: true, run: run}
	}
	define(
		Case{ID: "windows-cluster.vital-product-data", Title: "Validation: SCSI device vital product data", Level: Required, Nexuses: 2,
			Clause: "[MS-CSVP] 3; SPC-4 r36f 7.8.6, 7.8.16", Demand: "every node reads a serial number (80h) and a global name of the unit (83h), and every node reads the same",
			run: windowsNames},
		w("reservation", "Validation: SCSI-3 persistent reservation", "[MS-CSVP] 3.2.4.16 to 3.2.4.24",
			"from every node in turn: clear, register, reserve, read, release, and another node preempts", 3, windowsReservation),
		w("arbitration", "Validation: disk arbitration", "[MS-CSVP] 3.4.4.11; SPC-4 r36f 5.13.11.2.4",
			"a challenger that registers and preempts the owner's key has the disk at once; the old owner cannot write, and each command takes less than the 3 s of DiskArbInterval", 2, windowsArbitration),
		w("arbitration.busy", "Arbitration while the disk is busy", "[MS-CSVP] 3.4.4.11",
			"reservation commands take less than 3 s while the owner writes as fast as it can", 2, windowsBusy),
		w("multiple-arbitration", "Validation: all nodes arbitrate at once", "[MS-CSVP] 3.4.4.11",
			"of all nodes (--nodes) that challenge the owner at the same moment, each with a key of its own, one owns the disk, and it alone was told so", 1, windowsMultiple),
		w("failover", "Validation: failover through all nodes", "[MS-CSVP] 3.2.4.16 to 3.2.4.24",
			"the disk goes from node to node: release, or preemption where the owner does not answer; each move takes less than 3 s, and what one node wrote the next one reads", 1, windowsFailover),
		w("shared-volume", "A cluster shared volume", "SPC-4 r36f 5.13.10, table 65",
			"under Write Exclusive - Registrants Only every registered node writes, others read but do not write; under Write Exclusive - All Registrants (storage pools) the same, and the reservation lives as long as one node", 3, windowsShared),
	)
}

func windowsNames(t *T) {
	var first string
	for i := range 2 {
		n := t.Nexus(i)
		t.Note("node %d reads its disks' identifiers; a disk that two nodes do not name alike is not shared for Windows", i+1)
		serial := n.Expect(initiator.InquiryVPD(initiator.VPDSerial, 255), good)
		if len(serial.Data) < 5 {
			t.Fail("page 80h is empty")
		}
		var names []string
		for _, d := range t.designators(n) {
			if d.Association == initiator.AssociationUnit && (d.Type == initiator.DesignatorNAA || d.Type == initiator.DesignatorEUI64 || d.Type == initiator.DesignatorSCSIName) {
				names = append(names, designatorText(d))
			}
		}
		if len(names) == 0 {
			t.Fail("page 83h has no NAA, EUI-64 or SCSI name designator of the logical unit, which the validation wants")
		}
		all := fmt.Sprintf("serial %q, %s", serial.Data[4:], strings.Join(names, ", "))
		if i == 0 {
			first = all
		}
		n.saw("pages 80h and 83h", all, first)
	}
}

// windowsRegister is PRRegister: REGISTER AND IGNORE EXISTING KEY with a key of the node's.
func windowsRegister(n *Nexus, key uint64) { n.Expect(registerIgnore(key), good) }

func windowsReservation(t *T) {
	for i := range 3 {
		owner, other := t.Nexus(i), t.Nexus((i+1)%3)
		mine, theirs := t.Key(i+1), t.Key((i+1)%3+1)
		t.Note("node %d: clear what may be there (register first: CLEAR needs it), register, reserve", i+1)
		windowsRegister(owner, mine)
		owner.Expect(clearAll(mine), good)
		windowsRegister(owner, mine)
		owner.Expect(reserve(mine, writeRegistrants), good)
		owner.WantReservation(mine, writeRegistrants)
		t.Note("another node sees who owns the disk, and may read but not write it")
		other.WantReservation(mine, writeRegistrants)
		other.Expect(other.Read(t.LBA(0), 1), good)
		other.Expect(other.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
		t.Note("RESERVE of an unregistered node and PREEMPT without a registration are conflicts, not errors")
		other.Expect(reserve(theirs, writeRegistrants), conflict)
		other.Expect(preempt(theirs, mine, writeRegistrants), conflict)
		t.Note("it registers, and preempts the owner")
		windowsRegister(other, theirs)
		other.Expect(reserve(theirs, writeRegistrants), conflict)
		other.Expect(preempt(theirs, mine, writeRegistrants), good)
		other.WantReservation(theirs, writeRegistrants)
		other.WantKeys(theirs)
		owner.Expect(owner.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
		t.Note("it gives the disk back, and unregisters")
		other.Expect(release(theirs, writeRegistrants), good)
		other.Expect(registerIgnore(0), good)
		other.WantKeys()
		other.WantNoReservation()
	}
}

// inTime judges how long a step took.
func (t *T) inTime(what string, began time.Time) {
	if d := time.Since(began); d >= arbitration {
		t.Wrong("%s took %.1f s, must take less than 3 s", what, d.Seconds())
	}
}

func windowsArbitration(t *T) {
	a, b := t.Two()
	windowsRegister(a, t.Key(1))
	a.Expect(reserve(t.Key(1), writeRegistrants), good)
	t.Note("the owner defends its disk every 3 s: it reads keys and reservation")
	a.WantKeys(t.Key(1))
	a.WantReservation(t.Key(1), writeRegistrants)
	t.Note("the challenger registers and looks whether the owner still defends; it does not, so it preempts")
	began := time.Now()
	windowsRegister(b, t.Key(2))
	b.WantReservation(t.Key(1), writeRegistrants)
	b.Expect(preempt(t.Key(2), t.Key(1), writeRegistrants), good)
	b.WantReservation(t.Key(2), writeRegistrants)
	t.inTime("taking the disk over", began)
	t.Note("the old owner finds out at its next write, and at its next look")
	a.WantUA(initiator.ASCRegistrationsPreempted)
	a.Expect(a.Write(t.LBA(0), t.Pattern(1, 1)), conflict)
	a.WantKeys(t.Key(2))
}

func windowsBusy(t *T) {
	a, b := t.Two()
	windowsRegister(a, t.Key(1))
	a.Expect(reserve(t.Key(1), writeRegistrants), good)
	b.Expect(registerIgnore(t.Key(2)), good)
	stop := t.busy(a)
	defer stop()
	for range t.r.opt.Rounds {
		for _, c := range []initiator.Cmd{initiator.PRIn(initiator.PRReadKeys, 512), initiator.PRIn(initiator.PRReadReservation, 64), registerIgnore(t.Key(2))} {
			began := time.Now()
			r := b.send1(c)
			t.inTime(describe(c), began)
			if !r.Good() {
				t.Fail("%s while the disk is busy: %s", describe(c), answer(r))
			}
		}
	}
	began := time.Now()
	b.Expect(preempt(t.Key(2), t.Key(1), writeRegistrants), good)
	t.inTime("PREEMPT while the disk is busy", began)
	b.WantReservation(t.Key(2), writeRegistrants)
}

func windowsMultiple(t *T) {
	nodes := t.r.opt.Nodes
	for round := range min(t.r.opt.Rounds, 5) {
		var owners atomic.Int64
		var owner atomic.Uint64
		answers := t.together(nodes, func(i int, n *Nexus) string {
			key := t.Key(i + 1)
			r, err := n.try(preempt(key, t.Key(1000), writeRegistrants))
			for err == nil && isUA(r) {
				r, err = n.try(preempt(key, t.Key(1000), writeRegistrants))
			}
			switch {
			case err != nil:
				return errText(err)
			case r.Good():
				owners.Add(1)
				owner.Store(key)
			case !conflict.ok(r):
				return answer(r)
			}
			return ""
		}, func(i int, n *Nexus) {
			if i == 0 {
				// The owner that everybody challenges has a key that none of them has.
				n.Must(registerIgnore(t.Key(1000)))
				n.Must(reserve(t.Key(1000), writeRegistrants))
				s := t.login(0, 0x30, nil)
				s.Name = "A's other path"
				s.Must(registerIgnore(t.Key(1)))
				t.nexuses[0] = s
				return
			}
			n.Must(registerIgnore(t.Key(i + 1)))
		})
		for i, s := range answers {
			if s != "" {
				t.Wrong("round %d: PREEMPT of node %d: %s, must be GOOD or RESERVATION CONFLICT", round+1, i+1, s)
			}
		}
		if n := owners.Load(); n != 1 {
			t.Fail("round %d: %d of %d nodes were told that they own the disk, must be one", round+1, n, nodes)
		}
		n := t.Nexus(0)
		if r := n.Reservation(); r.Key != owner.Load() || r.Type != writeRegistrants {
			t.Fail("round %d: READ RESERVATION shows %s, the winner has %s", round+1, reservationText(r), keyName(owner.Load()))
		}
		n.Must(clearAll(t.Key(1)))
		for i := range nodes {
			t.Nexus(i).Attentions()
		}
		t.nexuses[0].leave(t.ctx)
		delete(t.nexuses, 0)
	}
	t.Note("%d nodes", nodes)
}

func windowsFailover(t *T) {
	nodes := t.r.opt.Nodes
	var last []byte
	for i := range nodes {
		n, key := t.Nexus(i), t.Key(i+1)
		began := time.Now()
		n.Must(registerIgnore(key))
		if i > 0 {
			r := n.Reservation()
			if r.Held {
				t.Note("node %d finds that node %d still has the disk and preempts it", i+1, i)
				n.Expect(preempt(key, r.Key, writeRegistrants), good)
			} else {
				n.Expect(reserve(key, writeRegistrants), good)
			}
		} else {
			n.Expect(reserve(key, writeRegistrants), good)
		}
		t.inTime(fmt.Sprintf("the move to node %d", i+1), began)
		n.WantReservation(key, writeRegistrants)
		if last != nil {
			n.Holds(t.LBA(0), last, "what the node before wrote")
		}
		last = t.Pattern(uint64(i)+100, 1)
		n.Expect(n.Write(t.LBA(0), last), good)
		if i%2 == 0 {
			n.Expect(release(key, writeRegistrants), good)
		}
	}
}

func windowsShared(t *T) {
	a, b, c := t.Three()
	for _, typ := range []initiator.PRType{writeRegistrants, writeAllRegistrants} {
		t.Note("%s", typeName(typ))
		windowsRegister(a, t.Key(1))
		windowsRegister(b, t.Key(2))
		a.Reserve(t.Key(1), typ)
		for _, n := range []*Nexus{a, b} {
			n.Expect(n.Write(t.LBA(0), t.Pattern(1, 1)), good)
		}
		c.Expect(c.Read(t.LBA(0), 1), good)
		c.Expect(c.Write(t.LBA(0), t.Pattern(2, 1)), conflict)
		if allRegistrants(typ) {
			t.Note("the node that reserved leaves; the pool stays reserved for the other")
			a.Expect(registerIgnore(0), good)
			b.WantReservation(0, typ)
			a.Expect(a.Write(t.LBA(0), t.Pattern(2, 1)), conflict)
			b.Expect(b.Write(t.LBA(0), t.Pattern(2, 1)), good)
		}
		b.Expect(clearAll(t.Key(2)), good)
		a.Attentions()
	}
}
