package pdu

// SNACKType says what a SNACK asks for, §11.16.1.
type SNACKType uint8

// SNACK types.
const (
	SNACKData    SNACKType = 0 // Data-In or R2T PDUs again
	SNACKStatus  SNACKType = 1 // status PDUs again
	SNACKDataACK SNACKType = 2 // acknowledges Data-In
	SNACKRData   SNACKType = 3 // Data-In again, resegmented
)

var snackTypeNames = [...]string{
	SNACKData:    "data/R2T",
	SNACKStatus:  "status",
	SNACKDataACK: "DataACK",
	SNACKRData:   "R-Data",
}

func (t SNACKType) String() string { return nameOf(snackTypeNames[:], uint8(t), "type") }

// SNACKRequest asks for PDUs again or acknowledges them, §11.16. It has no
// CmdSN and no data segment.
type SNACKRequest struct {
	Type              SNACKType // 4 bits
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32
	TTT               uint32 // or SNACK tag
	ExpStatSN         Serial
	BegRun            uint32
	RunLength         uint32 // 0: all from BegRun on
}

// Opcode returns OpSNACKRequest.
func (*SNACKRequest) Opcode() Opcode { return OpSNACKRequest }

// Decode reads p from h.
func (p *SNACKRequest) Decode(h *BHS) {
	*p = SNACKRequest{
		Type:              SNACKType(h[1] & 0x0f),
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		ITT:               be.Uint32(h[16:]),
		TTT:               be.Uint32(h[20:]),
		ExpStatSN:         serialAt(h, 28),
		BegRun:            be.Uint32(h[40:]),
		RunLength:         be.Uint32(h[44:]),
	}
}

// Encode writes all of h from p.
func (p *SNACKRequest) Encode(h *BHS) {
	*h = BHS{0: byte(OpSNACKRequest), 1: 0x80 | byte(p.Type)&0x0f}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.TTT)
	be.PutUint32(h[28:], uint32(p.ExpStatSN))
	be.PutUint32(h[40:], p.BegRun)
	be.PutUint32(h[44:], p.RunLength)
}
