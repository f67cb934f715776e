package pdu

// DataIn carries read data and, with HasStatus, the end of the command, §11.7.
type DataIn struct {
	Final             bool // last of its sequence
	Acknowledge       bool // A: asks for a DataACK; LUN and TTT are valid
	Overflow          bool // O
	Underflow         bool // U
	HasStatus         bool // S: Status, StatSN and Residual are valid
	Status            uint8
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32
	TTT               uint32 // ReservedTag without Acknowledge
	StatSN            Serial
	ExpCmdSN          Serial
	MaxCmdSN          Serial
	DataSN            uint32
	BufferOffset      uint32
	Residual          uint32
}

// Opcode returns OpDataIn.
func (*DataIn) Opcode() Opcode { return OpDataIn }

// Decode reads p from h.
func (p *DataIn) Decode(h *BHS) {
	*p = DataIn{
		Final:             h[1]&0x80 != 0,
		Acknowledge:       h[1]&0x40 != 0,
		Overflow:          h[1]&0x04 != 0,
		Underflow:         h[1]&0x02 != 0,
		HasStatus:         h[1]&0x01 != 0,
		Status:            h[3],
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		LUN:               LUN(be.Uint64(h[8:])),
		ITT:               be.Uint32(h[16:]),
		TTT:               be.Uint32(h[20:]),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
		DataSN:            be.Uint32(h[36:]),
		BufferOffset:      be.Uint32(h[40:]),
		Residual:          be.Uint32(h[44:]),
	}
}

// Encode writes all of h from p.
func (p *DataIn) Encode(h *BHS) {
	*h = BHS{
		0: byte(OpDataIn),
		1: bit(p.Final, 0x80) | bit(p.Acknowledge, 0x40) | bit(p.Overflow, 0x04) |
			bit(p.Underflow, 0x02) | bit(p.HasStatus, 0x01),
		3: p.Status,
	}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.TTT)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
	be.PutUint32(h[36:], p.DataSN)
	be.PutUint32(h[40:], p.BufferOffset)
	be.PutUint32(h[44:], p.Residual)
}
