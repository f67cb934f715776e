package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"nas-target/internal/initiator"
)

func init() {
	define(
		Case{ID: "pr.in.read-keys", Title: "READ KEYS answers", Clause: "SPC-4 r36f 6.15.2", Level: Required,
			Demand: "READ KEYS ends with GOOD and a list whose ADDITIONAL LENGTH is eight bytes a key",
			run: func(t *T) {
				a := t.Nexus(0)
				r := a.Expect(initiator.PRIn(initiator.PRReadKeys, 4096), good)
				if len(r.Data) < 8 || binary.BigEndian.Uint32(r.Data[4:])%8 != 0 || int(binary.BigEndian.Uint32(r.Data[4:]))+8 != len(r.Data) {
					t.Fail("READ KEYS returns %d bytes that are no key list: %x", len(r.Data), r.Data[:min(len(r.Data), 32)])
				}
			}},
		Case{ID: "pr.in.read-reservation", Title: "READ RESERVATION answers", Clause: "SPC-4 r36f 6.15.3", Level: Required,
			Demand: "READ RESERVATION ends with GOOD and ADDITIONAL LENGTH 0 or 16", needsPR: true,
			run: func(t *T) {
				r := t.Nexus(0).Expect(initiator.PRIn(initiator.PRReadReservation, 256), good)
				if n := len(r.Data); n != 8 && n != 24 || binary.BigEndian.Uint32(r.Data[4:]) != uint32(n-8) {
					t.Fail("READ RESERVATION returns %x", r.Data[:min(len(r.Data), 32)])
				}
			}},
		Case{ID: "pr.in.capabilities", Title: "REPORT CAPABILITIES is well formed", Clause: "SPC-4 r36f 6.15.4", Level: Required,
			Demand: "REPORT CAPABILITIES returns LENGTH 8, no reserved ALLOW COMMANDS value and no reserved bit of the type mask", needsPR: true,
			run: capabilitiesFormed},
		Case{ID: "pr.in.service-action", Title: "Reserved service actions of PERSISTENT RESERVE IN are refused", Clause: "SPC-4 r36f 6.15.1", Level: Required,
			Demand: "service actions 04h to 1Fh end with INVALID FIELD IN CDB", needsPR: true,
			run: func(t *T) {
				a := t.Nexus(0)
				for sa := initiator.PRInAction(4); sa < 0x20; sa++ {
					a.Check(initiator.PRIn(sa, 64), badCDB)
				}
			}},
		Case{ID: "pr.in.allocation", Title: "A short allocation length truncates, and changes no length field", Clause: "SPC-4 r36f 4.3.5.6, 6.15.1", Level: Required,
			Demand:      "every allocation length ends with GOOD; the data is the first bytes of the whole, whose length fields are not adjusted",
			Destructive: true, Nexuses: 2, needsPR: true, run: allocation},
		Case{ID: "pr.in.capabilities.types", Title: "The type mask is true", Clause: "SPC-4 r36f 6.15.4", Level: Required,
			Demand:      "with TMV=1 each type in the mask can be reserved, and each other one ends with INVALID FIELD IN CDB",
			Destructive: true, needsPR: true, run: typeMask},
		Case{ID: "pr.in.full-status", Title: "READ FULL STATUS names who has registered", Clause: "SPC-4 r36f 6.15.5, 7.6.4.6", Level: Recommended,
			Demand:      "one descriptor a registration, with key, holder, type, the relative port it came through and the iSCSI port name of the initiator",
			Destructive: true, Nexuses: 2, needsPR: true, run: fullStatus},
		Case{ID: "pr.in.full-status.all-registrants", Title: "READ FULL STATUS shows every registrant as a holder", Clause: "SPC-4 r36f 5.13.10, 6.15.5", Level: Required,
			Demand:      "with an all-registrants type every descriptor has R_HOLDER=1 and the type",
			Destructive: true, Nexuses: 2, needsPR: true, run: fullStatusAll},
		Case{ID: "pr.in.reads-change-nothing", Title: "PERSISTENT RESERVE IN changes nothing", Clause: "SPC-4 r36f 6.15.2", Level: Required,
			Demand:      "no service action of PERSISTENT RESERVE IN changes PRGENERATION or a registration, and an unregistered nexus may send them",
			Destructive: true, Nexuses: 2, needsPR: true,
			run: func(t *T) {
				a, b := t.Two()
				a.Register(t.Key(1))
				a.Reserve(t.Key(1), exclusiveAccess)
				g := a.Generation()
				for _, sa := range []initiator.PRInAction{initiator.PRReadKeys, initiator.PRReadReservation, initiator.PRReportCapabilities} {
					b.Expect(initiator.PRIn(sa, 512), good)
				}
				a.WantGeneration(g)
				a.WantKeys(t.Key(1))
				a.WantReservation(t.Key(1), exclusiveAccess)
			}},
	)
}

