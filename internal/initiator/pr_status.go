package initiator

import "context"

// maxPRData is more than any registration list the tests make: the field has 16 bits.
const maxPRData = 65535

// PRKeys is the answer of READ KEYS. SPC-4 r36f 6.15.2.
type PRKeys struct {
	Generation uint32
	Keys       []uint64
}

// ReadKeys runs READ KEYS.
func (u *Unit) ReadKeys(ctx context.Context) (PRKeys, error) {
	r, err := u.Run(ctx, PRIn(PRReadKeys, maxPRData))
	if err != nil {
		return PRKeys{}, err
	}
	c := walk("READ KEYS", r.Data)
	k := PRKeys{Generation: c.u32()}
	n := int(c.u32())
	if n%8 != 0 {
		c.fail("ADDITIONAL LENGTH %d", n)
	}
	for c = c.sub(n); c.left() > 0; {
		k.Keys = append(k.Keys, c.u64())
	}
	return k, c.err
}

// PRReservation is the answer of READ RESERVATION. SPC-4 r36f 6.15.3.
type PRReservation struct {
	Generation uint32
	Held       bool
	Key        uint64 // 0 for the all-registrants types
	Scope      uint8
	Type       PRType
}

// ReadReservation runs READ RESERVATION.
func (u *Unit) ReadReservation(ctx context.Context) (PRReservation, error) {
	r, err := u.Run(ctx, PRIn(PRReadReservation, 256))
	if err != nil {
		return PRReservation{}, err
	}
	c := walk("READ RESERVATION", r.Data)
	p := PRReservation{Generation: c.u32()}
	switch n := c.u32(); n {
	case 0:
		return p, c.err
	case 16:
		p.Held, p.Key = true, c.u64()
		c.skip(5)
		st := c.u8()
		p.Scope, p.Type = st>>4, PRType(st&0x0f)
		c.skip(2)
	default:
		c.fail("ADDITIONAL LENGTH %d", n)
	}
	return p, c.err
}

// PRCapabilities is the answer of REPORT CAPABILITIES. SPC-4 r36f 6.15.4.
type PRCapabilities struct {
	ReplaceLost       bool // RLR_C
	CompatibleReserve bool // CRH
	SpecIPT           bool // SIP_C
	AllPorts          bool // ATP_C
	PersistCapable    bool // PTPL_C
	PersistActive     bool // PTPL_A
	TypeMaskValid     bool // TMV
	AllowCommands     uint8
	TypeMask          uint16 // bytes 4-5
}

// prTypeBits places each type in the mask: bits of byte 4, then of byte 5.
var prTypeBits = map[PRType]uint16{
	WriteExclusiveAllRegistrants: 0x8000, ExclusiveAccessRegistrants: 0x4000,
	WriteExclusiveRegistrantsOnly: 0x2000, ExclusiveAccess: 0x0800, WriteExclusive: 0x0200,
	ExclusiveAccessAllRegistrants: 0x0001,
}

// Supports reports whether the type mask claims a type.
func (p PRCapabilities) Supports(t PRType) bool { return p.TypeMask&prTypeBits[t] != 0 }

// PRCapabilities runs REPORT CAPABILITIES.
func (u *Unit) PRCapabilities(ctx context.Context) (PRCapabilities, error) {
	r, err := u.Run(ctx, PRIn(PRReportCapabilities, 8))
	if err != nil {
		return PRCapabilities{}, err
	}
	c := walk("REPORT CAPABILITIES", r.Data)
	if n := c.u16(); n != 8 {
		c.fail("LENGTH %d", n)
	}
	f, g := c.u8(), c.u8()
	p := PRCapabilities{
		ReplaceLost: f&0x80 != 0, CompatibleReserve: f&0x10 != 0, SpecIPT: f&0x08 != 0,
		AllPorts: f&0x04 != 0, PersistCapable: f&0x01 != 0,
		TypeMaskValid: g&0x80 != 0, AllowCommands: g >> 4 & 7, PersistActive: g&1 != 0,
		TypeMask: c.u16(),
	}
	if p.TypeMask&^0xea01 != 0 {
		c.fail("reserved bits in the type mask %04x", p.TypeMask)
	}
	c.skip(2)
	return p, c.err
}

// PRRegistrant is one descriptor of READ FULL STATUS. SPC-4 r36f 6.15.5.
type PRRegistrant struct {
	Key          uint64
	AllPorts     bool
	Holder       bool
	Scope        uint8 // valid for a holder
	Type         PRType
	RelativePort uint16 // valid unless AllPorts
	Initiator    TransportID
}

// PRFullStatus is the answer of READ FULL STATUS.
type PRFullStatus struct {
	Generation  uint32
	Registrants []PRRegistrant
}

// ReadFullStatus runs READ FULL STATUS.
func (u *Unit) ReadFullStatus(ctx context.Context) (PRFullStatus, error) {
	r, err := u.Run(ctx, PRIn(PRReadFullStatus, maxPRData))
	if err != nil {
		return PRFullStatus{}, err
	}
	return DecodeFullStatus(r.Data)
}

// DecodeFullStatus decodes data that is not truncated.
func DecodeFullStatus(b []byte) (PRFullStatus, error) {
	c := walk("READ FULL STATUS", b)
	s := PRFullStatus{Generation: c.u32()}
	for c = c.sub(int(c.u32())); c.left() > 0; {
		d := PRRegistrant{Key: c.u64()}
		c.skip(4)
		f, st := c.u8(), c.u8()
		d.AllPorts, d.Holder, d.Scope, d.Type = f&2 != 0, f&1 != 0, st>>4, PRType(st&0x0f)
		c.skip(4)
		d.RelativePort = c.u16()
		id := c.take(int(c.u32()))
		if c.err != nil {
			break
		}
		var err error
		if d.Initiator, err = DecodeTransportID(id); err != nil {
			c.fail("%v", err)
		}
		s.Registrants = append(s.Registrants, d)
	}
	return s, c.err
}
