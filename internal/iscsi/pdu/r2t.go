package pdu

// R2T asks for write data, §11.8. No data segment.
type R2T struct {
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32
	TTT               uint32
	StatSN            Serial // the next one; R2T does not advance it
	ExpCmdSN          Serial
	MaxCmdSN          Serial
	R2TSN             uint32 // from 0 in each command
	BufferOffset      uint32
	DesiredLength     uint32 // 1 to MaxBurstLength
}

// Opcode returns OpR2T.
func (*R2T) Opcode() Opcode { return OpR2T }

// Decode reads p from h.
func (p *R2T) Decode(h *BHS) {
	*p = R2T{
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		ITT:               be.Uint32(h[16:]),
		TTT:               be.Uint32(h[20:]),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
		R2TSN:             be.Uint32(h[36:]),
		BufferOffset:      be.Uint32(h[40:]),
		DesiredLength:     be.Uint32(h[44:]),
	}
}

// Encode writes all of h from p.
func (p *R2T) Encode(h *BHS) {
	*h = BHS{0: byte(OpR2T), 1: 0x80}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.TTT)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
	be.PutUint32(h[36:], p.R2TSN)
	be.PutUint32(h[40:], p.BufferOffset)
	be.PutUint32(h[44:], p.DesiredLength)
}
