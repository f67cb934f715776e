package pdu

import (
	"errors"
	"fmt"
)

// AHSType is the type of an additional header segment, §11.2.2.1.
type AHSType uint8

// AHS types.
const (
	AHSExtendedCDB    AHSType = 1
	AHSBidiReadLength AHSType = 2
)

func (t AHSType) String() string {
	switch t {
	case AHSExtendedCDB:
		return "extended CDB"
	case AHSBidiReadLength:
		return "bidirectional read length"
	}
	return fmt.Sprintf("AHS type(%d)", uint8(t))
}

// Errors of additional header segments.
var (
	ErrAHSLength = errors.New("pdu: AHS leads outside the header")
	ErrAHSForm   = errors.New("pdu: AHS has the wrong type or length for its content")
)

// AHS is one additional header segment, §11.2.2.
type AHS struct {
	Type    AHSType // 6 bits
	Content []byte  // AHSLength bytes: what follows the type, padding excluded
}

// NextAHS cuts the first segment from b, the header segments of one PDU, and
// returns those behind it. Both alias b. Walk them like this:
//
//	for len(b) > 0 {
//		a, rest, err := NextAHS(b)
//
// Every step that does not fail consumes at least 4 bytes.
func NextAHS(b []byte) (a AHS, rest []byte, err error) {
	if len(b) < 4 {
		return AHS{}, b, ErrAHSLength
	}
	n := 3 + int(be.Uint16(b))
	if Padded(n) > len(b) {
		return AHS{}, b, ErrAHSLength
	}
	return AHS{Type: AHSType(b[2] & 0x3f), Content: b[3:n:n]}, b[Padded(n):], nil
}

// AppendAHS appends a segment of any type, zero padded. It writes what it is
// told; content beyond 65535 bytes is cut.
func AppendAHS(dst []byte, t AHSType, content []byte) []byte {
	content = content[:min(len(content), 0xffff)]
	dst = be.AppendUint16(dst, uint16(len(content)))
	dst = append(dst, byte(t)&0x3f)
	dst = append(dst, content...)
	return append(dst, zeros[:Pad(3+len(content))]...)
}

// AppendCDB appends the whole CDB, of which head is the part in the header and
// a, an extended CDB segment, holds the rest. §11.2.2.3.
func (a AHS) AppendCDB(dst []byte, head *[16]byte) ([]byte, error) {
	if a.Type != AHSExtendedCDB || len(a.Content) < 2 {
		return dst, ErrAHSForm
	}
	return append(append(dst, head[:]...), a.Content[1:]...), nil
}

// AppendExtendedCDB appends the segment that carries the bytes of cdb beyond
// the 16 in the header. A CDB of at most 16 bytes needs none; what AHSLength
// cannot express is cut.
func AppendExtendedCDB(dst, cdb []byte) []byte {
	if len(cdb) <= 16 {
		return dst
	}
	cdb = cdb[:min(len(cdb), 15+0xffff)]
	n := len(cdb) - 15 // a reserved byte and the rest
	dst = be.AppendUint16(dst, uint16(n))
	dst = append(dst, byte(AHSExtendedCDB), 0)
	dst = append(dst, cdb[16:]...)
	return append(dst, zeros[:Pad(3+n)]...)
}

// BidiReadLength returns the expected data-in length of a bidirectional
// command in bytes, §11.2.2.4.
func (a AHS) BidiReadLength() (uint32, error) {
	if a.Type != AHSBidiReadLength || len(a.Content) != 5 {
		return 0, ErrAHSForm
	}
	return be.Uint32(a.Content[1:]), nil
}

// AppendBidiReadLength appends the segment that carries the expected data-in
// length of a bidirectional command.
func AppendBidiReadLength(dst []byte, n uint32) []byte {
	return be.AppendUint32(append(dst, 0, 5, byte(AHSBidiReadLength), 0), n)
}
