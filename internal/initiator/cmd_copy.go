package initiator

import (
	"context"
	"encoding/binary"
)

// CopySegment is one block-to-block segment (type 02h). SPC-4 r36f 6.4.6.
type CopySegment struct {
	Source, Destination       uint16 // indices into CopyList.Units
	Blocks                    uint16
	SourceLBA, DestinationLBA uint64
	DestinationCount          bool // DC: Blocks counts destination blocks
}

// CopyUnit names a logical unit by a designator of its page 83h (descriptor E4h).
type CopyUnit struct {
	Designator Designator
	BlockSize  uint32
}

// CopyList is the parameter list of EXTENDED COPY (LID1). SPC-4 r36f 6.4.
type CopyList struct {
	ListID, Usage, Priority uint8
	Units                   []CopyUnit
	Segments                []CopySegment
	Inline                  uint32 // INLINE DATA LENGTH
}

// Marshal encodes the list.
func (l CopyList) Marshal() []byte {
	b := make([]byte, 16)
	b[0], b[1] = l.ListID, l.Usage&3<<3|l.Priority&7
	binary.BigEndian.PutUint16(b[2:], uint16(32*len(l.Units)))
	binary.BigEndian.PutUint32(b[8:], uint32(28*len(l.Segments)))
	binary.BigEndian.PutUint32(b[12:], l.Inline)
	for _, u := range l.Units {
		d := make([]byte, 32)
		d[0] = 0xe4
		d[4] = u.Designator.CodeSet
		d[5] = u.Designator.Association<<4 | u.Designator.Type
		d[7] = byte(len(u.Designator.ID))
		copy(d[8:28], u.Designator.ID)
		d[29], d[30], d[31] = byte(u.BlockSize>>16), byte(u.BlockSize>>8), byte(u.BlockSize)
		b = append(b, d...)
	}
	for _, s := range l.Segments {
		d := make([]byte, 28)
		d[0], d[1], d[3] = 0x02, bit(s.DestinationCount, 1), 0x18
		binary.BigEndian.PutUint16(d[4:], s.Source)
		binary.BigEndian.PutUint16(d[6:], s.Destination)
		binary.BigEndian.PutUint16(d[10:], s.Blocks)
		binary.BigEndian.PutUint64(d[12:], s.SourceLBA)
		binary.BigEndian.PutUint64(d[20:], s.DestinationLBA)
		b = append(b, d...)
	}
	return b
}

// ExtendedCopy is EXTENDED COPY (LID1) with a list of the caller's making.
func ExtendedCopy(list []byte) Cmd {
	c := make([]byte, 16)
	c[0] = 0x83
	binary.BigEndian.PutUint32(c[10:], uint32(len(list)))
	return dataOut(list, c)
}

// Service actions of RECEIVE COPY RESULTS (84h). SPC-4 r36f 6.16 to 6.23.
const (
	ReceiveCopyStatus    uint8 = 0x00
	ReceiveCopyData      uint8 = 0x01
	ReceiveCopyOperating uint8 = 0x03
	ReceiveCopyFailure   uint8 = 0x04
)

// ReceiveCopyResults asks about a copy by its list identifier.
func ReceiveCopyResults(sa, listID uint8, alloc uint32) Cmd {
	c := make([]byte, 16)
	c[0], c[1], c[2] = 0x84, sa&0x1f, listID
	binary.BigEndian.PutUint32(c[10:], alloc)
	return dataIn(int(alloc), c)
}

// CopyStatus is the answer of RECEIVE COPY STATUS (LID1).
type CopyStatus struct {
	Status   uint8 // 0 running, 1 done, 2 failed
	Segments uint16
	Units    uint8 // of Count: 0 bytes, 1 KiB, ...
	Count    uint32
}

// CopyStatus runs RECEIVE COPY STATUS (LID1).
func (u *Unit) CopyStatus(ctx context.Context, listID uint8) (CopyStatus, error) {
	r, err := u.Run(ctx, ReceiveCopyResults(ReceiveCopyStatus, listID, 12))
	if err != nil {
		return CopyStatus{}, err
	}
	c := walk("RECEIVE COPY STATUS (LID1)", r.Data)
	if n := c.u32(); n != 8 {
		c.fail("AVAILABLE DATA %d", n)
	}
	return CopyStatus{Status: c.u8(), Segments: c.u16(), Units: c.u8(), Count: c.u32()}, c.err
}

// CopyParameters is the answer of RECEIVE COPY OPERATING PARAMETERS.
type CopyParameters struct {
	NoListID                                  bool // SNLID
	MaxUnits, MaxSegments                     uint16
	MaxListLength, MaxSegmentLength           uint32
	MaxInline, HeldDataLimit, MaxStreamLength uint32
	TotalConcurrent                           uint16
	MaxConcurrent                             uint8
	DataGranularity                           uint8 // log2 bytes
	Descriptors                               []uint8
}

// CopyParameters runs RECEIVE COPY OPERATING PARAMETERS. SPC-4 r36f 6.19.
func (u *Unit) CopyParameters(ctx context.Context) (CopyParameters, error) {
	r, err := u.Run(ctx, ReceiveCopyResults(ReceiveCopyOperating, 0, 1024))
	if err != nil {
		return CopyParameters{}, err
	}
	c := walk("RECEIVE COPY OPERATING PARAMETERS", r.Data)
	c = c.sub(int(c.u32()))
	p := CopyParameters{NoListID: c.u8()&1 != 0}
	c.skip(3)
	p.MaxUnits, p.MaxSegments = c.u16(), c.u16()
	p.MaxListLength, p.MaxSegmentLength = c.u32(), c.u32()
	p.MaxInline, p.HeldDataLimit, p.MaxStreamLength = c.u32(), c.u32(), c.u32()
	c.skip(2)
	p.TotalConcurrent, p.MaxConcurrent = c.u16(), c.u8()
	p.DataGranularity = c.u8()
	c.skip(5) // inline and held data granularity, reserved
	p.Descriptors = c.take(int(c.u8()))
	return p, c.err
}
