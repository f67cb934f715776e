package pdu

// RejectReason says why a PDU was refused, §11.17.1. 01h is reserved and 0Bh
// must not be used.
type RejectReason uint8

// Reject reasons.
const (
	RejectDataDigest       RejectReason = 0x02
	RejectSNACK            RejectReason = 0x03
	RejectProtocolError    RejectReason = 0x04
	RejectNotSupported     RejectReason = 0x05
	RejectTooManyImmediate RejectReason = 0x06
	RejectTaskInProgress   RejectReason = 0x07
	RejectInvalidDataACK   RejectReason = 0x08
	RejectInvalidField     RejectReason = 0x09
	RejectLongOperation    RejectReason = 0x0a
	RejectWaitingForLogout RejectReason = 0x0c
)

var rejectReasonNames = [...]string{
	RejectDataDigest:       "data digest error",
	RejectSNACK:            "SNACK reject",
	RejectProtocolError:    "protocol error",
	RejectNotSupported:     "command not supported",
	RejectTooManyImmediate: "too many immediate commands",
	RejectTaskInProgress:   "task in progress",
	RejectInvalidDataACK:   "invalid DataACK",
	RejectInvalidField:     "invalid PDU field",
	RejectLongOperation:    "long operation reject",
	RejectWaitingForLogout: "waiting for logout",
}

func (r RejectReason) String() string { return nameOf(rejectReasonNames[:], uint8(r), "reason") }

// Reject refuses a PDU, §11.17. The data segment is the complete header of the
// refused PDU: BHS and AHS, without digest.
type Reject struct {
	Reason            RejectReason
	TotalAHSLength    uint8
	DataSegmentLength uint32
	StatSN            Serial
	ExpCmdSN          Serial
	MaxCmdSN          Serial
	DataSN            uint32 // or R2TSN; only for data digest and SNACK rejects
}

// Opcode returns OpReject.
func (*Reject) Opcode() Opcode { return OpReject }

// Decode reads p from h.
func (p *Reject) Decode(h *BHS) {
	*p = Reject{
		Reason:            RejectReason(h[2]),
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
		DataSN:            be.Uint32(h[36:]),
	}
}

// Encode writes all of h from p; the ITT is ReservedTag.
func (p *Reject) Encode(h *BHS) {
	*h = BHS{0: byte(OpReject), 1: 0x80, 2: byte(p.Reason)}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint32(h[16:], ReservedTag)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
	be.PutUint32(h[36:], p.DataSN)
}
