package scsi

import (
	"encoding/binary"
	"encoding/hex"
)

// VPD pages that say who the unit is: 80h and 83h. Designators of the unit are
// the same on every path; those of ports tell the paths apart.
func init() {
	registerVPD(vpdPage{Code: 0x80, Name: "Unit Serial Number", Append: func(b []byte, t *Task) []byte {
		return padded(b, t.unit.id.Serial, len(t.unit.id.Serial))
	}})
	registerVPD(vpdPage{Code: 0x83, Name: "Device Identification", Append: appendDeviceID})
}

// Designator header fields. SPC-4 r36f 7.8.6.1.
const (
	codeBinary, codeASCII, codeUTF8           = 1, 2, 3
	ofUnit, ofPort, ofDevice                  = 0, 1, 2
	idT10, idNAA, idRelative, idGroup, idName = 1, 3, 4, 5, 8
	protocolISCSI                             = 5
	designatorPIV                             = 0x80
	vendorLen, productLen, revisionLen        = 8, 16, 4
	naaLocallyAssigned                        = 3
)

// appendDeviceID lists the unit's names first, NAA at the very front because
// Windows and ESXi take the first that they understand, then the names of the
// port the command came through, then the device's.
func appendDeviceID(b []byte, t *Task) []byte {
	b = appendUnitDesignators(b, &t.unit.id)
	p := t.itl.it.port
	b = appendDesignator(b, protocolISCSI, codeBinary, ofPort, idRelative, []byte{0, 0, byte(p.Relative >> 8), byte(p.Relative)})
	b = appendDesignator(b, protocolISCSI, codeBinary, ofPort, idGroup, []byte{0, 0, byte(p.Group >> 8), byte(p.Group)})
	b = appendDesignator(b, protocolISCSI, codeUTF8, ofPort, idName, nameString(p.Name))
	return appendDesignator(b, protocolISCSI, codeUTF8, ofDevice, idName, nameString(t.itl.it.dev.name))
}

// appendUnitDesignators appends the names of the logical unit alone: page 83h
// begins with them, and a copy command addresses the unit by them.
func appendUnitDesignators(b []byte, id *Identity) []byte {
	b = appendDesignator(b, 0, codeBinary, ofUnit, idNAA, id.NAA)
	// Some initiators look at the first eight bytes behind the vendor only:
	// the serial number, which is unique, begins there.
	return appendDesignator(b, 0, codeASCII, ofUnit, idT10, append(padded(nil, id.Vendor, vendorLen), id.Serial...))
}

func appendDesignator(b []byte, protocol, codeSet, association, kind uint8, id []byte) []byte {
	kind |= association << 4
	if association != ofUnit {
		kind |= designatorPIV
	}
	b = append(b, protocol<<4|codeSet, kind, 0, byte(len(id)))
	return append(b, id...)
}

// nameString is a SCSI name string: UTF-8, NUL-terminated, padded with NULs to
// a multiple of four. SPC-4 r36f 7.8.6.11.
func nameString(s string) []byte {
	b := append([]byte(s), 0)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// complete fills what the operator left open from the UUID, so that it never
// depends on order, path or host.
func (id *Identity) complete() {
	h := hex.EncodeToString(id.UUID[:])
	if len(id.NAA) == 0 {
		// Locally assigned, because no OUI is owned. Both halves go in, so that
		// the constant bits of a UUID take nothing away.
		v := binary.BigEndian.Uint64(id.UUID[:8]) ^ binary.BigEndian.Uint64(id.UUID[8:])
		id.NAA = binary.BigEndian.AppendUint64(nil, v&(1<<60-1)|naaLocallyAssigned<<60)
	}
	if id.Serial == "" {
		id.Serial = h
	}
	if id.Vendor == "" {
		id.Vendor = "NAS-TGT"
	}
	if id.Product == "" {
		id.Product = h[:8] + " disk" // ESXi compares eight bytes
	}
	if id.Revision == "" {
		id.Revision = "1"
	}
}
