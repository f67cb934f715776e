package decode

import (
	"encoding/binary"
	"fmt"

	"nas-target/internal/initiator"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// rows are the commands by opcode, and by service action where they have one.
var rows = func() map[[2]uint16]*scsi.Command {
	m := map[[2]uint16]*scsi.Command{}
	for _, c := range scsi.Commands() {
		m[[2]uint16{uint16(c.Op), c.SA}] = c
	}
	return m
}()

// withActions are the opcodes whose service action stands in byte 1.
var withActions = func() map[byte]bool {
	m := map[byte]bool{}
	for _, c := range scsi.Commands() {
		m[c.Op] = m[c.Op] || c.HasSA
	}
	return m
}()

func rowOf(cdb *[16]byte) *scsi.Command {
	sa := uint16(0)
	if withActions[cdb[0]] {
		sa = uint16(cdb[1] & 0x1f)
	}
	return rows[[2]uint16{uint16(cdb[0]), sa}]
}

// command names a CDB and the fields in it.
func (r *Record) command(cdb []byte) {
	head := [16]byte(cdb)
	c := rowOf(&head)
	length := lengthOf(cdb)
	r.CDB = fmt.Sprintf("%x", cdb[:length])
	if c == nil {
		r.Command = fmt.Sprintf("SCSI opcode %02xh", cdb[0])
		if withActions[cdb[0]] {
			r.Command += fmt.Sprintf(", service action %02xh", cdb[1]&0x1f)
		}
		return
	}
	r.Command = c.Name
	if c.LBA.Len > 0 {
		lba := c.LBA.In(&head)
		if c.LBA.At == 1 { // 21 bits. SBC-4 r22 5.11
			lba &= 1<<21 - 1
		}
		r.CDBFields = append(r.CDBFields, field("LBA", "%d", lba))
	}
	if c.Blocks.Len > 0 {
		r.CDBFields = append(r.CDBFields, field("blocks", "%d", c.Blocks.In(&head)))
	}
	if c.Length.Len > 0 {
		name := "allocation"
		if c.Dir == scsi.DataOut {
			name = "list"
		}
		r.CDBFields = append(r.CDBFields, field(name, "%d bytes", c.Length.In(&head)))
	}
	r.CDBFields = append(r.CDBFields, details(cdb)...)
}

// lengthOf is the length of a CDB by its group. SPC-4 r36f 4.2.5.1.
func lengthOf(cdb []byte) int {
	switch cdb[0] >> 5 {
	case 0:
		return 6
	case 1, 2:
		return 10
	case 5:
		return 12
	case 3: // variable length: what came
		return len(cdb)
	}
	return 16
}

// Bits of byte 1. SBC-4 r22 5.11, 5.40, 5.45.
var bits = map[byte][]struct {
	mask byte
	name string
}{
	0x28: dpoFUA, 0x2a: dpoFUA, 0x88: dpoFUA, 0x8a: dpoFUA, 0x89: dpoFUA, 0xa8: dpoFUA, 0xaa: dpoFUA, 0x8b: dpoFUA, 0x9c: dpoFUA,
	0x41: writeSame, 0x93: writeSame,
	0x35: {{0x02, "IMMED"}}, 0x91: {{0x02, "IMMED"}}, 0x42: {{0x01, "ANCHOR"}},
	0x2e: {{0x10, "DPO"}, {0x02, "BYTCHK"}}, 0x8e: {{0x10, "DPO"}, {0x02, "BYTCHK"}}, 0x2f: {{0x10, "DPO"}, {0x02, "BYTCHK"}}, 0x8f: {{0x10, "DPO"}, {0x02, "BYTCHK"}},
	0x1b: {{0x01, "IMMED"}},
}

type bitNames = []struct {
	mask byte
	name string
}

var (
	dpoFUA    = bitNames{{0x10, "DPO"}, {0x08, "FUA"}}
	writeSame = bitNames{{0x10, "ANCHOR"}, {0x08, "UNMAP"}, {0x01, "NDOB"}}
)

// details are the fields that only some commands have.
func details(cdb []byte) []Field {
	var all []Field
	for _, b := range bits[cdb[0]] {
		if cdb[1]&b.mask != 0 {
			all = append(all, Field{b.name, "1"})
		}
	}
	switch cdb[0] {
	case 0x12: // INQUIRY
		if cdb[1]&1 != 0 {
			all = append(all, field("VPD page", "%02xh", cdb[2]))
		}
	case 0x1a, 0x5a: // MODE SENSE
		all = append(all, field("page", "%02xh", cdb[2]&0x3f), field("subpage", "%02xh", cdb[3]), field("control", "%d", cdb[2]>>6))
	case 0x15, 0x55: // MODE SELECT
		all = append(all, field("SP", "%d", cdb[1]&1))
	case 0x4d: // LOG SENSE
		all = append(all, field("page", "%02xh", cdb[2]&0x3f))
	case 0x1b: // START STOP UNIT
		all = append(all, field("START", "%d", cdb[4]&1), field("LOEJ", "%d", cdb[4]>>1&1))
	case 0x5f: // PERSISTENT RESERVE OUT; the first one has no type
		if sa := cdb[1] & 0x1f; sa != byte(pr.Register) && sa != byte(pr.RegisterAndIgnore) && sa != byte(pr.Clear) && sa != byte(pr.RegisterAndMove) {
			all = append(all, field("scope", "%d", cdb[2]>>4), field("type", "%v", pr.Type(cdb[2]&0x0f)))
		}
	case 0xa0: // REPORT LUNS
		all = append(all, field("select", "%02xh", cdb[2]))
	}
	return all
}

// sense puts the data segment of a status into words. RFC 7143 §11.4.7.
func (r *Record) sense(data []byte) {
	raw, _, err := pdu.SplitSense(data)
	if err != nil {
		r.complain("%v", err)
		return
	}
	if len(raw) == 0 {
		return
	}
	s, err := initiator.ParseSense(raw)
	if err != nil {
		r.complain("sense data: %v", err)
	}
	r.Sense = field("", "%s: %s", s, s.ASC.Words()).Value
}

// be is the byte order of SCSI.
var be = binary.BigEndian