func capabilitiesFormed(t *T) {
	a := t.Nexus(0)
	r := a.Expect(initiator.PRIn(initiator.PRReportCapabilities, 64), good)
	d := r.Data
	if len(d) != 8 || binary.BigEndian.Uint16(d) != 8 {
		t.Fail("REPORT CAPABILITIES returns %x, must be 8 bytes with LENGTH 0008h", d)
	}
	if v := d[3] >> 4 & 7; v > 5 {
		t.Wrong("ALLOW COMMANDS is %d, which is reserved", v)
	}
	if m := binary.BigEndian.Uint16(d[4:]); m&^0xea01 != 0 {
		t.Wrong("the type mask %04Xh has reserved bits set", m)
	}
}

// allocation compares every truncation with the whole.
func allocation(t *T) {
	a, b := t.Two()
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	a.Reserve(t.Key(1), writeExclusive)
	for sa := initiator.PRReadKeys; sa <= initiator.PRReadFullStatus; sa++ {
		name := prInNames[sa]
		whole := a.send1(initiator.PRIn(sa, 1024))
		if sa == initiator.PRReadFullStatus && !whole.Good() {
			continue // judged by pr.in.full-status
		}
		if !whole.Good() {
			t.Broken("%s: %s", name, answer(whole))
		}
		bad := 0
		for n := range len(whole.Data) + 1 {
			r := a.send1(initiator.PRIn(sa, uint16(n)))
			if !r.Good() || !bytes.Equal(r.Data, whole.Data[:n]) {
				if bad++; bad == 1 {
					t.Wrong("%s with allocation length %d: %s, %d bytes %x; must be GOOD and the first %d bytes of %x", name, n, answer(r), len(r.Data), r.Data, n, whole.Data)
				}
			}
		}
		t.record(Step{Nexus: a.Name, Did: fmt.Sprintf("PERSISTENT RESERVE IN %s with every allocation length from 0 to %d", name, len(whole.Data)),
			Got: fmt.Sprintf("%d of them wrong", bad), Want: "each time the first bytes of the same data", Wrong: bad > 0})
	}
}

// send1 is send without what came before the answer.
func (n *Nexus) send1(c initiator.Cmd) initiator.Response {
	r, _ := n.send(c)
	return r
}

func typeMask(t *T) {
	a := t.Nexus(0)
	a.Register(t.Key(1))
	c := a.Capabilities()
	if !c.TypeMaskValid {
		t.Absent("TMV=0: the type mask says nothing")
	}
	for _, typ := range types {
		if c.Supports(typ) {
			if a.Check(reserve(t.Key(1), typ), good) {
				a.Check(release(t.Key(1), typ), good)
			}
		} else {
			a.Check(reserve(t.Key(1), typ), badCDB)
		}
	}
}

// ownPort is the relative target port identifier of the port that a nexus uses.
func (n *Nexus) ownPort() (uint16, bool) {
	ctx, cancel := n.t.within()
	defer cancel()
	list, err := n.U.Identification(ctx)
	if err != nil {
		return 0, false
	}
	for _, d := range list {
		if d.Association == initiator.AssociationPort && d.Type == initiator.DesignatorRelativePort && len(d.ID) == 4 {
			return binary.BigEndian.Uint16(d.ID[2:]), true
		}
	}
	return 0, false
}

func fullStatus(t *T) {
	a, b := t.Two()
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	a.Reserve(t.Key(1), writeRegistrants)
	r := a.Expect(initiator.PRIn(initiator.PRReadFullStatus, 4096), good)
	s, err := initiator.DecodeFullStatus(r.Data)
	if err != nil {
		t.Fail("READ FULL STATUS is malformed: %s", errText(err))
	}
	var got, wanted []string
	for _, d := range s.Registrants {
		line := fmt.Sprintf("%s by %s", keyName(d.Key), d.Initiator)
		if d.Holder {
			line += fmt.Sprintf(" holding %s", typeName(d.Type))
		}
		got = append(got, line)
	}
	for i, n := range []*Nexus{a, b} {
		line := fmt.Sprintf("%s by %s", keyName(t.Key(i+1)), n.S.PortID())
		if i == 0 {
			line += " holding " + typeName(writeRegistrants)
		}
		wanted = append(wanted, line)
	}
	slices.Sort(got)
	slices.Sort(wanted)
	a.saw("READ FULL STATUS", strings.Join(got, "; "), strings.Join(wanted, "; "))
	for i, n := range []*Nexus{a, b} {
		port, ok := n.ownPort()
		if !ok {
			t.Note("%s: page 83h has no relative target port identifier to compare with", n.Name)
			continue
		}
		for _, d := range s.Registrants {
			if d.Key == t.Key(i+1) && !d.AllPorts && d.RelativePort != port {
				t.Wrong("READ FULL STATUS gives %s relative port %d, page 83h says %d", n.Name, d.RelativePort, port)
			}
		}
	}
}

func fullStatusAll(t *T) {
	a, b := t.Two()
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	a.Reserve(t.Key(1), accessAll)
	s := b.FullStatus()
	if len(s.Registrants) != 2 {
		t.Fail("READ FULL STATUS has %d descriptors, must have 2", len(s.Registrants))
	}
	for _, d := range s.Registrants {
		if !d.Holder || d.Type != accessAll || d.Scope != 0 {
			t.Wrong("the descriptor of %s has R_HOLDER %v, scope %d, %s; must be a holder of %s", keyName(d.Key), d.Holder, d.Scope, typeName(d.Type), typeName(accessAll))
		}
	}
}
