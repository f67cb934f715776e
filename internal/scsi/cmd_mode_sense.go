package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// MODE SENSE (6) and (10). SPC-4 r36f 6.11, 6.12.
func init() {
	register(Command{
		Op: 0x1a, Name: "MODE SENSE(6)", Access: pr.Read, Dir: DataIn, Flags: Standby | WhileSanitize,
		Usage: "1a 08 ff ff ff 00", Length: Field{4, 1},
		Run: func(t *Task) error { return t.modeSense(4) },
	})
	register(Command{
		Op: 0x5a, Name: "MODE SENSE(10)", Access: pr.Read, Dir: DataIn, Flags: Standby | WhileSanitize,
		Usage: "5a 18 ff ff 00 00 00 ff ff 00", Length: Field{7, 2},
		Run: func(t *Task) error { return t.modeSense(8) },
	})
}

// Page control values.
const (
	pageChangeable = 1
	pageDefault    = 2
	pageSaved      = 3
)

// modeSense answers with a header of 4 or 8 bytes, a block descriptor unless
// DBD is set, and the pages asked for.
func (t *Task) modeSense(header int) error {
	const bitDBD, bitLLBAA = 0x08, 0x10
	control, page, sub := t.CDB[2]>>6, t.CDB[2]&0x3f, t.CDB[3]
	if control == pageSaved {
		return ErrSavingNotSupported
	}
	list, known := t.conf.selectModePages(page, sub)
	switch {
	case !known:
		return ErrInvalidField.AtCDB(2, 5)
	case len(list) == 0:
		return ErrInvalidField.AtCDB(3, 7)
	}
	asked := *t.conf
	if control == pageDefault {
		asked.modeParams = asked.defaults
	}
	b := make([]byte, header, 256)
	long := t.CDB[1]&bitLLBAA != 0
	if t.CDB[1]&bitDBD == 0 {
		b = appendBlockDescriptor(b, t.conf, long)
	}
	descriptors := len(b) - header
	for _, p := range list {
		page := p.Bytes(&asked)
		if control == pageChangeable {
			page = p.mask(page)
		}
		b = append(b, page...)
	}
	if header == 4 {
		b[0], b[2], b[3] = byte(len(b)-1), t.conf.deviceSpecific(), byte(descriptors)
	} else {
		binary.BigEndian.PutUint16(b, uint16(len(b)-2))
		b[3] = t.conf.deviceSpecific()
		if long && descriptors > 0 {
			b[4] = 0x01 // LONGLBA
		}
		binary.BigEndian.PutUint16(b[6:], uint16(descriptors))
	}
	t.reply(b)
	return nil
}

// deviceSpecific is the DEVICE-SPECIFIC PARAMETER of the header. SBC-4 r22
// 6.5.1: DPO and FUA are taken everywhere.
func (f *conf) deviceSpecific() byte {
	const wp, dpoFUA = 0x80, 0x10
	if f.readOnly || f.swp {
		return wp | dpoFUA
	}
	return dpoFUA
}

const (
	shortDescriptor = 8
	longDescriptor  = 16
)

// appendBlockDescriptor is SBC-4 r22 6.5.2.
func appendBlockDescriptor(b []byte, f *conf, long bool) []byte {
	if long {
		b = binary.BigEndian.AppendUint64(b, f.blocks)
		b = append(b, 0, 0, 0, 0)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(min(f.blocks, 0xffffffff)))
	}
	return binary.BigEndian.AppendUint32(b, f.blockSize)
}
