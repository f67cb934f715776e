package initiator

import (
	"context"
	"encoding/binary"
)

// ReadCapacity10 is READ CAPACITY (10).
func ReadCapacity10() Cmd { return dataIn(8, make10(0x25)) }

func make10(op byte) []byte {
	c := make([]byte, 10)
	c[0] = op
	return c
}

// ReadCapacity16 is READ CAPACITY (16).
func ReadCapacity16(alloc uint32) Cmd {
	return dataIn(int(alloc), cdb16(0x9e, 0x10, 0, alloc))
}

// Capacity is what READ CAPACITY tells. SBC-4 r22 5.16, 5.17.
type Capacity struct {
	Blocks           uint64 // count, not last LBA
	BlockSize        uint32 // bytes
	ProtectionType   uint8
	ProtectionOn     bool
	PhysicalExponent uint8 // log2 of logical blocks per physical block
	LBPME, LBPRZ     bool  // provisioning enabled; unmapped blocks read zeros
	LowestAligned    uint16
}

// ReadCapacity10 runs READ CAPACITY (10). Blocks is 1<<32 when the unit is larger.
func (u *Unit) ReadCapacity10(ctx context.Context) (Capacity, error) {
	r, err := u.Run(ctx, ReadCapacity10())
	if err != nil {
		return Capacity{}, err
	}
	c := walk("READ CAPACITY (10)", r.Data)
	return Capacity{Blocks: uint64(c.u32()) + 1, BlockSize: c.u32()}, c.err
}

// ReadCapacity16 runs READ CAPACITY (16).
func (u *Unit) ReadCapacity16(ctx context.Context) (Capacity, error) {
	r, err := u.Run(ctx, ReadCapacity16(32))
	if err != nil {
		return Capacity{}, err
	}
	c := walk("READ CAPACITY (16)", r.Data)
	cap := Capacity{Blocks: c.u64() + 1, BlockSize: c.u32()}
	p, e, l := c.u8(), c.u8(), c.u16()
	cap.ProtectionType, cap.ProtectionOn = p>>1&7, p&1 != 0
	cap.PhysicalExponent = e & 0x0f
	cap.LBPME, cap.LBPRZ, cap.LowestAligned = l&0x8000 != 0, l&0x4000 != 0, l&0x3fff
	c.skip(16)
	return cap, c.err
}

// ReportLUNs is REPORT LUNS. SPC-4 r36f 6.33.
func ReportLUNs(selectReport uint8, alloc uint32) Cmd {
	c := make([]byte, 12)
	c[0], c[2] = 0xa0, selectReport
	binary.BigEndian.PutUint32(c[6:], alloc)
	return dataIn(int(alloc), c)
}

// ReportLUNs asks LUN 0 for all logical units.
func (s *Session) ReportLUNs(ctx context.Context) ([]LUN, error) {
	r, err := s.Unit(0).Run(ctx, ReportLUNs(0, 16384))
	if err != nil {
		return nil, err
	}
	return DecodeLUNs(r.Data)
}

// DecodeLUNs decodes REPORT LUNS data; a truncated list is an error.
func DecodeLUNs(b []byte) ([]LUN, error) {
	c := walk("REPORT LUNS", b)
	n := int(c.u32())
	c.skip(4)
	if n%8 != 0 {
		c.fail("LUN LIST LENGTH %d", n)
	}
	var list []LUN
	for i := 0; i < n/8 && c.err == nil; i++ {
		list = append(list, LUN(c.u64()))
	}
	return list, c.err
}
