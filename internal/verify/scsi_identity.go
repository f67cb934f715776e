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
	c := func(id, title, clause, demand string, level Level, run func(*T)) Case {
		return Case{ID: "scsi." + id, Title: title, Clause: clause, Demand: demand, Level: level, run: run}
	}
	two := func(c Case) Case { c.Nexuses = 2; return c }
	define(
		c("inquiry.standard", "Standard INQUIRY data", "SPC-4 r36f 6.6.2", "a disk: RESPONSE DATA FORMAT 2, a version of SPC-2 or later, ADDITIONAL LENGTH that counts what follows, names in printable ASCII", Required,
			func(t *T) {
				a := t.Nexus(0)
				r := a.Expect(initiator.Inquiry(255), good)
				d, err := initiator.DecodeInquiry(r.Data)
				if err != nil {
					t.Fail("%s", errText(err))
				}
				if d.ResponseFormat != 2 {
					t.Wrong("RESPONSE DATA FORMAT is %d, must be 2", d.ResponseFormat)
				}
				if d.Version < 4 {
					t.Wrong("VERSION is %02Xh, older than SPC-2", d.Version)
				}
				if int(d.AdditionalLength) < 31 || int(d.AdditionalLength)+5 < len(r.Data) {
					t.Wrong("ADDITIONAL LENGTH is %d, %d bytes came", d.AdditionalLength, len(r.Data))
				}
				if i := bytes.IndexFunc(r.Data[8:36], func(r rune) bool { return r < 0x20 || r > 0x7e }); i >= 0 {
					t.Wrong("byte %d of the names is not printable ASCII", 8+i)
				}
			}),
		c("inquiry.allocation", "A short allocation length truncates INQUIRY data", "SPC-4 r36f 4.3.5.6", "every allocation length ends with GOOD and the first bytes of the same data", Required,
			func(t *T) {
				a := t.Nexus(0)
				whole := a.Expect(initiator.Inquiry(255), good).Data
				for _, n := range []int{0, 1, 4, 5, 35, 36} {
					r := a.Expect(initiator.Inquiry(uint16(n)), good)
					if want := whole[:min(n, len(whole))]; !bytes.Equal(r.Data, want) {
						t.Wrong("allocation length %d returns %x, must be %x", n, r.Data, want)
					}
				}
			}),
		c("inquiry.page-without-evpd", "A page code without EVPD is refused", "SPC-4 r36f 6.6.1", "EVPD=0 with a PAGE CODE ends with INVALID FIELD IN CDB", Required,
			func(t *T) {
				cmd := initiator.Inquiry(96)
				cmd.CDB[2] = 0x83
				t.Nexus(0).Expect(cmd, badCDB)
			}),
		c("vpd.list", "The list of vital product data pages is true", "SPC-4 r36f 7.8.1, 7.8.18", "page 00h lists in ascending order 00h, 83h and others, and each listed page can be read and names itself", Required,
			func(t *T) {
				a := t.Nexus(0)
				r := a.Expect(initiator.InquiryVPD(0, 255), good)
				if len(r.Data) < 4 {
					t.Fail("page 00h has %d bytes", len(r.Data))
				}
				list := r.Data[4:]
				if !slices.IsSorted(list) {
					t.Wrong("the list %x is not in ascending order", list)
				}
				for _, p := range []byte{0x00, 0x83} {
					if !slices.Contains(list, p) {
						t.Wrong("the list %x lacks page %02Xh, which is mandatory", list, p)
					}
				}
				for _, p := range list {
					r, ok := a.judged(initiator.InquiryVPD(p, 4096), good)
					if ok && (len(r.Data) < 4 || r.Data[1] != p || int(binary.BigEndian.Uint16(r.Data[2:]))+4 != len(r.Data)) {
						t.Wrong("page %02Xh begins with %x in %d bytes", p, r.Data[:min(4, len(r.Data))], len(r.Data))
					}
				}
			}),
		c("vpd.unknown", "An unknown page is refused", "SPC-4 r36f 6.6.1", "a page that page 00h does not list ends with INVALID FIELD IN CDB", Required,
			func(t *T) {
				a := t.Nexus(0)
				list := t.pages(a)
				for p := byte(0x90); p < 0xb0; p++ {
					if !slices.Contains(list, p) {
						a.Expect(initiator.InquiryVPD(p, 255), badCDB)
						return
					}
				}
			}),
		c("vpd.identification", "The logical unit has a name", "SPC-4 r36f 7.8.6", "page 83h names the logical unit by NAA, EUI-64, SCSI name or T10 vendor identification; designators have the lengths of their types", Required, identification),
		c("vpd.identification.global", "The name is one that cluster software takes", "SPC-4 r36f 7.8.6.2", "an NAA, EUI-64 or SCSI name designator of the logical unit: multipath, Windows and ESXi do not trust a vendor identification alone", Recommended,
			func(t *T) {
				list := t.designators(t.Nexus(0))
				if !slices.ContainsFunc(list, func(d initiator.Designator) bool {
					return d.Association == initiator.AssociationUnit && (d.Type == initiator.DesignatorNAA || d.Type == initiator.DesignatorEUI64 || d.Type == initiator.DesignatorSCSIName)
				}) {
					t.Fail("page 83h has no NAA, EUI-64 or SCSI name designator of the logical unit")
				}
			}),
		two(c("vpd.identification.paths", "The name is the same for everybody", "SPC-4 r36f 7.8.6", "every nexus reads the same designators of the logical unit, and the same serial number", Required,
			func(t *T) {
				a, b := t.Two()
				name := func(n *Nexus) string {
					var names []string
					for _, d := range t.designators(n) {
						if d.Association == initiator.AssociationUnit {
							names = append(names, designatorText(d))
						}
					}
					r := n.send1(initiator.InquiryVPD(initiator.VPDSerial, 255))
					if r.Good() && len(r.Data) > 4 {
						names = append(names, fmt.Sprintf("serial %q", r.Data[4:]))
					}
					return strings.Join(names, ", ")
				}
				b.saw("INQUIRY pages 83h and 80h", name(b), name(a))
			})),
		c("vpd.serial", "The unit has a serial number", "SPC-4 r36f 7.8.16", "page 80h holds printable ASCII", Recommended,
			func(t *T) {
				r := t.Nexus(0).Expect(initiator.InquiryVPD(initiator.VPDSerial, 255), good)
				if len(r.Data) < 5 || len(bytes.TrimSpace(r.Data[4:])) == 0 {
					t.Fail("page 80h is empty")
				}
				if i := bytes.IndexFunc(r.Data[4:], func(r rune) bool { return r < 0x20 || r > 0x7e }); i >= 0 {
					t.Fail("byte %d of the serial number is not printable ASCII", i)
				}
			}),
		c("vpd.block-limits", "The block limits are well formed", "SBC-4 r22 6.6.4", "PAGE LENGTH is 3Ch; MAXIMUM UNMAP LBA COUNT and BLOCK DESCRIPTOR COUNT are both zero or both not, and not zero if UNMAP is announced", Required, blockLimits),
		c("provisioning.agrees", "What is said about provisioning agrees", "SBC-4 r22 5.16, 6.6.7", "LBPME=1 in READ CAPACITY (16) if and only if page B2h announces a way to unmap", Required,
			func(t *T) {
				a := t.Nexus(0)
				cap, ok := t.capacity16(a)
				if !ok {
					t.Absent("READ CAPACITY (16) is not implemented")
				}
				p, listed := t.provisioning(a)
				ways := listed && (p.LBPU || p.LBPWS || p.LBPWS10)
				a.saw("READ CAPACITY (16) and page B2h", fmt.Sprintf("LBPME=%v, a way to unmap: %v", cap.LBPME, ways), fmt.Sprintf("LBPME=%v, a way to unmap: %v", ways, ways))
			}),
		c("capacity.agrees", "READ CAPACITY (10) and (16) agree", "SBC-4 r22 5.15, 5.16", "the last LBA and the block length are the same, or FFFFFFFFh for a unit that is larger", Required,
			func(t *T) {
				a := t.Nexus(0)
				c16, ok := t.capacity16(a)
				if !ok {
					t.Absent("READ CAPACITY (16) is not implemented")
				}
				r := a.Expect(initiator.ReadCapacity10(), good)
				if len(r.Data) != 8 {
					t.Fail("READ CAPACITY (10) returns %d bytes", len(r.Data))
				}
				last := min(c16.Blocks-1, 0xffffffff)
				a.saw("READ CAPACITY (10)", fmt.Sprintf("last LBA %d, blocks of %d bytes", binary.BigEndian.Uint32(r.Data), binary.BigEndian.Uint32(r.Data[4:])),
					fmt.Sprintf("last LBA %d, blocks of %d bytes", last, c16.BlockSize))
			}),
		c("capacity.allocation", "A short allocation length truncates READ CAPACITY (16)", "SPC-4 r36f 4.3.5.6", "every allocation length ends with GOOD and the first bytes of the same data", Required,
			func(t *T) {
				a := t.Nexus(0)
				if _, ok := t.capacity16(a); !ok {
					t.Absent("READ CAPACITY (16) is not implemented")
				}
				whole := a.Must(initiator.ReadCapacity16(32)).Data
				for _, n := range []int{0, 1, 8, 12, 15} {
					if r := a.Expect(initiator.ReadCapacity16(uint32(n)), good); !bytes.Equal(r.Data, whole[:n]) {
						t.Wrong("allocation length %d returns %x, must be %x", n, r.Data, whole[:n])
					}
				}
			}),
		c("report-luns", "REPORT LUNS lists the unit", "SPC-4 r36f 6.33", "the list contains the LUN of the URL; a reserved SELECT REPORT ends with INVALID FIELD IN CDB", Required,
			func(t *T) {
				a := t.Nexus(0)
				r := a.Expect(initiator.ReportLUNs(0, 4096), good)
				list, err := initiator.DecodeLUNs(r.Data)
				if err != nil {
					t.Fail("%s", errText(err))
				}
				if !slices.ContainsFunc(list, func(l initiator.LUN) bool { n, ok := l.Number(); return ok && n == t.r.path(0).LUN }) {
					t.Wrong("the list %v lacks LUN %d", list, t.r.path(0).LUN)
				}
				a.Check(initiator.ReportLUNs(0x0f, 4096), badCDB)
			}),
		c("missing-unit", "A LUN that does not exist", "SPC-4 r36f 6.6.2; SAM-5 5.11", "INQUIRY begins with 7Fh, TEST UNIT READY ends with LOGICAL UNIT NOT SUPPORTED", Required,
			func(t *T) {
				a := t.Nexus(0)
				u := *a.U
				u.LUN = t.missingLUN(a)
				ghost := &Nexus{Name: a.Name + " at a LUN that does not exist", S: a.S, U: &u, t: t, gone: true}
				r := ghost.Expect(initiator.Inquiry(96), good)
				if len(r.Data) == 0 || r.Data[0] != 0x7f {
					t.Wrong("INQUIRY begins with %x, must begin with 7f", r.Data[:min(1, len(r.Data))])
				}
				ghost.Check(initiator.TestUnitReady(), illegal(initiator.ASCLUNNotSupported))
			}),
		c("opcode.unknown", "A command that does not exist is refused", "SPC-4 r36f 4.3.4", "an operation code that is not implemented ends with INVALID COMMAND OPERATION CODE", Required,
			func(t *T) { t.Nexus(0).Expect(initiator.NoData(0xff, 0, 0, 0, 0, 0), badOpcode) }),
		c("request-sense", "REQUEST SENSE of a unit that is well", "SPC-4 r36f 6.38", "it ends with GOOD and NO SENSE as data, in the format that is asked for", Required,
			func(t *T) {
				a := t.Nexus(0)
				r := a.Expect(initiator.RequestSense(false, 252), good)
				if s, err := initiator.ParseSense(r.Data); err != nil || s.Key != initiator.NoSense || s.Descriptor {
					t.Wrong("REQUEST SENSE returns %x", r.Data)
				}
				r = a.Expect(initiator.RequestSense(true, 252), either(good, badCDB))
				if s, err := initiator.ParseSense(r.Data); r.Good() && (err != nil || !s.Descriptor) {
					t.Wrong("REQUEST SENSE with DESC=1 returns %x", r.Data)
				}
			}),
		c("opcodes.true", "REPORT SUPPORTED OPERATION CODES is true", "SPC-4 r36f 6.35", "every command of the list is reported as supported when it is asked for alone, with its CDB length and a usage map that begins with the operation code; one that is not in it is not", Recommended, opcodeList),
		c("mode.pages", "Mode pages", "SPC-4 r36f 6.11, 7.5", "all pages come in ascending order, each can be read alone with the same contents, and an unknown page ends with INVALID FIELD IN CDB", Required, modePages),
		c("mode.caching", "The write cache is shown", "SBC-4 r22 6.4.5", "the caching mode page tells whether writes are cached (WCE), without which no host knows when to flush", Recommended,
			func(t *T) {
				a := t.Nexus(0)
				r := a.Expect(initiator.ModeSense6(0, initiator.PageCaching, 0, false, 255), good)
				m, err := initiator.DecodeMode6(r.Data)
				if err != nil {
					t.Fail("%s", errText(err))
				}
				p, ok := m.Find(initiator.PageCaching, 0)
				if !ok || len(p.Raw) < 3 {
					t.Fail("there is no page 08h")
				}
				t.Note("WCE=%d", p.Raw[2]>>2&1)
			}),
		c("port-groups", "Target port groups", "SPC-4 r36f 6.6.2, 6.37", "if INQUIRY announces TPGS, REPORT TARGET PORT GROUPS lists a group with a port, and a truncated answer keeps its length field", Required,
			func(t *T) {
				a := t.Nexus(0)
				if t.r.inquiry.TPGS == 0 {
					t.Absent("TPGS is 0")
				}
				r := a.Expect(initiator.ReportPortGroups(false, 1024), good)
				groups, err := initiator.DecodePortGroups(r.Data, false)
				if err != nil || len(groups) == 0 || len(groups[0].Ports) == 0 {
					t.Fail("REPORT TARGET PORT GROUPS returns %x", r.Data)
				}
				if short := a.Expect(initiator.ReportPortGroups(false, 4), good); !bytes.Equal(short.Data, r.Data[:4]) {
					t.Wrong("allocation length 4 returns %x, must be %x", short.Data, r.Data[:4])
				}
			}),
		Case{ID: "scsi.attention.untouched", Title: "INQUIRY and REPORT LUNS leave unit attentions alone", Clause: "SPC-4 r36f 5.14; SAM-5 5.14", Level: Required, Destructive: true, Nexuses: 2,
			Demand: "while a unit attention waits INQUIRY and REPORT LUNS end with GOOD and do not clear it; the next other command reports it", run: attentionUntouched},
	)
}

