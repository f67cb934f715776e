package scsi

import "encoding/binary"

// VPD pages about the device: 86h, 87h and 88h.
func init() {
	registerVPD(vpdPage{Code: 0x86, Name: "Extended INQUIRY Data", Append: appendExtended})
	registerVPD(vpdPage{Code: 0x87, Name: "Mode Page Policy", Append: func(b []byte, _ *Task) []byte {
		return append(b, allModePages, allSubpages, 0, 0) // shared by all nexuses
	}})
	registerVPD(vpdPage{Code: 0x88, Name: "SCSI Ports", Append: appendPorts})
}

// appendExtended is SPC-4 r36f 7.8.7.
func appendExtended(b []byte, _ *Task) []byte {
	const (
		headSup, ordSup, simpSup = 0x04, 0x02, 0x01
		volatileCache            = 0x01 // V_SUP: there can be a write cache
		luiClear                 = 0x01 // REPORT LUNS clears its unit attention at every unit
	)
	p := make([]byte, 0x3c)
	p[5-4] = headSup | ordSup | simpSup
	p[6-4] = volatileCache
	p[7-4] = luiClear
	p[13-4] = MaxSense
	return append(b, p...)
}

// appendPorts lists the ports of this target device. SPC-4 r36f 7.8.14.
func appendPorts(b []byte, t *Task) []byte {
	for _, p := range t.itl.it.dev.Ports() {
		name := appendDesignator(nil, protocolISCSI, codeUTF8, ofPort, idName, nameString(p.Name))
		b = append(b, 0, 0, byte(p.Relative>>8), byte(p.Relative), 0, 0, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
	}
	return b
}
