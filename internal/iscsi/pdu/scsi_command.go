package pdu

import "fmt"

// TaskAttr is the task attribute of a SCSI command, §11.3.1.
type TaskAttr uint8

// Task attributes; 5 to 7 are reserved.
const (
	AttrUntagged    TaskAttr = 0
	AttrSimple      TaskAttr = 1
	AttrOrdered     TaskAttr = 2
	AttrHeadOfQueue TaskAttr = 3
	AttrACA         TaskAttr = 4
)

func (a TaskAttr) String() string {
	switch a {
	case AttrUntagged:
		return "untagged"
	case AttrSimple:
		return "simple"
	case AttrOrdered:
		return "ordered"
	case AttrHeadOfQueue:
		return "head-of-queue"
	case AttrACA:
		return "aca"
	}
	return fmt.Sprintf("attr(%d)", uint8(a))
}

// SCSICommand carries a CDB, §11.3. The data segment is immediate data.
type SCSICommand struct {
	Immediate         bool
	Final             bool     // no unsolicited Data-Out follows
	Read              bool     // data-in is expected
	Write             bool     // data-out is expected
	Attr              TaskAttr // 3 bits
	Pri               uint8    // 4 bits, RFC 7144 §4.1; 0 below iSCSIProtocolLevel 2
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32
	EDTL              uint32 // expected data transfer length in bytes, §11.3.4
	CmdSN             Serial
	ExpStatSN         Serial
	CDB               [16]byte // the rest of a longer one is in the AHS
}

// Opcode returns OpSCSICommand.
func (*SCSICommand) Opcode() Opcode { return OpSCSICommand }

// Decode reads p from h.
func (p *SCSICommand) Decode(h *BHS) {
	*p = SCSICommand{
		Immediate:         h.Immediate(),
		Final:             h[1]&0x80 != 0,
		Read:              h[1]&0x40 != 0,
		Write:             h[1]&0x20 != 0,
		Attr:              TaskAttr(h[1] & 0x07),
		Pri:               h[2] >> 4,
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		ITT:               be.Uint32(h[16:]),
		EDTL:              be.Uint32(h[20:]),
		CmdSN:             serialAt(h, 24),
		ExpStatSN:         serialAt(h, 28),
		CDB:               [16]byte(h[32:]),
	}
}

// Encode writes all of h from p.
func (p *SCSICommand) Encode(h *BHS) {
	*h = BHS{
		0: request(OpSCSICommand, p.Immediate),
		1: bit(p.Final, 0x80) | bit(p.Read, 0x40) | bit(p.Write, 0x20) | byte(p.Attr)&0x07,
		2: p.Pri << 4,
	}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.EDTL)
	be.PutUint32(h[24:], uint32(p.CmdSN))
	be.PutUint32(h[28:], uint32(p.ExpStatSN))
	copy(h[32:], p.CDB[:])
}