// pages is page 00h, for cases that another one precedes.
func (t *T) pages(n *Nexus) []byte {
	r := n.Must(initiator.InquiryVPD(0, 255))
	if len(r.Data) < 4 {
		t.Broken("page 00h has %d bytes", len(r.Data))
	}
	return r.Data[4:]
}

func (t *T) designators(n *Nexus) []initiator.Designator {
	r := n.Must(initiator.InquiryVPD(initiator.VPDIdentification, 4096))
	if len(r.Data) < 4 {
		t.Fail("page 83h has %d bytes", len(r.Data))
	}
	list, err := initiator.DecodeDesignators(r.Data[4:])
	if err != nil {
		t.Fail("page 83h: %s", errText(err))
	}
	return list
}

func identification(t *T) {
	a := t.Nexus(0)
	named := false
	var lines []string
	for _, d := range t.designators(a) {
		lines = append(lines, d.String())
		n := len(d.ID)
		bad := ""
		switch d.Type {
		case initiator.DesignatorNAA:
			if n != 8 && n != 16 || (d.ID[0]>>4 == 6) != (n == 16) {
				bad = "an NAA designator"
			}
		case initiator.DesignatorEUI64:
			if n != 8 && n != 12 && n != 16 {
				bad = "an EUI-64 designator"
			}
		case initiator.DesignatorRelativePort, initiator.DesignatorPortGroup:
			if n != 4 {
				bad = "a port designator"
			}
		}
		if bad != "" {
			t.Wrong("%s has %d bytes: %x", bad, n, d.ID)
		}
		switch d.Type {
		case initiator.DesignatorT10Vendor, initiator.DesignatorEUI64, initiator.DesignatorNAA, initiator.DesignatorSCSIName:
			named = named || d.Association == initiator.AssociationUnit
		}
	}
	t.record(Step{Nexus: a.Name, Did: "INQUIRY page 83h", Got: strings.Join(lines, "; ")})
	if !named {
		t.Wrong("page 83h does not name the logical unit")
	}
}

