package isns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Function is what a message asks for; an answer has the high bit set.
// RFC 4171 §4.1.3.
type Function uint16

// Functions.
const (
	DevAttrReg Function = 0x0001
	DevAttrQry Function = 0x0002
	DevDereg   Function = 0x0004
	ESI        Function = 0x000d
	Response   Function = 0x8000
)

// Flags of a message. RFC 4171 §5.1.4.
const (
	FlagClient  uint16 = 0x8000
	FlagServer  uint16 = 0x4000
	FlagReplace uint16 = 0x1000
	FlagLast    uint16 = 0x0800
	FlagFirst   uint16 = 0x0400
)

// Tag names an attribute. RFC 4171 §6.
type Tag uint32

// Attributes.
const (
	TagDelimiter   Tag = 0
	TagEntityID    Tag = 1
	TagProtocol    Tag = 2
	TagPeriod      Tag = 6 // seconds
	TagPortalIP    Tag = 16
	TagPortalPort  Tag = 17
	TagESIInterval Tag = 19 // seconds
	TagESIPort     Tag = 20
	TagNodeName    Tag = 32
	TagNodeType    Tag = 33
	TagNodeAlias   Tag = 34
	TagGroupNode   Tag = 48
	TagGroupIP     Tag = 49
	TagGroupPort   Tag = 50
	TagGroup       Tag = 51
	protocolISCSI      = 2
	nodeTypeTarget     = 1
)

// Attr is one attribute. Without a value it asks for one, or names a key that
// the server is to choose.
type Attr struct {
	Tag   Tag
	Value []byte
}

// Text is an attribute of a name: with its NUL, padded. RFC 4171 §5.1.5.
func Text(t Tag, s string) Attr {
	return Attr{t, append(append([]byte(s), 0), make([]byte, pad(len(s)+1))...)}
}

// Number is an attribute of 32 bits.
func Number(t Tag, n uint32) Attr { return Attr{t, binary.BigEndian.AppendUint32(nil, n)} }

// Address is an attribute of an address; IPv4 is mapped into IPv6.
func Address(t Tag, a netip.Addr) Attr {
	b := a.As16()
	return Attr{t, b[:]}
}

// Text returns the value as a name.
func (a Attr) Text() string {
	for i, c := range a.Value {
		if c == 0 {
			return string(a.Value[:i])
		}
	}
	return string(a.Value)
}

// Number returns the value as a number, 0 if it is none.
func (a Attr) Number() uint32 {
	if len(a.Value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(a.Value)
}

// Message is an iSNS message that fits into one PDU, as ours and the answers to
// them do. RFC 4171 §5.1.
type Message struct {
	Function    Function
	Flags       uint16
	Transaction uint16
	Status      Status // of answers
	Attrs       []Attr
}

const (
	headerLen = 12
	version   = 1
	// maxPayload bounds what is read; the length field has 16 bits.
	maxPayload = 1<<16 - 4
)

func pad(n int) int { return -n & 3 }

// ErrTooLong means that a message needs more than one PDU.
var ErrTooLong = errors.New("isns: the message does not fit into a PDU")

// Append appends the message to b.
func (m Message) Append(b []byte) ([]byte, error) {
	var p []byte
	if m.Function&Response != 0 {
		p = binary.BigEndian.AppendUint32(p, uint32(m.Status))
	}
	for _, a := range m.Attrs {
		p = binary.BigEndian.AppendUint32(p, uint32(a.Tag))
		p = binary.BigEndian.AppendUint32(p, uint32(len(a.Value)+pad(len(a.Value))))
		p = append(append(p, a.Value...), make([]byte, pad(len(a.Value)))...)
	}
	if len(p) > maxPayload {
		return b, ErrTooLong
	}
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, uint16(m.Function))
	b = binary.BigEndian.AppendUint16(b, uint16(len(p)))
	b = binary.BigEndian.AppendUint16(b, m.Flags|FlagFirst|FlagLast)
	b = binary.BigEndian.AppendUint16(b, m.Transaction)
	b = binary.BigEndian.AppendUint16(b, 0)
	return append(b, p...), nil
}

// PayloadLen returns how many bytes follow a header.
func PayloadLen(h [headerLen]byte) (int, error) {
	n := int(binary.BigEndian.Uint16(h[4:]))
	switch {
	case binary.BigEndian.Uint16(h[:]) != version:
		return 0, fmt.Errorf("isns: version %d", binary.BigEndian.Uint16(h[:]))
	case n%4 != 0:
		return 0, fmt.Errorf("isns: a payload of %d bytes", n)
	}
	return n, nil
}

// Parse reads a message of a header and its payload. A message that goes over
// several PDUs is refused.
func Parse(h [headerLen]byte, payload []byte) (Message, error) {
	n, err := PayloadLen(h)
	if err != nil {
		return Message{}, err
	}
	m := Message{
		Function:    Function(binary.BigEndian.Uint16(h[2:])),
		Flags:       binary.BigEndian.Uint16(h[6:]),
		Transaction: binary.BigEndian.Uint16(h[8:]),
	}
	switch {
	case n != len(payload):
		return m, errors.New("isns: a payload of another length than the header says")
	case m.Flags&(FlagFirst|FlagLast) != FlagFirst|FlagLast || binary.BigEndian.Uint16(h[10:]) != 0:
		return m, ErrTooLong
	}
	if m.Function&Response != 0 {
		if len(payload) < 4 {
			return m, errors.New("isns: an answer without a status")
		}
		m.Status = Status(binary.BigEndian.Uint32(payload))
		payload = payload[4:]
	}
	for len(payload) > 0 {
		if len(payload) < 8 {
			return m, errors.New("isns: an attribute is cut off")
		}
		tag, n := Tag(binary.BigEndian.Uint32(payload)), binary.BigEndian.Uint32(payload[4:])
		payload = payload[8:]
		if n%4 != 0 || uint64(n) > uint64(len(payload)) {
			return m, fmt.Errorf("isns: attribute %d has a length of %d", tag, n)
		}
		a := Attr{Tag: tag}
		if n > 0 {
			a.Value = append([]byte(nil), payload[:n]...)
		}
		m.Attrs = append(m.Attrs, a)
		payload = payload[n:]
	}
	return m, nil
}

// Get returns the first attribute with a tag.
func (m Message) Get(t Tag) (Attr, bool) {
	for _, a := range m.Attrs {
		if a.Tag == t {
			return a, true
		}
	}
	return Attr{}, false
}

// Status is the first word of an answer. RFC 4171 §5.4.
type Status uint32

var statusNames = map[Status]string{
	1: "unknown error", 2: "message format error", 3: "invalid registration", 5: "invalid query",
	6: "source unknown", 7: "source absent", 8: "source unauthorized", 9: "no such entry",
	10: "version not supported", 11: "internal error", 12: "busy", 13: "option not understood",
	14: "invalid update", 15: "message not supported", 21: "ESI not available", 22: "invalid deregistration",
}

// Error says what the server did not like.
func (s Status) Error() string {
	if n, ok := statusNames[s]; ok {
		return "isns: the server says: " + n
	}
	return fmt.Sprintf("isns: the server says: status %d", uint32(s))
}
