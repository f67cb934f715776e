package pdu

import (
	"errors"
	"fmt"
)

// ServiceResponse is the iSCSI service response of a SCSI Response, §11.4.3;
// 80h and above are vendor specific.
type ServiceResponse uint8

// Service responses.
const (
	CommandCompleted ServiceResponse = 0
	TargetFailure    ServiceResponse = 1
)

func (r ServiceResponse) String() string {
	switch r {
	case CommandCompleted:
		return "completed"
	case TargetFailure:
		return "target-failure"
	}
	return fmt.Sprintf("response(%d)", uint8(r))
}

// SCSIResponse ends a command, §11.4. The data segment is empty or holds sense
// and response data, see [AppendSense].
type SCSIResponse struct {
	BidiOverflow      bool            // o
	BidiUnderflow     bool            // u
	Overflow          bool            // O
	Underflow         bool            // U
	Response          ServiceResponse // Status and the residuals count only if 0
	Status            uint8           // SAM-5 5.3
	TotalAHSLength    uint8
	DataSegmentLength uint32
	StatusQualifier   uint16 // RFC 7144 §4.2; 0 below iSCSIProtocolLevel 2
	ITT               uint32
	SNACKTag          uint32
	StatSN            Serial
	ExpCmdSN          Serial
	MaxCmdSN          Serial
	ExpDataSN         uint32 // R2T and Data-In PDUs sent for the command
	BidiResidual      uint32
	Residual          uint32
}

// Opcode returns OpSCSIResponse.
func (*SCSIResponse) Opcode() Opcode { return OpSCSIResponse }

// Decode reads p from h.
func (p *SCSIResponse) Decode(h *BHS) {
	*p = SCSIResponse{
		BidiOverflow:      h[1]&0x10 != 0,
		BidiUnderflow:     h[1]&0x08 != 0,
		Overflow:          h[1]&0x04 != 0,
		Underflow:         h[1]&0x02 != 0,
		Response:          ServiceResponse(h[2]),
		Status:            h[3],
		TotalAHSLength:    h[4],
		DataSegmentLength: get24(h),
		StatusQualifier:   be.Uint16(h[8:]),
		ITT:               be.Uint32(h[16:]),
		SNACKTag:          be.Uint32(h[20:]),
		StatSN:            serialAt(h, 24),
		ExpCmdSN:          serialAt(h, 28),
		MaxCmdSN:          serialAt(h, 32),
		ExpDataSN:         be.Uint32(h[36:]),
		BidiResidual:      be.Uint32(h[40:]),
		Residual:          be.Uint32(h[44:]),
	}
}

// Encode writes all of h from p.
func (p *SCSIResponse) Encode(h *BHS) {
	*h = BHS{
		0: byte(OpSCSIResponse),
		1: 0x80 | bit(p.BidiOverflow, 0x10) | bit(p.BidiUnderflow, 0x08) |
			bit(p.Overflow, 0x04) | bit(p.Underflow, 0x02),
		2: byte(p.Response),
		3: p.Status,
	}
	putLengths(h, p.TotalAHSLength, p.DataSegmentLength)
	be.PutUint16(h[8:], p.StatusQualifier)
	be.PutUint32(h[16:], p.ITT)
	be.PutUint32(h[20:], p.SNACKTag)
	putWindow(h, p.StatSN, p.ExpCmdSN, p.MaxCmdSN)
	be.PutUint32(h[36:], p.ExpDataSN)
	be.PutUint32(h[40:], p.BidiResidual)
	be.PutUint32(h[44:], p.Residual)
}

// ErrSenseLength says that a data segment is too short for the SenseLength in
// its first two bytes.
var ErrSenseLength = errors.New("pdu: sense data longer than the data segment")

// AppendSense appends the data segment that carries sense: SenseLength in two
// bytes, then the sense data, §11.4.7. More than 65535 bytes are cut.
func AppendSense(dst, sense []byte) []byte {
	sense = sense[:min(len(sense), 0xffff)]
	dst = be.AppendUint16(dst, uint16(len(sense)))
	return append(dst, sense...)
}

// SplitSense takes apart the data segment of a SCSI Response, or of an Async
// Message with a SCSI event: the sense data and what follows it. Both alias
// data. An empty segment holds neither.
func SplitSense(data []byte) (sense, rest []byte, err error) {
	if len(data) == 0 {
		return nil, nil, nil
	}
	if len(data) < 2 {
		return nil, nil, ErrSenseLength
	}
	n := int(be.Uint16(data))
	if data = data[2:]; n > len(data) {
		return nil, nil, ErrSenseLength
	}
	return data[:n:n], data[n:], nil
}
