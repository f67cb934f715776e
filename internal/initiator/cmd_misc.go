package initiator

import (
	"context"
	"encoding/binary"
)

// TestUnitReady is TEST UNIT READY. SPC-4 r36f 6.46.
func TestUnitReady() Cmd { return NoData(0x00, 0, 0, 0, 0, 0) }

// RequestSense asks for sense data as parameter data; descriptor selects the
// format. SPC-4 r36f 6.38.
func RequestSense(descriptor bool, alloc uint8) Cmd {
	return dataIn(int(alloc), []byte{0x03, bit(descriptor, 0), 0, 0, alloc, 0})
}

// RequestSense runs REQUEST SENSE and decodes the answer.
func (u *Unit) RequestSense(ctx context.Context, descriptor bool) (Sense, error) {
	r, err := u.Run(ctx, RequestSense(descriptor, maxSense))
	if err != nil {
		return Sense{}, err
	}
	return ParseSense(r.Data)
}

// bit is 1<<n when set.
func bit(set bool, n uint) byte {
	if set {
		return 1 << n
	}
	return 0
}

// StartStop is START STOP UNIT. SBC-4 r22 5.x.
type StartStop struct {
	Immed, NoFlush, LoadEject, Start bool
	PowerCondition, Modifier         uint8
}

// Cmd builds the command.
func (s StartStop) Cmd() Cmd {
	return NoData(0x1b, bit(s.Immed, 0), 0, s.Modifier&0x0f,
		s.PowerCondition<<4|bit(s.NoFlush, 2)|bit(s.LoadEject, 1)|bit(s.Start, 0), 0)
}

// PreventAllow is PREVENT ALLOW MEDIUM REMOVAL.
func PreventAllow(prevent bool) Cmd { return NoData(0x1e, 0, 0, 0, bit(prevent, 0), 0) }

// SyncCache10 flushes a range; 0 blocks reach to the end of the medium.
func SyncCache10(lba uint32, blocks uint16, immed bool) Cmd {
	return Cmd{CDB: cdb10(0x35, bit(immed, 1), lba, blocks), Attr: Simple}
}

// SyncCache16 flushes a range; 0 blocks reach to the end of the medium.
func SyncCache16(lba uint64, blocks uint32, immed bool) Cmd {
	return Cmd{CDB: cdb16(0x91, bit(immed, 1), lba, blocks), Attr: Simple}
}

// PreFetch10 asks to cache a range.
func PreFetch10(lba uint32, blocks uint16, immed bool) Cmd {
	return Cmd{CDB: cdb10(0x34, bit(immed, 1), lba, blocks), Attr: Simple}
}

// PreFetch16 asks to cache a range.
func PreFetch16(lba uint64, blocks uint32, immed bool) Cmd {
	return Cmd{CDB: cdb16(0x90, bit(immed, 1), lba, blocks), Attr: Simple}
}

// SelfTest is SEND DIAGNOSTIC with the default self-test. SPC-4 r36f 6.42.
func SelfTest() Cmd { return NoData(0x1d, 0x04, 0, 0, 0, 0) }

// SendDiagnostic sends diagnostic pages.
func SendDiagnostic(pages []byte) Cmd {
	return dataOut(pages, []byte{0x1d, 0x10, 0, byte(len(pages) >> 8), byte(len(pages)), 0})
}

// ReceiveDiagnostic asks for one diagnostic page.
func ReceiveDiagnostic(page uint8, alloc uint16) Cmd {
	return dataIn(int(alloc), []byte{0x1c, 0x01, page, byte(alloc >> 8), byte(alloc), 0})
}

// ReadDefectData10 asks for the defect lists. SBC-4 r22 "READ DEFECT DATA (10)".
func ReadDefectData10(primary, grown bool, alloc uint16) Cmd {
	c := make([]byte, 10)
	c[0], c[2] = 0x37, bit(primary, 4)|bit(grown, 3)
	binary.BigEndian.PutUint16(c[7:], alloc)
	return dataIn(int(alloc), c)
}

// ReadDefectData12 asks for the defect lists.
func ReadDefectData12(primary, grown bool, alloc uint32) Cmd {
	c := make([]byte, 12)
	c[0], c[1] = 0xb7, bit(primary, 4)|bit(grown, 3)
	binary.BigEndian.PutUint32(c[6:], alloc)
	return dataIn(int(alloc), c)
}

// WriteBuffer is WRITE BUFFER; mode 0Ah writes the echo buffer. SPC-4 r36f 6.49.
func WriteBuffer(mode, id uint8, offset uint32, data []byte) Cmd {
	return dataOut(data, bufferCDB(0x3b, mode, id, offset, len(data)))
}

// ReadBuffer is READ BUFFER; mode 0Bh is the echo buffer's descriptor.
func ReadBuffer(mode, id uint8, offset, alloc uint32) Cmd {
	return dataIn(int(alloc), bufferCDB(0x3c, mode, id, offset, int(alloc)))
}

func bufferCDB(op, mode, id byte, offset uint32, n int) []byte {
	return []byte{op, mode & 0x1f, id, byte(offset >> 16), byte(offset >> 8), byte(offset),
		byte(n >> 16), byte(n >> 8), byte(n), 0}
}

// LogSense asks for a log page. SPC-4 r36f 6.8. pc is the page control field.
func LogSense(pc, page, subpage uint8, alloc uint16) Cmd {
	c := make([]byte, 10)
	c[0], c[2], c[3] = 0x4d, pc<<6|page&0x3f, subpage
	binary.BigEndian.PutUint16(c[7:], alloc)
	return dataIn(int(alloc), c)
}

// LogSelect resets counters (PCR) or sends parameters.
func LogSelect(pcr bool, pc, page, subpage uint8, data []byte) Cmd {
	c := make([]byte, 10)
	c[0], c[1], c[2], c[3] = 0x4c, bit(pcr, 1), pc<<6|page&0x3f, subpage
	binary.BigEndian.PutUint16(c[7:], uint16(len(data)))
	return dataOut(data, c)
}

// Sanitize service actions. SBC-4 r22 5.30.
const (
	SanitizeOverwrite   uint8 = 0x01
	SanitizeBlockErase  uint8 = 0x02
	SanitizeCryptoErase uint8 = 0x03
	SanitizeExitFailure uint8 = 0x1f
)

// Sanitize is SANITIZE; param is the overwrite parameter list.
func Sanitize(sa uint8, immed, ause bool, param []byte) Cmd {
	c := make([]byte, 10)
	c[0], c[1] = 0x48, bit(immed, 7)|bit(ause, 5)|sa&0x1f
	binary.BigEndian.PutUint16(c[7:], uint16(len(param)))
	return dataOut(param, c)
}

// OverwriteList is the parameter list of SANITIZE overwrite: the pattern is
// written count times.
func OverwriteList(count uint8, invert bool, pattern []byte) []byte {
	b := []byte{bit(invert, 7) | count&0x1f, 0, byte(len(pattern) >> 8), byte(len(pattern))}
	return append(b, pattern...)
}

// FormatUnit is FORMAT UNIT; param non-nil sets FMTDATA. SBC-4 r22 5.4.
func FormatUnit(longList bool, param []byte) Cmd {
	return dataOut(param, []byte{0x04, bit(longList, 5) | bit(param != nil, 4), 0, 0, 0, 0})
}
