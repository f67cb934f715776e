package pdu

// DataOut carries write data, §11.7. It has no CmdSN.
type DataOut struct {
	Final             bool
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32
	TTT               uint32 // of the R2T it answers, ReservedTag if unsolicited
	ExpStatSN         Serial
	DataSN            uint32 // from 0 in each sequence
	BufferOffset      uint32
}

// Opcode returns OpDataOut.
func (*DataOut) Opcode() Opcode { return OpDataOut }

// Decode reads p from h.
func (p *DataOut) Decode(h *BHS) {
	*p = DataOut{
		Final:             h[1]&0x80 != 0,
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		ITT:               be.Uint32(h[16:]),
		TTT:               be.Uint32(h[20:]),
		ExpStatSN:         serialAt(h, 28),
		DataSN:            be.Uint32(h[36:]),
		BufferOffset:      be.Uint32(h[40:]),
	}
}

// Encode writes all of h from p.
func (p *DataOut) Encode(h *BHS) {
	*h = BHS{0: byte(OpDataOut), 1: bit(p.Final, 0x80)}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.TTT)
	be.PutUint32(h[28:], uint32(p.ExpStatSN))
	be.PutUint32(h[36:], p.DataSN)
	be.PutUint32(h[40:], p.BufferOffset)
}
