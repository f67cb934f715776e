package importer

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// What initiators know a disk by: how the other targets put it together.

// lioCompany is the IEEE company id that LIO uses unless told otherwise.
const lioCompany = 0x001405

// lioNAA is LIO's NAA identifier: type 6, the company id, and the first 25
// hexadecimal digits of the unit serial; dashes and other characters do not
// count, missing digits are zero. (Linux, drivers/target/target_core_spc.c.)
func lioNAA(serial string) string {
	id := fmt.Sprintf("6%06x", lioCompany)
	for _, c := range []byte(serial) {
		if len(id) == 32 {
			break
		}
		if isHex(c) {
			id += string(c)
		}
	}
	for len(id) < 32 {
		id += "0"
	}
	return strings.ToLower(id)
}

// inquiry is what a disk says of itself, in fields of 8, 16 and 4 characters.
type inquiry struct{ vendor, product, revision string }

func (i inquiry) of(l *lun) {
	field := func(s string, n int) quoted { return quoted(strings.TrimSpace(s[:min(len(s), n)])) }
	l.Vendor, l.Product, l.Revision = field(i.vendor, 8), field(i.product, 16), field(i.revision, 4)
}

// lioInquiry is what LIO says of a storage object: its own name as the product
// if emulate_model_alias is set, as targetcli does, and the kind otherwise.
// (Linux, drivers/target/target_core_configfs.c.)
func lioInquiry(plugin, name string, alias bool) inquiry {
	i := inquiry{"LIO-ORG", map[string]string{"fileio": "FILEIO", "block": "IBLOCK", "ramdisk": "RAMDISK-MCP"}[plugin], "4.0"}
	if alias {
		i.product = name[:min(len(name), 15)]
	}
	return i
}

// What tgt and gotgt say of every disk. (tgt, usr/spc.c; gotgt, pkg/scsi.)
var (
	tgtInquiry   = inquiry{"IET", "VIRTUAL-DISK", "0001"}
	gotgtInquiry = inquiry{"GOSTOR", "GOTGT", "0.1"}
)

// tgtSCSIID is tgt's T10 designator where targets.conf names none.
// (tgt, usr/spc.c.)
func tgtSCSIID(tid int, lun uint16) string { return fmt.Sprintf("IET     %04x%04x", tid, lun) }

// tgtSerial is tgt's serial number where targets.conf names none.
func tgtSerial(tid int, lun uint16) string { return fmt.Sprintf("beaf%d%d", tid, lun) }

// tgtNAA is tgt's second NAA identifier, of type 6, which Linux names disks by:
// the characters of the SCSI id read as hexadecimal digits, others as zero, the
// last 32 of them right-aligned, and the type over the first.
func tgtNAA(scsiID string) string {
	id := make([]byte, 32)
	for i := range id {
		id[i] = '0'
	}
	for _, c := range []byte(scsiID) {
		if !isHex(c) {
			c = '0'
		}
		id = append(id[1:], c)
	}
	id[0] = '6'
	return strings.ToLower(string(id))
}

// tgtLocalNAA is tgt's first NAA identifier, of type 3: target id and LUN.
func tgtLocalNAA(tid int, lun uint16) string {
	return hex8(uint64(tid)<<32 | uint64(lun) | 3<<60)
}

// gotgtNAA is gotgt's NAA identifier: type 3 over the device id.
// (gotgt, pkg/scsi/spc.go.)
func gotgtNAA(device uint64) string { return hex8(device | 3<<60) }

// gotgtSerial is gotgt's serial number, without the blanks behind it.
func gotgtSerial(device uint64) string { return fmt.Sprintf("gotgt-%d", device) }

func hex8(v uint64) string { return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, v)) }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