func (t *T) capacity16(n *Nexus) (initiator.Capacity, bool) {
	r := n.Do(initiator.ReadCapacity16(32))
	if unsupported(r) || !r.Good() {
		return initiator.Capacity{}, false
	}
	ctx, cancel := t.within()
	defer cancel()
	c, err := n.U.ReadCapacity16(ctx)
	if err != nil {
		t.Fail("READ CAPACITY (16): %s", errText(err))
	}
	return c, true
}

func (t *T) provisioning(n *Nexus) (initiator.Provisioning, bool) {
	if !slices.Contains(t.pages(n), initiator.VPDProvisioning) {
		return initiator.Provisioning{}, false
	}
	ctx, cancel := t.within()
	defer cancel()
	p, err := n.U.Provisioning(ctx)
	if err != nil {
		t.Fail("page B2h: %s", errText(err))
	}
	return p, true
}

func blockLimits(t *T) {
	a := t.Nexus(0)
	if !slices.Contains(t.pages(a), initiator.VPDBlockLimits) {
		t.Absent("page B0h is not listed")
	}
	r := a.Expect(initiator.InquiryVPD(initiator.VPDBlockLimits, 255), good)
	if len(r.Data) < 4 || binary.BigEndian.Uint16(r.Data[2:]) != 0x3c {
		if len(r.Data) >= 4 && binary.BigEndian.Uint16(r.Data[2:]) == 0x10 {
			t.Absent("page B0h has the short form of SBC-2")
		}
		t.Fail("page B0h begins with %x, PAGE LENGTH must be 003Ch", r.Data[:min(4, len(r.Data))])
	}
	count, descriptors := binary.BigEndian.Uint32(r.Data[20:]), binary.BigEndian.Uint32(r.Data[24:])
	if (count == 0) != (descriptors == 0) {
		t.Wrong("MAXIMUM UNMAP LBA COUNT is %d, MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT %d", count, descriptors)
	}
	if p, ok := t.provisioning(a); ok && p.LBPU && count == 0 {
		t.Wrong("page B2h announces UNMAP (LBPU=1), page B0h allows none of it")
	}
}

