package scsi

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"nas-target/internal/pr"
)

// REPORT and SET IDENTIFYING INFORMATION: a note that initiators leave on the
// unit. SPC-4 r36f 6.32, 6.43.
func init() {
	register(Command{
		Op: 0xa3, SA: 0x05, HasSA: true, Name: "REPORT IDENTIFYING INFORMATION", Access: pr.Status, Dir: DataIn,
		Usage: "a3 05 00 00 00 00 ff ff ff ff fe 00", Length: Field{6, 4},
		Enabled: (*Unit).hasMemory, Run: runReportIdentifying,
	})
	register(Command{
		Op: 0xa4, SA: 0x06, HasSA: true, Name: "SET IDENTIFYING INFORMATION", Access: pr.Write, Dir: DataOut, Flags: Slow,
		Usage: "a4 06 00 00 00 00 ff ff ff ff fe 00", Length: Field{6, 4},
		Enabled: (*Unit).hasMemory, OutBytes: setIdentifyingBytes, Run: runSetIdentifying,
	})
}

// INFORMATION TYPE values, and how long what they name may be, in bytes.
const (
	infoBinary, maxInformation = 0x00, 64
	infoText, maxText          = 0x02, 256
	infoTypes                  = 0x7f
)

func runReportIdentifying(t *Task) error {
	m := t.unit.recall()
	b := make([]byte, 4, 4+maxText)
	switch t.CDB[10] >> 1 {
	case infoBinary:
		b = append(b, m.Information...)
	case infoText:
		b = append(b, m.Text...)
		if m.Text != "" {
			b = append(b, 0)
		}
	case infoTypes:
		for _, d := range [][2]uint16{{infoBinary, maxInformation}, {infoText, maxText}} {
			b = append(b, byte(d[0]<<1), 0, byte(d[1]>>8), byte(d[1]))
		}
	default:
		return ErrInvalidField.AtCDB(10, 7)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	t.reply(b)
	return nil
}

func setIdentifyingBytes(t *Task) (int, error) {
	most := 0
	switch t.CDB[10] >> 1 {
	case infoBinary:
		most = maxInformation
	case infoText:
		most = maxText
	default:
		return 0, ErrInvalidField.AtCDB(10, 7)
	}
	n := int(t.cmd.Length.In(&t.CDB))
	if n > most {
		return 0, ErrInvalidField.AtCDB(6, 7)
	}
	return n, nil
}

func runSetIdentifying(t *Task) error {
	p := t.Out[:t.Need]
	change := func(m *Memory) { m.Information = string(p) }
	if t.CDB[10]>>1 == infoText {
		if end := bytes.IndexByte(p, 0); len(p) > 0 && end < 0 {
			return ErrInvalidParameter.AtData(len(p)-1, 7) // not terminated
		} else if end >= 0 {
			p = p[:end]
		}
		if !utf8.Valid(p) {
			return ErrInvalidParameter.AtData(0, 7)
		}
		change = func(m *Memory) { m.Text = string(p) }
	}
	before := t.unit.recall()
	if err := t.unit.note(change); err != nil {
		return err
	}
	if t.unit.recall() != before {
		t.unit.raiseOthers(t.itl, UAIdentifierChanged)
	}
	return nil
}
