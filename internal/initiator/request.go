package initiator

import "encoding/binary"

// TaskAttr is the ATTR field of a SCSI Command. RFC 7143 §11.3.1.2.
type TaskAttr uint8

// Task attributes.
const (
	Untagged TaskAttr = iota
	Simple
	Ordered
	HeadOfQueue
	ACA
)

// The builders below make the initiator's PDUs as the standard draws them.
// Numbering (CmdSN, ExpStatSN) is filled in by whoever sends; every byte may be
// overwritten before that.

func newPDU(op Opcode, immediate bool, flags byte) *PDU {
	p := new(PDU)
	p.BHS[0] = byte(op)
	if immediate {
		p.BHS[0] |= flagImmediate
	}
	p.BHS[1] = flags
	return p
}

// SCSICommandPDU is a SCSI Command. RFC 7143 §11.3. With write, final says that
// no unsolicited Data-Out follows.
type SCSICommandPDU struct {
	Immediate, Final, Read, Write bool
	Attr                          TaskAttr
	LUN                           LUN
	ITT, EDTL                     uint32
	CDB                           []byte // longer than 16 bytes: the rest goes to an AHS
	Data                          []byte // immediate data
}

// PDU encodes the command.
func (c SCSICommandPDU) PDU() *PDU {
	var flags byte
	if c.Final {
		flags |= flagFinal
	}
	if c.Read {
		flags |= 0x40
	}
	if c.Write {
		flags |= 0x20
	}
	p := newPDU(OpSCSICommand, c.Immediate, flags|byte(c.Attr&7))
	p.SetLUN(c.LUN)
	p.SetUint32(offITT, c.ITT)
	p.SetUint32(offEDTL, c.EDTL)
	n := copy(p.BHS[offCDB:], c.CDB)
	if rest := c.CDB[n:]; len(rest) > 0 {
		// RFC 7143 §11.2.2.3: AHSLength is the CDB length minus 15.
		p.AHS = make([]byte, 4+len(rest)+pad4(len(rest)))
		binary.BigEndian.PutUint16(p.AHS, uint16(1+len(rest)))
		p.AHS[2] = 1
		copy(p.AHS[4:], rest)
	}
	p.Data = c.Data
	return p
}

// DataOutPDU is a Data-Out. RFC 7143 §11.7.
type DataOutPDU struct {
	Final          bool
	LUN            LUN
	ITT, TTT       uint32
	DataSN, Offset uint32
	Data           []byte
}

// PDU encodes the data.
func (d DataOutPDU) PDU() *PDU {
	var flags byte
	if d.Final {
		flags = flagFinal
	}
	p := newPDU(OpDataOut, false, flags)
	p.SetLUN(d.LUN)
	p.SetUint32(offITT, d.ITT)
	p.SetUint32(offTTT, d.TTT)
	p.SetUint32(offDataSN, d.DataSN)
	p.SetUint32(offBufferOff, d.Offset)
	p.Data = d.Data
	return p
}

// NOPOutPDU is a NOP-Out. RFC 7143 §11.18.
type NOPOutPDU struct {
	Immediate bool
	LUN       LUN
	ITT, TTT  uint32
	Data      []byte
}

// PDU encodes the ping or the answer to one.
func (n NOPOutPDU) PDU() *PDU {
	p := newPDU(OpNOPOut, n.Immediate, flagFinal)
	p.SetLUN(n.LUN)
	p.SetUint32(offITT, n.ITT)
	p.SetUint32(offTTT, n.TTT)
	p.Data = n.Data
	return p
}

// TMFRequestPDU is a Task Management Function Request. RFC 7143 §11.5.
type TMFRequestPDU struct {
	Immediate           bool
	Function            TMF
	LUN                 LUN
	ITT                 uint32
	ReferencedTag       uint32
	RefCmdSN, ExpDataSN uint32
}

