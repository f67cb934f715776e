package initiator

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// SenseKey is the first level of sense information. SPC-4 r36f 4.5.6.
type SenseKey uint8

// Sense keys.
const (
	NoSense SenseKey = iota
	RecoveredError
	NotReady
	MediumError
	HardwareError
	IllegalRequest
	UnitAttention
	DataProtect
	BlankCheck
	VendorSpecific
	CopyAborted
	AbortedCommand
	_
	VolumeOverflow
	Miscompare
	Completed
)

var senseKeyNames = [16]string{
	"NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR", "HARDWARE ERROR", "ILLEGAL REQUEST",
	"UNIT ATTENTION", "DATA PROTECT", "BLANK CHECK", "VENDOR SPECIFIC", "COPY ABORTED",
	"ABORTED COMMAND", "RESERVED", "VOLUME OVERFLOW", "MISCOMPARE", "COMPLETED",
}

func (k SenseKey) String() string { return senseKeyNames[k&15] }

// ASC is additional sense code and qualifier in one word, e.g. 0x2a04.
type ASC uint16

// Additional sense codes that tests and reports name. SPC-4 r36f annex D.
const (
	ASCNone                    ASC = 0x0000
	ASCSelfTestOrNotReady      ASC = 0x0400
	ASCBecomingReady           ASC = 0x0401
	ASCStandby                 ASC = 0x040b
	ASCUnavailable             ASC = 0x040c
	ASCSanitizeInProgress      ASC = 0x041b
	ASCUnexpectedUnsolicited   ASC = 0x0c0c
	ASCNotEnoughUnsolicited    ASC = 0x0c0d
	ASCInvalidFieldInIU        ASC = 0x0e03
	ASCParameterListLength     ASC = 0x1a00
	ASCMiscompare              ASC = 0x1d00
	ASCInvalidOpcode           ASC = 0x2000
	ASCLBAOutOfRange           ASC = 0x2100
	ASCInvalidFieldInCDB       ASC = 0x2400
	ASCLUNNotSupported         ASC = 0x2500
	ASCInvalidFieldInParameter ASC = 0x2600
	ASCInvalidRelease          ASC = 0x2604
	ASCWriteProtected          ASC = 0x2700
	ASCSpaceAllocationFailed   ASC = 0x2707
	ASCPowerOnOrReset          ASC = 0x2900
	ASCPowerOn                 ASC = 0x2901
	ASCBusDeviceReset          ASC = 0x2903
	ASCNexusLoss               ASC = 0x2907
	ASCModeParametersChanged   ASC = 0x2a01
	ASCReservationsPreempted   ASC = 0x2a03
	ASCReservationsReleased    ASC = 0x2a04
	ASCRegistrationsPreempted  ASC = 0x2a05
	ASCALUAStateChanged        ASC = 0x2a06
	ASCCapacityChanged         ASC = 0x2a09
	ASCCommandsClearedByOther  ASC = 0x2f00
	ASCReportedLUNsChanged     ASC = 0x3f0e
	ASCProtocolServiceCRC      ASC = 0x4705
	ASCCommandsClearedByISCSI  ASC = 0x477f
	ASCRegistrationResources   ASC = 0x5504
)

// Sense is decoded sense data, fixed or descriptor format. SPC-4 r36f 4.5.
type Sense struct {
	Descriptor  bool // format 72h/73h
	Deferred    bool
	Key         SenseKey
	ASC         ASC
	InfoValid   bool
	Info        uint64 // INFORMATION, e.g. first LBA or miscompare offset
	CmdSpecific uint64
	// Field is the field pointer of ILLEGAL REQUEST, when FieldValid.
	FieldValid bool
	FieldInCDB bool // C/D: in the CDB, else in the parameter list
	FieldByte  uint16
	FieldBit   int // -1 when BPV is zero
	// Progress is the progress indication of NOT READY or NO SENSE, in 1/65536,
	// when ProgressValid.
	ProgressValid bool
	Progress      uint16
	// Segment is the segment pointer of COPY ABORTED.
	SegmentValid       bool
	Segment            uint16
	FileMark, EOM, ILI bool
}

// Is reports whether the sense has this key and code.
func (s Sense) Is(key SenseKey, asc ASC) bool { return s.Key == key && s.ASC == asc }

func (s Sense) String() string {
	out := fmt.Sprintf("%x/%02x/%02x (%v)", uint8(s.Key), uint8(s.ASC>>8), uint8(s.ASC), s.Key)
	if s.InfoValid {
		out += fmt.Sprintf(" info=%#x", s.Info)
	}
	if s.FieldValid {
		where := "parameter"
		if s.FieldInCDB {
			where = "cdb"
		}
		out += fmt.Sprintf(" %s byte %d", where, s.FieldByte)
		if s.FieldBit >= 0 {
			out += fmt.Sprintf(" bit %d", s.FieldBit)
		}
	}
	return out
}

