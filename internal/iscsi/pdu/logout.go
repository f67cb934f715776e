package pdu

// LogoutReason says what a logout ends, §11.14.1.
type LogoutReason uint8

// Logout reasons.
const (
	LogoutCloseSession    LogoutReason = 0
	LogoutCloseConnection LogoutReason = 1
	LogoutForRecovery     LogoutReason = 2
)

var logoutReasonNames = [...]string{
	LogoutCloseSession:    "close session",
	LogoutCloseConnection: "close connection",
	LogoutForRecovery:     "remove connection for recovery",
}

func (r LogoutReason) String() string { return nameOf(logoutReasonNames[:], uint8(r), "reason") }

// LogoutResult is the response to a logout, §11.15.1.
type LogoutResult uint8

// Logout responses.
const (
	LogoutClosed              LogoutResult = 0
	LogoutNoCID               LogoutResult = 1
	LogoutRecoveryUnsupported LogoutResult = 2
	LogoutCleanupFailed       LogoutResult = 3
)

var logoutResultNames = [...]string{
	LogoutClosed:              "closed",
	LogoutNoCID:               "CID not found",
	LogoutRecoveryUnsupported: "connection recovery not supported",
	LogoutCleanupFailed:       "cleanup failed",
}

func (r LogoutResult) String() string { return nameOf(logoutResultNames[:], uint8(r), "response") }

// LogoutRequest asks to end a connection or the session, §11.14. No data
// segment.
type LogoutRequest struct {
	Immediate         bool
	Reason            LogoutReason // 7 bits
	TotalAHSLength    uint8
	DataSegmentLength uint32
	ITT               uint32
	CID               uint16 // not used to close the session
	CmdSN             Serial
	ExpStatSN         Serial
}

// Opcode returns OpLogoutRequest.
func (*LogoutRequest) Opcode() Opcode { return OpLogoutRequest }

// Decode reads p from h.
func (p *LogoutRequest) Decode(h *BHS) {
	*p = LogoutRequest{
		Immediate:         h.Immediate(),
		Reason:            LogoutReason(h[1] & 0x7f),
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		ITT:               be.Uint32(h[16:]),
		CID:               be.Uint16(h[20:]),
		CmdSN:             serialAt(h, 24),
		ExpStatSN:         serialAt(h, 28),
	}
}

// Encode writes all of h from p.
func (p *LogoutRequest) Encode(h *BHS) {
	*h = BHS{0: request(OpLogoutRequest, p.Immediate), 1: 0x80 | byte(p.Reason)}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint32(h[16:], p.ITT)
	be.PutUint16(h[20:], p.CID)
	be.PutUint32(h[24:], uint32(p.CmdSN))
	be.PutUint32(h[28:], uint32(p.ExpStatSN))
}

// LogoutResponse answers a logout, §11.15. No data segment.
type LogoutResponse struct {
	Response          LogoutResult
	TotalAHSLength    uint8
	DataSegmentLength uint32
	ITT               uint32
	StatSN            Serial
	ExpCmdSN          Serial
	MaxCmdSN          Serial
	Time2Wait         uint16 // seconds
	Time2Retain       uint16 // seconds
}

// Opcode returns OpLogoutResponse.
func (*LogoutResponse) Opcode() Opcode { return OpLogoutResponse }

// Decode reads p from h.
func (p *LogoutResponse) Decode(h *BHS) {
	*p = LogoutResponse{
		Response:          LogoutResult(h[2]),
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		ITT:               be.Uint32(h[16:]),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
		Time2Wait:         be.Uint16(h[40:]),
		Time2Retain:       be.Uint16(h[42:]),
	}
}

// Encode writes all of h from p.
func (p *LogoutResponse) Encode(h *BHS) {
	*h = BHS{0: byte(OpLogoutResponse), 1: 0x80, 2: byte(p.Response)}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint32(h[16:], p.ITT)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
	be.PutUint16(h[40:], p.Time2Wait)
	be.PutUint16(h[42:], p.Time2Retain)
}
