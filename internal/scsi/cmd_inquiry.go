package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// INQUIRY. SPC-4 r36f 6.6. It answers whatever state the unit is in, and even
// where there is none.
func init() {
	register(Command{
		Op: 0x12, Name: "INQUIRY", Access: pr.Always, Dir: DataIn,
		Flags: NoUA | AnyLUN | Standby | Unavailable | Transition | WhileSanitize | WithoutPR,
		Usage: "12 01 ff ff ff 00", Length: Field{3, 2},
		Run: runInquiry,
	})
}

const (
	noUnit         = 0x7f // qualifier 011b, type 1Fh: no logical unit can be here
	notAccessible  = 0x20 // qualifier 001b: there is one, not through this port now
	bitEVPD        = 0x01
	inquiryLen     = 96
	versionSPC4    = 0x06
	responseFormat = 0x02
	bitHiSup       = 0x10
)

// versionDescriptors are SAM-5, iSCSI, SPC-4 and SBC-3, without a revision.
var versionDescriptors = [...]uint16{0x00a0, 0x0960, 0x0460, 0x04c0}

// peripheral is byte 0 of all INQUIRY data.
func (t *Task) peripheral() byte {
	switch {
	case t.unit == nil:
		return noUnit
	case t.accessState() == AccessUnavailable:
		return notAccessible
	}
	return 0
}

func runInquiry(t *Task) error {
	page := t.CDB[2]
	if t.CDB[1]&bitEVPD == 0 {
		if page != 0 {
			return ErrInvalidField.AtCDB(2, 7)
		}
		t.reply(t.inquiryData())
		return nil
	}
	if t.unit == nil {
		if page != 0 {
			return ErrInvalidField.AtCDB(2, 7)
		}
		t.reply([]byte{noUnit, 0, 0, 1, 0})
		return nil
	}
	p := t.vpd(page)
	if p == nil {
		return ErrInvalidField.AtCDB(2, 7)
	}
	t.reply(p)
	return nil
}

// inquiryData is the standard data. SPC-4 r36f 6.6.2.
func (t *Task) inquiryData() []byte {
	b := make([]byte, 8, inquiryLen)
	b[0] = t.peripheral()
	b[2] = versionSPC4
	b[3] = bitHiSup | responseFormat
	b[4] = inquiryLen - 5
	b[7] = 0x02 // CMDQUE
	var id Identity
	if t.unit != nil {
		id = t.unit.id
		const thirdPartyCopy = 0x08
		b[5] = t.unit.tpgs()<<4 | thirdPartyCopy
	} else {
		id.complete()
	}
	if len(t.itl.it.dev.Ports()) > 1 {
		b[6] = 0x10 // MULTIP
	}
	b = padded(b, id.Vendor, vendorLen)
	b = padded(b, id.Product, productLen)
	b = padded(b, id.Revision, revisionLen)
	b = b[:inquiryLen]
	for i, v := range versionDescriptors {
		binary.BigEndian.PutUint16(b[58+2*i:], v)
	}
	return b
}

// reply answers with p, cut to the CDB's allocation length.
func (t *Task) reply(p []byte) { t.Reply(p, int(t.cmd.Length.In(&t.CDB))) }
