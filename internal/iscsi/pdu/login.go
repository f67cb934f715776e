package pdu

import "fmt"

// Stage is a stage of the login phase, §11.12.3.
type Stage uint8

// Login stages; 2 is reserved.
const (
	SecurityNegotiation    Stage = 0
	OperationalNegotiation Stage = 1
	FullFeaturePhase       Stage = 3
)

func (s Stage) String() string {
	switch s {
	case SecurityNegotiation:
		return "security"
	case OperationalNegotiation:
		return "operational"
	case FullFeaturePhase:
		return "full-feature"
	}
	return fmt.Sprintf("stage(%d)", uint8(s))
}

// ISID is the initiator's part of the session identifier, §11.12.5.
type ISID [6]byte

// String prints the 12 hex digits, as the initiator port name shows them.
func (i ISID) String() string { return fmt.Sprintf("%x", [6]byte(i)) }

// LoginRequest carries the initiator's part of the login, §11.12. The data
// segment is key=value text.
type LoginRequest struct {
	Immediate         bool // implied by the RFC, whatever it says
	Transit           bool // T
	Continue          bool // C
	CSG, NSG          Stage
	VersionMax        uint8
	VersionMin        uint8
	TotalAHSLength    uint8
	DataSegmentLength uint32
	ISID              ISID
	TSIH              uint16 // 0 asks for a new session
	ITT               uint32
	CID               uint16
	CmdSN             Serial
	ExpStatSN         Serial
}

// Opcode returns OpLoginRequest.
func (*LoginRequest) Opcode() Opcode { return OpLoginRequest }

// Decode reads p from h.
func (p *LoginRequest) Decode(h *BHS) {
	*p = LoginRequest{
		Immediate:         h.Immediate(),
		Transit:           h[1]&0x80 != 0,
		Continue:          h[1]&0x40 != 0,
		CSG:               Stage(h[1] >> 2 & 3),
		NSG:               Stage(h[1] & 3),
		VersionMax:        h[2],
		VersionMin:        h[3],
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		ISID:              ISID(h[8:]),
		TSIH:              be.Uint16(h[14:]),
		ITT:               be.Uint32(h[16:]),
		CID:               be.Uint16(h[20:]),
		CmdSN:             serialAt(h, 24),
		ExpStatSN:         serialAt(h, 28),
	}
}

// Encode writes all of h from p.
func (p *LoginRequest) Encode(h *BHS) {
	*h = BHS{
		0: request(OpLoginRequest, p.Immediate),
		1: loginFlags(p.Transit, p.Continue, p.CSG, p.NSG),
		2: p.VersionMax,
		3: p.VersionMin,
	}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	copy(h[8:], p.ISID[:])
	be.PutUint16(h[14:], p.TSIH)
	be.PutUint32(h[16:], p.ITT)
	be.PutUint16(h[20:], p.CID)
	be.PutUint32(h[24:], uint32(p.CmdSN))
	be.PutUint32(h[28:], uint32(p.ExpStatSN))
}

// LoginResponse carries the target's part of the login, §11.13. The data
// segment is key=value text.
type LoginResponse struct {
	Transit           bool // T
	Continue          bool // C
	CSG, NSG          Stage
	VersionMax        uint8
	VersionActive     uint8
	TotalAHSLength    uint8
	DataSegmentLength uint32
	ISID              ISID
	TSIH              uint16
	ITT               uint32
	StatSN            Serial // this and the window count only if Status is of class 0
	ExpCmdSN          Serial
	MaxCmdSN          Serial
	Status            LoginStatus
}

// Opcode returns OpLoginResponse.
func (*LoginResponse) Opcode() Opcode { return OpLoginResponse }

// Decode reads p from h.
func (p *LoginResponse) Decode(h *BHS) {
	*p = LoginResponse{
		Transit:           h[1]&0x80 != 0,
		Continue:          h[1]&0x40 != 0,
		CSG:               Stage(h[1] >> 2 & 3),
		NSG:               Stage(h[1] & 3),
		VersionMax:        h[2],
		VersionActive:     h[3],
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		ISID:              ISID(h[8:]),
		TSIH:              be.Uint16(h[14:]),
		ITT:               be.Uint32(h[16:]),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
		Status:            LoginStatus(be.Uint16(h[36:])),
	}
}

// Encode writes all of h from p.
func (p *LoginResponse) Encode(h *BHS) {
	*h = BHS{
		0: byte(OpLoginResponse),
		1: loginFlags(p.Transit, p.Continue, p.CSG, p.NSG),
		2: p.VersionMax,
		3: p.VersionActive,
	}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	copy(h[8:], p.ISID[:])
	be.PutUint16(h[14:], p.TSIH)
	be.PutUint32(h[16:], p.ITT)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
	be.PutUint16(h[36:], uint16(p.Status))
}

func loginFlags(transit, cont bool, csg, nsg Stage) byte {
	return bit(transit, 0x80) | bit(cont, 0x40) | byte(csg)&3<<2 | byte(nsg)&3
}
