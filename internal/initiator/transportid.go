package initiator

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// TransportID names an initiator port (or, without ISID, all ports of a node)
// of iSCSI. SPC-4 r36f 7.6.4.6.
type TransportID struct {
	Name    string
	ISID    [6]byte
	HasISID bool
	// Raw, when set, is encoded as it is.
	Raw []byte
}

// PortID returns the TransportID of this session's initiator port.
func (s *Session) PortID() TransportID {
	return TransportID{Name: s.cfg.InitiatorName, ISID: s.cfg.ISID, HasISID: true}
}

const isidSeparator = ",i,0x"

// Marshal encodes format 01b with an ISID and 00b without.
func (t TransportID) Marshal() []byte {
	if t.Raw != nil {
		return t.Raw
	}
	b := []byte{0x05, 0, 0, 0}
	b = append(b, t.Name...)
	if t.HasISID {
		b[0] = 0x45
		b = append(b, isidSeparator...)
		b = append(b, hex.EncodeToString(t.ISID[:])...)
	}
	b = append(b, 0)
	b = append(b, zeroPad[:pad4(len(b))]...)
	for len(b) < 24 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return b
}

// DecodeTransportID decodes one TransportID that fills b, strictly.
func DecodeTransportID(b []byte) (TransportID, error) {
	t := TransportID{Raw: b}
	bad := func(format string, args ...any) (TransportID, error) {
		return t, fmt.Errorf("TransportID %x: %s", b, fmt.Sprintf(format, args...))
	}
	if len(b) < 24 || len(b)%4 != 0 {
		return bad("%d bytes", len(b))
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n != len(b)-4 {
		return bad("ADDITIONAL LENGTH %d", n)
	}
	if b[0]&0x3f != 0x05 || b[1] != 0 {
		return bad("not iSCSI")
	}
	text, pad, ok := strings.Cut(string(b[4:]), "\x00")
	if !ok || strings.Trim(pad, "\x00") != "" {
		return bad("text does not end with NUL padding")
	}
	switch b[0] >> 6 {
	case 0:
		t.Name = text
	case 1:
		name, id, ok := strings.Cut(text, isidSeparator)
		if !ok {
			return bad("no %q", isidSeparator)
		}
		raw, err := hex.DecodeString(strings.Repeat("0", max(0, 12-len(id))) + id)
		if err != nil || len(raw) != 6 {
			return bad("ISID %q", id)
		}
		t.Name, t.ISID, t.HasISID = name, [6]byte(raw), true
	default:
		return bad("format %d", b[0]>>6)
	}
	return t, nil
}

func (t TransportID) String() string {
	if t.HasISID {
		return t.Name + isidSeparator + hex.EncodeToString(t.ISID[:])
	}
	return t.Name
}