// PDU encodes the request.
func (t TMFRequestPDU) PDU() *PDU {
	p := newPDU(OpTMFRequest, t.Immediate, flagFinal|byte(t.Function&0x7f))
	p.SetLUN(t.LUN)
	p.SetUint32(offITT, t.ITT)
	p.SetUint32(20, t.ReferencedTag)
	p.SetUint32(32, t.RefCmdSN)
	p.SetUint32(36, t.ExpDataSN)
	return p
}

// LoginPDU is a Login Request. RFC 7143 §11.12.
type LoginPDU struct {
	Transit, Continue      bool
	CSG, NSG               uint8
	VersionMax, VersionMin uint8
	ISID                   [6]byte
	TSIH, CID              uint16
	ITT                    uint32
	Data                   []byte // key text, see Keys.Marshal
}

// PDU encodes the request; logins are always immediate.
func (l LoginPDU) PDU() *PDU {
	flags := l.CSG&3<<2 | l.NSG&3
	if l.Transit {
		flags |= 0x80
	}
	if l.Continue {
		flags |= 0x40
	}
	p := newPDU(OpLoginReq, true, flags)
	p.BHS[2], p.BHS[3] = l.VersionMax, l.VersionMin
	copy(p.BHS[offISID:], l.ISID[:])
	p.SetUint16(offTSIH, l.TSIH)
	p.SetUint32(offITT, l.ITT)
	p.SetUint16(offCID, l.CID)
	p.Data = l.Data
	return p
}

// TextPDU is a Text Request. RFC 7143 §11.10.
type TextPDU struct {
	Immediate, Final, Continue bool
	LUN                        LUN
	ITT, TTT                   uint32
	Data                       []byte
}

// PDU encodes the request.
func (t TextPDU) PDU() *PDU {
	var flags byte
	if t.Final {
		flags |= flagFinal
	}
	if t.Continue {
		flags |= 0x40
	}
	p := newPDU(OpTextReq, t.Immediate, flags)
	p.SetLUN(t.LUN)
	p.SetUint32(offITT, t.ITT)
	p.SetUint32(offTTT, t.TTT)
	p.Data = t.Data
	return p
}

// LogoutReason is byte 1, bits 6-0, of a Logout Request. RFC 7143 §11.14.1.
type LogoutReason uint8

// Logout reasons.
const (
	LogoutSession    LogoutReason = 0
	LogoutConnection LogoutReason = 1
	LogoutRecovery   LogoutReason = 2
)

// LogoutPDU is a Logout Request. RFC 7143 §11.14.
type LogoutPDU struct {
	Immediate bool
	Reason    LogoutReason
	ITT       uint32
	CID       uint16
}

// PDU encodes the request.
func (l LogoutPDU) PDU() *PDU {
	p := newPDU(OpLogoutReq, l.Immediate, flagFinal|byte(l.Reason&0x7f))
	p.SetUint32(offITT, l.ITT)
	p.SetUint16(offCID, l.CID)
	return p
}

// SNACKType is the kind of data or status asked for again. RFC 7143 §11.16.1.
type SNACKType uint8

// SNACK types.
const (
	SNACKData   SNACKType = 0
	SNACKStatus SNACKType = 1
	SNACKAck    SNACKType = 2
	SNACKRData  SNACKType = 3
)

// SNACKPDU is a SNACK Request. RFC 7143 §11.16.
type SNACKPDU struct {
	Type              SNACKType
	LUN               LUN
	ITT, TTT          uint32
	BegRun, RunLength uint32
}

// PDU encodes the request.
func (s SNACKPDU) PDU() *PDU {
	p := newPDU(OpSNACK, false, flagFinal|byte(s.Type&0x0f))
	p.SetLUN(s.LUN)
	p.SetUint32(offITT, s.ITT)
	p.SetUint32(offTTT, s.TTT)
	p.SetUint32(offBufferOff, s.BegRun)
	p.SetUint32(offResidual, s.RunLength)
	return p
}
