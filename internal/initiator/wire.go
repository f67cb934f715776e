package initiator

import (
	"encoding/binary"
	"fmt"
)

// Opcode is byte 0, bits 5-0, of a basic header segment. RFC 7143 §11.2.1.2.
type Opcode uint8

// Initiator opcodes, then target opcodes. RFC 7143 §11.2.1.2.
const (
	OpNOPOut      Opcode = 0x00
	OpSCSICommand Opcode = 0x01
	OpTMFRequest  Opcode = 0x02
	OpLoginReq    Opcode = 0x03
	OpTextReq     Opcode = 0x04
	OpDataOut     Opcode = 0x05
	OpLogoutReq   Opcode = 0x06
	OpSNACK       Opcode = 0x10

	OpNOPIn        Opcode = 0x20
	OpSCSIResponse Opcode = 0x21
	OpTMFResponse  Opcode = 0x22
	OpLoginResp    Opcode = 0x23
	OpTextResp     Opcode = 0x24
	OpDataIn       Opcode = 0x25
	OpLogoutResp   Opcode = 0x26
	OpR2T          Opcode = 0x31
	OpAsync        Opcode = 0x32
	OpReject       Opcode = 0x3f
)

var opcodeNames = map[Opcode]string{
	OpNOPOut: "NOP-Out", OpSCSICommand: "SCSI Command", OpTMFRequest: "Task Management Request",
	OpLoginReq: "Login Request", OpTextReq: "Text Request", OpDataOut: "Data-Out",
	OpLogoutReq: "Logout Request", OpSNACK: "SNACK",
	OpNOPIn: "NOP-In", OpSCSIResponse: "SCSI Response", OpTMFResponse: "Task Management Response",
	OpLoginResp: "Login Response", OpTextResp: "Text Response", OpDataIn: "Data-In",
	OpLogoutResp: "Logout Response", OpR2T: "R2T", OpAsync: "Async Message", OpReject: "Reject",
}

func (o Opcode) String() string {
	if s, ok := opcodeNames[o]; ok {
		return s
	}
	return fmt.Sprintf("opcode %#02x", uint8(o))
}

const (
	bhsLen = 48
	// NoTag is the reserved value of Initiator and Target Transfer Tags.
	NoTag uint32 = 0xffffffff

	flagImmediate = 0x40 // byte 0
	flagFinal     = 0x80 // byte 1
)

// PDU is one iSCSI PDU between digests: header, additional headers (with their
// padding) and data segment (without padding). RFC 7143 §11.1.
type PDU struct {
	BHS  [bhsLen]byte
	AHS  []byte
	Data []byte
}

// Opcode returns byte 0 without the immediate and reserved bits.
func (p *PDU) Opcode() Opcode { return Opcode(p.BHS[0] & 0x3f) }

// Immediate reports the I bit of a request.
func (p *PDU) Immediate() bool { return p.BHS[0]&flagImmediate != 0 }

// Final reports bit 7 of byte 1 (F, or T in login).
func (p *PDU) Final() bool { return p.BHS[1]&flagFinal != 0 }

// DataLen returns DataSegmentLength as the header states it, in bytes.
func (p *PDU) DataLen() int {
	return int(p.BHS[5])<<16 | int(p.BHS[6])<<8 | int(p.BHS[7])
}

// SetDataLen writes DataSegmentLength without touching Data.
func (p *PDU) SetDataLen(n int) {
	p.BHS[5], p.BHS[6], p.BHS[7] = byte(n>>16), byte(n>>8), byte(n)
}

// AHSLen returns TotalAHSLength in bytes.
func (p *PDU) AHSLen() int { return int(p.BHS[4]) * 4 }

// LUN returns bytes 8-15.
func (p *PDU) LUN() LUN { return LUN(binary.BigEndian.Uint64(p.BHS[8:])) }

// SetLUN writes bytes 8-15.
func (p *PDU) SetLUN(l LUN) { binary.BigEndian.PutUint64(p.BHS[8:], uint64(l)) }

// Uint32 returns the big-endian word at a header offset.
func (p *PDU) Uint32(off int) uint32 { return binary.BigEndian.Uint32(p.BHS[off:]) }

// SetUint32 writes the big-endian word at a header offset.
func (p *PDU) SetUint32(off int, v uint32) { binary.BigEndian.PutUint32(p.BHS[off:], v) }

// Uint16 returns the big-endian half word at a header offset.
func (p *PDU) Uint16(off int) uint16 { return binary.BigEndian.Uint16(p.BHS[off:]) }

// SetUint16 writes the big-endian half word at a header offset.
func (p *PDU) SetUint16(off int, v uint16) { binary.BigEndian.PutUint16(p.BHS[off:], v) }

// Header offsets that several PDUs share. RFC 7143 §11.2 to §11.19.
const (
	offITT        = 16
	offTTT        = 20
	offCmdSN      = 24 // requests
	offExpStatSN  = 28 // requests
	offStatSN     = 24 // responses
	offExpCmdSN   = 28 // responses
	offMaxCmdSN   = 32 // responses
	offDataSN     = 36
	offBufferOff  = 40
	offResidual   = 44
	offEDTL       = 20 // SCSI Command
	offCDB        = 32 // SCSI Command
	offCID        = 20 // Login and Logout Request
	offISID       = 8  // Login
	offTSIH       = 14 // Login
	offStatusCode = 36 // Login Response
)

// ITT returns the Initiator Task Tag.
func (p *PDU) ITT() uint32 { return p.Uint32(offITT) }

// TTT returns the word at offset 20, the Target Transfer Tag where the PDU has one.
func (p *PDU) TTT() uint32 { return p.Uint32(offTTT) }

// StatSN, ExpCmdSN and MaxCmdSN of a response.
func (p *PDU) StatSN() uint32   { return p.Uint32(offStatSN) }
func (p *PDU) ExpCmdSN() uint32 { return p.Uint32(offExpCmdSN) }
func (p *PDU) MaxCmdSN() uint32 { return p.Uint32(offMaxCmdSN) }

func (p *PDU) String() string {
	return fmt.Sprintf("%v flags=%02x itt=%08x ahs=%d data=%d header=%x",
		p.Opcode(), p.BHS[1], p.ITT(), p.AHSLen(), p.DataLen(), p.BHS[:])
}

// snLess is a < b in the serial arithmetic of RFC 1982 on 32 bits.
func snLess(a, b uint32) bool { return int32(a-b) < 0 }

// LUN is the 8-byte logical unit number of SAM, as on the wire.
type LUN uint64

// FlatLUN encodes a small number as initiators do: peripheral addressing below
// 256, flat addressing up to 16383. SAM-5 4.7.
func FlatLUN(n uint16) LUN {
	if n < 256 {
		return LUN(n) << 48
	}
	return LUN(0x4000|n&0x3fff) << 48
}

// Number returns the logical unit of a single-level LUN in peripheral or flat form.
func (l LUN) Number() (uint16, bool) {
	hi := uint16(l >> 48)
	if l<<16 != 0 {
		return 0, false
	}
	switch hi >> 14 {
	case 0:
		return hi & 0xff, hi>>8 == 0
	case 1:
		return hi & 0x3fff, true
	}
	return 0, false
}

func (l LUN) String() string {
	if n, ok := l.Number(); ok {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%#016x", uint64(l))
}