// ParseSense decodes sense data strictly: what is there is decoded even when an
// error is returned.
func ParseSense(b []byte) (Sense, error) {
	if len(b) == 0 {
		return Sense{}, errors.New("no sense data")
	}
	switch b[0] & 0x7f {
	case 0x70, 0x71:
		return parseFixed(b)
	case 0x72, 0x73:
		return parseDescriptors(b)
	}
	return Sense{}, fmt.Errorf("response code %#02x", b[0]&0x7f)
}

// parseFixed decodes the fixed format. SPC-4 r36f 4.5.3.
func parseFixed(b []byte) (Sense, error) {
	if len(b) < 14 {
		return Sense{}, fmt.Errorf("fixed format sense of %d bytes has no ASC", len(b))
	}
	s := Sense{
		Deferred: b[0]&0x7f == 0x71,
		Key:      SenseKey(b[2] & 0x0f),
		ASC:      ASC(binary.BigEndian.Uint16(b[12:])),
		FileMark: b[2]&0x80 != 0, EOM: b[2]&0x40 != 0, ILI: b[2]&0x20 != 0,
		InfoValid:   b[0]&0x80 != 0,
		Info:        uint64(binary.BigEndian.Uint32(b[3:])),
		CmdSpecific: uint64(binary.BigEndian.Uint32(b[8:])),
	}
	var err error
	if want := int(b[7]) + 8; want != len(b) {
		err = fmt.Errorf("ADDITIONAL SENSE LENGTH says %d bytes, there are %d", want, len(b))
	}
	if len(b) >= 18 && b[15]&0x80 != 0 {
		s.keySpecific([3]byte(b[15:]))
	}
	return s, err
}

// keySpecific decodes the sense key specific bytes, SKSV being set. SPC-4 r36f 4.5.2.4.
func (s *Sense) keySpecific(b [3]byte) {
	word := binary.BigEndian.Uint16(b[1:])
	switch s.Key {
	case IllegalRequest:
		s.FieldValid, s.FieldInCDB, s.FieldByte, s.FieldBit = true, b[0]&0x40 != 0, word, -1
		if b[0]&0x08 != 0 {
			s.FieldBit = int(b[0] & 7)
		}
	case NoSense, NotReady:
		s.ProgressValid, s.Progress = true, word
	case CopyAborted:
		s.SegmentValid, s.Segment = true, word
	}
}

// parseDescriptors decodes the descriptor format. SPC-4 r36f 4.5.2.
func parseDescriptors(b []byte) (Sense, error) {
	if len(b) < 8 {
		return Sense{}, fmt.Errorf("descriptor format sense of %d bytes", len(b))
	}
	s := Sense{
		Descriptor: true,
		Deferred:   b[0]&0x7f == 0x73,
		Key:        SenseKey(b[1] & 0x0f),
		ASC:        ASC(binary.BigEndian.Uint16(b[2:])),
	}
	if b[0]&0x80 != 0 || b[4]|b[5]|b[6] != 0 {
		return s, errors.New("reserved bits in the descriptor format header")
	}
	if want := int(b[7]) + 8; want != len(b) {
		return s, fmt.Errorf("ADDITIONAL SENSE LENGTH says %d bytes, there are %d", want, len(b))
	}
	for d := b[8:]; len(d) > 0; {
		if len(d) < 2 || len(d) < 2+int(d[1]) {
			return s, fmt.Errorf("truncated sense descriptor %x", d)
		}
		one := d[:2+int(d[1])]
		d = d[len(one):]
		if err := s.descriptor(one); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Sense) descriptor(d []byte) error {
	lengths := map[byte]int{0x00: 12, 0x01: 12, 0x02: 8, 0x03: 4, 0x05: 4}
	if want, ok := lengths[d[0]]; ok && want != len(d) {
		return fmt.Errorf("sense descriptor %#02x of %d bytes, must be %d", d[0], len(d), want)
	}
	switch d[0] {
	case 0x00:
		s.InfoValid, s.Info = d[2]&0x80 != 0, binary.BigEndian.Uint64(d[4:])
	case 0x01:
		s.CmdSpecific = binary.BigEndian.Uint64(d[4:])
	case 0x02:
		if d[4]&0x80 != 0 {
			s.keySpecific([3]byte(d[4:]))
		}
	case 0x03:
		s.FileMark, s.EOM, s.ILI = d[3]&0x80 != 0, d[3]&0x40 != 0, d[3]&0x20 != 0
	case 0x05:
		s.ILI = d[3]&0x20 != 0
	}
	return nil
}
