package pdu

// NOPOut is a ping of the initiator or its answer to one of ours, §11.18.
// The data segment is the ping data.
type NOPOut struct {
	Immediate         bool
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32 // ReservedTag: no answer wanted
	TTT               uint32 // of the NOP-In it answers, else ReservedTag
	CmdSN             Serial
	ExpStatSN         Serial
}

// Opcode returns OpNOPOut.
func (*NOPOut) Opcode() Opcode { return OpNOPOut }

// Decode reads p from h.
func (p *NOPOut) Decode(h *BHS) {
	*p = NOPOut{
		Immediate:         h.Immediate(),
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		ITT:               be.Uint32(h[16:]),
		TTT:               be.Uint32(h[20:]),
		CmdSN:             serialAt(h, 24),
		ExpStatSN:         serialAt(h, 28),
	}
}

// Encode writes all of h from p.
func (p *NOPOut) Encode(h *BHS) {
	*h = BHS{0: request(OpNOPOut, p.Immediate), 1: 0x80}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.TTT)
	be.PutUint32(h[24:], uint32(p.CmdSN))
	be.PutUint32(h[28:], uint32(p.ExpStatSN))
}

// NOPIn is the answer to a ping, or a ping of the target, §11.19. The data
// segment is the ping data.
type NOPIn struct {
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32 // of the NOP-Out it answers, else ReservedTag
	TTT               uint32 // ReservedTag: no answer wanted
	StatSN            Serial // not advanced if ITT is ReservedTag
	ExpCmdSN          Serial
	MaxCmdSN          Serial
}

// Opcode returns OpNOPIn.
func (*NOPIn) Opcode() Opcode { return OpNOPIn }

// Decode reads p from h.
func (p *NOPIn) Decode(h *BHS) {
	*p = NOPIn{
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		ITT:               be.Uint32(h[16:]),
		TTT:               be.Uint32(h[20:]),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
	}
}

// Encode writes all of h from p.
func (p *NOPIn) Encode(h *BHS) {
	*h = BHS{0: byte(OpNOPIn), 1: 0x80}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.TTT)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
}