func opcodeList(t *T) {
	a := t.Nexus(0)
	if r := a.Do(initiator.ReportOpcodes(0, 0, 0, false, 8192)); !r.Good() {
		t.Fail("REPORT SUPPORTED OPERATION CODES is not implemented: %s", answer(r))
	}
	ctx, cancel := t.within()
	defer cancel()
	list, err := a.U.SupportedOpcodes(ctx, false)
	if err != nil {
		t.Fail("%s", errText(err))
	}
	known := map[byte]bool{}
	for _, o := range list {
		known[o.Opcode] = true
		how := initiator.ReportOpcode
		if o.HasAction {
			how = initiator.ReportServiceAction
		}
		u, err := a.U.OpcodeUsage(ctx, how, o.Opcode, o.ServiceAction, false)
		name := fmt.Sprintf("opcode %02Xh service action %02Xh", o.Opcode, o.ServiceAction)
		switch {
		case err != nil:
			t.Wrong("%s is in the list, asked for alone: %s", name, errText(err))
		case u.Support != 3 && u.Support != 5:
			t.Wrong("%s is in the list, asked for alone it has SUPPORT %d", name, u.Support)
		case len(u.Usage) != int(o.CDBLength) || u.Usage[0] != o.Opcode:
			t.Wrong("%s: CDB LENGTH %d in the list, usage map %x", name, o.CDBLength, u.Usage)
		}
	}
	t.record(Step{Nexus: a.Name, Did: "each command of the list asked for alone", Got: fmt.Sprintf("%d commands", len(list))})
	for _, op := range []byte{0x12, 0xa0, 0x28} {
		if !known[op] {
			t.Wrong("the list lacks %s, which is mandatory", opcodes[op])
		}
	}
	if !known[0xff] {
		if u, err := a.U.OpcodeUsage(ctx, initiator.ReportOpcode, 0xff, 0, false); err != nil || u.Support != 1 {
			t.Wrong("opcode FFh is not in the list, asked for alone it has SUPPORT %d (%v); must be 1", u.Support, err)
		}
	}
}

