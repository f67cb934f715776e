package initiator

import (
	"context"
	"encoding/binary"
)

// Extent is a range of blocks.
type Extent struct {
	LBA    uint64
	Blocks uint32
}

// UnmapList is the parameter list of UNMAP. SBC-4 r22 5.35.
func UnmapList(extents ...Extent) []byte {
	b := make([]byte, 8+16*len(extents))
	binary.BigEndian.PutUint16(b[0:], uint16(len(b)-2))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-8))
	for i, e := range extents {
		d := b[8+16*i:]
		binary.BigEndian.PutUint64(d, e.LBA)
		binary.BigEndian.PutUint32(d[8:], e.Blocks)
	}
	return b
}

// Unmap deallocates ranges.
func Unmap(extents ...Extent) Cmd { return UnmapRaw(UnmapList(extents...), false) }

// UnmapRaw sends a parameter list of the caller's making.
func UnmapRaw(list []byte, anchor bool) Cmd {
	c := make([]byte, 10)
	c[0], c[1] = 0x42, bit(anchor, 0)
	binary.BigEndian.PutUint16(c[7:], uint16(len(list)))
	return dataOut(list, c)
}

// WriteSameOptions are the bits of byte 1. SBC-4 r22 5.52, 5.53.
type WriteSameOptions struct {
	Unmap, Anchor bool
	NDOB          bool // WRITE SAME (16) only: no data, zeros
	Protect       uint8
}

func (o WriteSameOptions) flags() byte {
	return o.Protect<<5 | bit(o.Anchor, 4) | bit(o.Unmap, 3) | bit(o.NDOB, 0)
}

// WriteSame10 writes one block to a range; 0 blocks reach to the end.
func WriteSame10(lba uint32, blocks uint16, block []byte, o WriteSameOptions) Cmd {
	return dataOut(block, cdb10(0x41, o.flags(), lba, blocks))
}

// WriteSame16 writes one block to a range; 0 blocks reach to the end.
func WriteSame16(lba uint64, blocks uint32, block []byte, o WriteSameOptions) Cmd {
	return dataOut(block, cdb16(0x93, o.flags(), lba, blocks))
}

// ProvisioningStatus is the state of a range. SBC-4 r22 5.6.
type ProvisioningStatus uint8

// Provisioning statuses.
const (
	Mapped      ProvisioningStatus = 0
	Deallocated ProvisioningStatus = 1
	Anchored    ProvisioningStatus = 2
)

// LBAStatus is one descriptor of GET LBA STATUS.
type LBAStatus struct {
	Extent
	Status ProvisioningStatus
}

// GetLBAStatus is GET LBA STATUS (16).
func GetLBAStatus(lba uint64, alloc uint32) Cmd {
	c := cdb16(0x9e, 0x12, lba, alloc)
	return dataIn(int(alloc), c)
}

// GetLBAStatus runs GET LBA STATUS (16) and decodes what fits alloc.
func (u *Unit) GetLBAStatus(ctx context.Context, lba uint64, alloc uint32) ([]LBAStatus, error) {
	r, err := u.Run(ctx, GetLBAStatus(lba, alloc))
	if err != nil {
		return nil, err
	}
	return DecodeLBAStatus(r.Data)
}

// DecodeLBAStatus decodes the descriptors that are complete.
func DecodeLBAStatus(b []byte) ([]LBAStatus, error) {
	c := walk("GET LBA STATUS", b)
	length := int(c.u32())
	c.skip(4)
	if (length-4)%16 != 0 || length < 4 {
		c.fail("PARAMETER DATA LENGTH %d holds no whole descriptors", length)
	}
	var list []LBAStatus
	for c.left() >= 16 && len(list) < (length-4)/16 {
		d := LBAStatus{Extent: Extent{LBA: c.u64(), Blocks: c.u32()}}
		d.Status = ProvisioningStatus(c.u8() & 0x0f)
		c.skip(3)
		list = append(list, d)
	}
	return list, c.err
}
