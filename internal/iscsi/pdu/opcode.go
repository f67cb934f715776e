package pdu

import "fmt"

// Opcode says which PDU a header belongs to, §11.2.1.2.
type Opcode uint8

// Requests, sent by initiators.
const (
	OpNOPOut        Opcode = 0x00
	OpSCSICommand   Opcode = 0x01
	OpTMFRequest    Opcode = 0x02
	OpLoginRequest  Opcode = 0x03
	OpTextRequest   Opcode = 0x04
	OpDataOut       Opcode = 0x05
	OpLogoutRequest Opcode = 0x06
	OpSNACKRequest  Opcode = 0x10
)

// Responses, sent by targets.
const (
	OpNOPIn          Opcode = 0x20
	OpSCSIResponse   Opcode = 0x21
	OpTMFResponse    Opcode = 0x22
	OpLoginResponse  Opcode = 0x23
	OpTextResponse   Opcode = 0x24
	OpDataIn         Opcode = 0x25
	OpLogoutResponse Opcode = 0x26
	OpR2T            Opcode = 0x31
	OpAsyncMessage   Opcode = 0x32
	OpReject         Opcode = 0x3f
)

var opcodeNames = [0x40]string{
	OpNOPOut:         "NOP-Out",
	OpSCSICommand:    "SCSI Command",
	OpTMFRequest:     "TMF Request",
	OpLoginRequest:   "Login Request",
	OpTextRequest:    "Text Request",
	OpDataOut:        "Data-Out",
	OpLogoutRequest:  "Logout Request",
	OpSNACKRequest:   "SNACK Request",
	OpNOPIn:          "NOP-In",
	OpSCSIResponse:   "SCSI Response",
	OpTMFResponse:    "TMF Response",
	OpLoginResponse:  "Login Response",
	OpTextResponse:   "Text Response",
	OpDataIn:         "Data-In",
	OpLogoutResponse: "Logout Response",
	OpR2T:            "R2T",
	OpAsyncMessage:   "Async Message",
	OpReject:         "Reject",
}

// Known reports whether RFC 7143 defines the opcode.
func (o Opcode) Known() bool { return int(o) < len(opcodeNames) && opcodeNames[o] != "" }

// FromInitiator reports whether the opcode is in the initiators' half.
func (o Opcode) FromInitiator() bool { return o&0x20 == 0 }

func (o Opcode) String() string {
	if o.Known() {
		return opcodeNames[o]
	}
	return fmt.Sprintf("opcode %02xh", uint8(o))
}

// PDU is what all the types of this package have in common. The data path
// uses the types themselves; this is for logs, tests and the decoder.
type PDU interface {
	Opcode() Opcode
	Decode(*BHS)
	Encode(*BHS)
	String() string
}

// New returns an empty value of the type the opcode stands for, nil if the
// opcode is not of RFC 7143.
func New(op Opcode) PDU {
	switch op {
	case OpNOPOut:
		return new(NOPOut)
	case OpSCSICommand:
		return new(SCSICommand)
	case OpTMFRequest:
		return new(TMFRequest)
	case OpLoginRequest:
		return new(LoginRequest)
	case OpTextRequest:
		return new(TextRequest)
	case OpDataOut:
		return new(DataOut)
	case OpLogoutRequest:
		return new(LogoutRequest)
	case OpSNACKRequest:
		return new(SNACKRequest)
	case OpNOPIn:
		return new(NOPIn)
	case OpSCSIResponse:
		return new(SCSIResponse)
	case OpTMFResponse:
		return new(TMFResponse)
	case OpLoginResponse:
		return new(LoginResponse)
	case OpTextResponse:
		return new(TextResponse)
	case OpDataIn:
		return new(DataIn)
	case OpLogoutResponse:
		return new(LogoutResponse)
	case OpR2T:
		return new(R2T)
	case OpAsyncMessage:
		return new(AsyncMessage)
	case OpReject:
		return new(Reject)
	}
	return nil
}