func modePages(t *T) {
	a := t.Nexus(0)
	r := a.Do(initiator.ModeSense6(0, initiator.PageAll, 0, false, 255))
	if unsupported(r) {
		t.Absent("MODE SENSE (6) is not implemented")
	}
	if !r.Good() {
		t.Fail("MODE SENSE (6) of all pages: %s", answer(r))
	}
	m, err := initiator.DecodeMode6(r.Data)
	if err != nil {
		t.Fail("%s", errText(err))
	}
	last := -1
	for _, p := range m.Pages {
		order := int(p.Page)<<8 | int(p.Subpage)
		if p.Page == 0 {
			order = 1 << 16 // the vendor specific page comes last
		}
		if order <= last {
			t.Wrong("page %02Xh is out of order", p.Page)
		}
		last = order
		one, ok := a.judged(initiator.ModeSense6(0, p.Page, p.Subpage, false, 255), good)
		if !ok || p.Page == 0 {
			continue
		}
		alone, err := initiator.DecodeMode6(one.Data)
		if err != nil {
			t.Wrong("page %02Xh alone: %s", p.Page, errText(err))
			continue
		}
		if q, found := alone.Find(p.Page, p.Subpage); !found || !bytes.Equal(q.Raw, p.Raw) {
			t.Wrong("page %02Xh alone is %x, among all it is %x", p.Page, q.Raw, p.Raw)
		}
	}
	if _, ok := m.Find(0x3e, 0); !ok {
		a.Check(initiator.ModeSense6(0, 0x3e, 0, false, 255), badCDB)
	}
}

func attentionUntouched(t *T) {
	a, b := t.Two()
	a.manage(initiator.TMFLUReset, initiator.TMFComplete)
	for _, c := range []initiator.Cmd{initiator.Inquiry(96), initiator.ReportLUNs(0, 256)} {
		r := b.once(c)
		t.record(Step{Nexus: b.Name, Did: describe(c), Got: answer(r), Want: "GOOD", Wrong: !r.Good()})
		if !r.Good() {
			t.Wrong("%s: %s: %s, must be GOOD", b.Name, describe(c), answer(r))
		}
	}
	r := b.once(initiator.TestUnitReady())
	t.record(Step{Nexus: b.Name, Did: "TEST UNIT READY", Got: answer(r), Want: "the unit attention", Wrong: !isUA(r)})
	if !isUA(r) {
		t.Wrong("%s: TEST UNIT READY: %s, must be the unit attention of the reset", b.Name, answer(r))
	}
}
