package scsi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"nas-target/internal/pr"
)

// iSCSI TransportIDs. SPC-4 r36f 7.6.4.6.

const (
	minTransportID = 24
	maxNodeName    = 223
	isidMark       = ",i,0x" // separates node name and ISID in format 01b
)

// parseTransportID reads the TransportID at the start of b, which lies at
// offset in the parameter list. It returns the number of bytes it takes, or 0
// if the list ends inside it.
func parseTransportID(b []byte, offset int) (id pr.TransportID, n int) {
	id.Offset = uint16(min(offset, 0xffff))
	if len(b) < 4 {
		return id, 0
	}
	n = 4 + int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return id, 0
	}
	id.Malformed = true
	if n < minTransportID || n%4 != 0 || b[0]&0x3f != 0x05 {
		return id, n
	}
	text, _, terminated := bytes.Cut(b[4:n], []byte{0})
	if !terminated {
		return id, n
	}
	name := strings.ToLower(string(text))
	switch b[0] >> 6 {
	case 0:
	case 1:
		node, digits, ok := strings.Cut(name, isidMark)
		if !ok || len(digits) == 0 || len(digits) > 12 {
			return id, n
		}
		// Leading zeros may be missing: some initiators print the ISID as a number.
		isid, err := hex.DecodeString(strings.Repeat("0", 12-len(digits)) + digits)
		if err != nil {
			return id, n
		}
		name = node
		id.Port = true
		copy(id.ISID[:], isid)
	default:
		return id, n
	}
	if !validNodeName(name) {
		return id, n
	}
	id.Node, id.Malformed = name, false
	return id, n
}

// validNodeName looks at the form of an iSCSI name only: RFC 7143 §4.2.7.
func validNodeName(s string) bool {
	if len(s) > maxNodeName || !strings.HasPrefix(s, "iqn.") && !strings.HasPrefix(s, "eui.") && !strings.HasPrefix(s, "naa.") {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c == ',' || c == 0x7f {
			return false
		}
	}
	return len(s) > len("iqn.")
}

// appendTransportID appends the format 01b TransportID of an initiator port
// name.
func appendTransportID(b []byte, port string) []byte {
	n := (len(port) + 1 + 3) &^ 3
	n = max(n, minTransportID-4)
	b = append(b, 0x45, 0, byte(n>>8), byte(n))
	b = append(b, port...)
	return append(b, make([]byte, n-len(port))...)
}
