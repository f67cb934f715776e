package pdu

// TextRequest carries key=value text in full feature phase, §11.10.
type TextRequest struct {
	Immediate         bool
	Final             bool
	Continue          bool // the text goes on in the next request
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32
	TTT               uint32 // of the response it continues, else ReservedTag
	CmdSN             Serial
	ExpStatSN         Serial
}

// Opcode returns OpTextRequest.
func (*TextRequest) Opcode() Opcode { return OpTextRequest }

// Decode reads p from h.
func (p *TextRequest) Decode(h *BHS) {
	*p = TextRequest{
		Immediate:         h.Immediate(),
		Final:             h[1]&0x80 != 0,
		Continue:          h[1]&0x40 != 0,
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
func (p *TextRequest) Encode(h *BHS) {
	*h = BHS{0: request(OpTextRequest, p.Immediate), 1: bit(p.Final, 0x80) | bit(p.Continue, 0x40)}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.TTT)
	be.PutUint32(h[24:], uint32(p.CmdSN))
	be.PutUint32(h[28:], uint32(p.ExpStatSN))
}

// TextResponse carries the target's key=value text, §11.11.
type TextResponse struct {
	Final             bool
	Continue          bool // the text goes on in the next response
	TotalAHSLength    uint8
	DataSegmentLength uint32
	LUN               LUN
	ITT               uint32
	TTT               uint32 // ReservedTag ends the exchange
	StatSN            Serial
	ExpCmdSN          Serial
	MaxCmdSN          Serial
}

// Opcode returns OpTextResponse.
func (*TextResponse) Opcode() Opcode { return OpTextResponse }

// Decode reads p from h.
func (p *TextResponse) Decode(h *BHS) {
	*p = TextResponse{
		Final:             h[1]&0x80 != 0,
		Continue:          h[1]&0x40 != 0,
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
func (p *TextResponse) Encode(h *BHS) {
	*h = BHS{0: byte(OpTextResponse), 1: bit(p.Final, 0x80) | bit(p.Continue, 0x40)}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint64(h[8:], uint64(p.LUN))
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.TTT)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
}
