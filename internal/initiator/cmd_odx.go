package initiator

import (
	"context"
	"encoding/binary"
)

// ROD token sizes and types. SBC-4 r22 4.28.
const (
	TokenLength                    = 512
	RODTypeDefault          uint32 = 0x00800000 // point in time copy
	RODTypeChangeVulnerable uint32 = 0x00800001
	RODTypeZero             uint32 = 0xffff0001
	saPopulateToken                = 0x10
	saWriteUsingToken              = 0x11
)

// ZeroToken is the well-known token of a block device zero ROD.
func ZeroToken() []byte {
	t := make([]byte, TokenLength)
	binary.BigEndian.PutUint32(t, RODTypeZero)
	binary.BigEndian.PutUint16(t[6:], 0x01f8)
	return t
}

// PopulateToken is the parameter list of POPULATE TOKEN. SBC-4 r22 5.12.
type PopulateToken struct {
	Immed             bool
	RODType           uint32 // 0: the target's choice (RTV=0)
	InactivityTimeout uint32 // seconds; 0: default
	Extents           []Extent
}

// Marshal encodes the list.
func (p PopulateToken) Marshal() []byte {
	b := make([]byte, 16, 16+16*len(p.Extents))
	b[2] = bit(p.RODType != 0, 1) | bit(p.Immed, 0)
	binary.BigEndian.PutUint32(b[4:], p.InactivityTimeout)
	binary.BigEndian.PutUint32(b[8:], p.RODType)
	return appendRanges(b, 14, p.Extents)
}

// appendRanges puts the block device ranges behind b and fills in their length
// at off and the data length at 0.
func appendRanges(b []byte, off int, extents []Extent) []byte {
	binary.BigEndian.PutUint16(b[off:], uint16(16*len(extents)))
	for _, e := range extents {
		b = binary.BigEndian.AppendUint64(b, e.LBA)
		b = binary.BigEndian.AppendUint32(b, e.Blocks)
		b = append(b, 0, 0, 0, 0)
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return b
}

// Cmd builds POPULATE TOKEN.
func (p PopulateToken) Cmd(listID uint32) Cmd {
	return dataOut(p.Marshal(), tokenCDB(0x83, saPopulateToken, listID, p.Marshal()))
}

// TokenCommand sends a list of the caller's making: sa 10h or 11h.
func TokenCommand(sa uint8, listID uint32, list []byte) Cmd {
	return dataOut(list, tokenCDB(0x83, sa, listID, list))
}

func tokenCDB(op, sa byte, listID uint32, list []byte) []byte {
	c := make([]byte, 16)
	c[0], c[1] = op, sa
	binary.BigEndian.PutUint32(c[6:], listID)
	binary.BigEndian.PutUint32(c[10:], uint32(len(list)))
	return c
}

// WriteUsingToken is the parameter list of WRITE USING TOKEN. SBC-4 r22 5.59.
type WriteUsingToken struct {
	Immed, DeleteToken bool
	Offset             uint64 // blocks into the ROD
	Token              []byte
	Extents            []Extent
}

// Marshal encodes the list.
func (w WriteUsingToken) Marshal() []byte {
	b := make([]byte, 536, 536+16*len(w.Extents))
	b[2] = bit(w.DeleteToken, 1) | bit(w.Immed, 0)
	binary.BigEndian.PutUint64(b[8:], w.Offset)
	copy(b[16:528], w.Token)
	return appendRanges(b, 534, w.Extents)
}

// Cmd builds WRITE USING TOKEN.
func (w WriteUsingToken) Cmd(listID uint32) Cmd {
	return TokenCommand(saWriteUsingToken, listID, w.Marshal())
}

// ReceiveTokenInfo is RECEIVE ROD TOKEN INFORMATION. SBC-4 r22 5.25.
func ReceiveTokenInfo(listID, alloc uint32) Cmd {
	c := make([]byte, 16)
	c[0], c[1] = 0x84, 0x07
	binary.BigEndian.PutUint32(c[2:], listID)
	binary.BigEndian.PutUint32(c[10:], alloc)
	return dataIn(int(alloc), c)
}

// TokenInfo is the answer of RECEIVE ROD TOKEN INFORMATION.
type TokenInfo struct {
	ServiceAction    uint8 // of the command reported on
	Status           uint8 // 1 done, 2 failed, 3 done with residual, 11h/12h running, 60h terminated
	Counter          uint16
	Delay            uint32 // milliseconds
	CompletionStatus Status
	Sense            []byte
	Units            uint8
	TransferCount    uint64
	Segments         uint16
	Token            []byte // POPULATE TOKEN that succeeded
}

// TokenInfo runs RECEIVE ROD TOKEN INFORMATION.
func (u *Unit) TokenInfo(ctx context.Context, listID uint32) (TokenInfo, error) {
	r, err := u.Run(ctx, ReceiveTokenInfo(listID, 2048))
	if err != nil {
		return TokenInfo{}, err
	}
	return DecodeTokenInfo(r.Data)
}

// DecodeTokenInfo decodes data that is not truncated.
func DecodeTokenInfo(b []byte) (TokenInfo, error) {
	c := walk("RECEIVE ROD TOKEN INFORMATION", b)
	c = c.sub(int(c.u32()))
	t := TokenInfo{ServiceAction: c.u8() & 0x1f, Status: c.u8() & 0x7f, Counter: c.u16(), Delay: c.u32()}
	t.CompletionStatus = Status(c.u8())
	field, n := int(c.u8()), int(c.u8())
	t.Units, t.TransferCount, t.Segments = c.u8(), c.u64(), c.u16()
	c.skip(6)
	sense := c.take(field)
	if n > field {
		c.fail("sense of %d bytes in a field of %d", n, field)
	} else if c.err == nil {
		t.Sense = sense[:n]
	}
	switch n := int(c.u32()); n {
	case 0:
	case 2 + TokenLength:
		c.skip(2)
		t.Token = c.take(TokenLength)
	default:
		c.fail("ROD TOKEN DESCRIPTORS LENGTH %d", n)
	}
	return t, c.err
}
