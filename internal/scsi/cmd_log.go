package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// LOG SENSE and LOG SELECT. SPC-4 r36f 6.8, 6.7.
func init() {
	register(Command{
		Op: 0x4d, Name: "LOG SENSE", Access: pr.Always, Dir: DataIn, Flags: Standby | WhileSanitize | WithoutPR,
		Usage: "4d 00 ff ff 00 ff ff ff ff 00", Length: Field{7, 2},
		// What counts space asks the file system.
		Defer: func(t *Task) bool { return t.CDB[2]&0x3f == logProvisioning },
		Run:   runLogSense,
	})
	register(Command{
		Op: 0x4c, Name: "LOG SELECT", Access: pr.Write, Flags: Standby,
		Usage: "4c 02 ff ff 00 00 00 00 00 00",
		Run:   runLogSelect,
	})
}

// Page control values of LOG SENSE: thresholds, cumulative values, and the
// defaults of both. No parameter of ours has thresholds or defaults.
const logCumulative = 1

const logProvisioning = 0x0c

func runLogSense(t *Task) error {
	control, code, sub := t.CDB[2]>>6, t.CDB[2]&0x3f, t.CDB[3]
	pointer := binary.BigEndian.Uint16(t.CDB[5:])
	if control != logCumulative {
		return ErrInvalidField.AtCDB(2, 7)
	}
	if sub == allSubpages && code == 0 {
		t.reply(t.unit.logSubpages())
		return nil
	}
	var page *logPage
	for _, p := range logPages {
		if p.Code == code && p.of(t.unit) {
			page = p
		}
	}
	switch {
	case page == nil:
		return ErrInvalidField.AtCDB(2, 5)
	case sub != 0:
		return ErrInvalidField.AtCDB(3, 7)
	}
	b, err := page.Append([]byte{code, 0, 0, 0}, t)
	if err != nil {
		return err
	}
	if pointer != 0 {
		if b = fromParameter(b, pointer); code == 0 || b == nil {
			return ErrInvalidField.AtCDB(5, 7)
		}
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	t.reply(b)
	return nil
}

// fromParameter leaves out the parameters before a code; nil if there is none
// behind it.
func fromParameter(b []byte, code uint16) []byte {
	for at := 4; at < len(b); at += 4 + int(b[at+3]) {
		if binary.BigEndian.Uint16(b[at:]) >= code {
			return append(b[:4], b[at:]...)
		}
	}
	return nil
}

// logSubpages is page 00h with subpage FFh: every page and subpage.
func (u *Unit) logSubpages() []byte {
	const bitSPF = 0x40
	b := []byte{bitSPF, allSubpages, 0, 0, 0, 0, 0, allSubpages}
	for _, p := range logPages {
		if p.Code != 0 && p.of(u) {
			b = append(b, p.Code, 0)
		}
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return b
}

// runLogSelect resets (PCR) parameters that count; there are none, so it has
// nothing to do. Setting parameters, or saving them, is refused by the bits.
func runLogSelect(t *Task) error {
	code, sub := t.CDB[2]&0x3f, t.CDB[3]
	if code == 0 && sub == 0 {
		return nil
	}
	for _, p := range logPages {
		if p.Code == code && sub == 0 && p.of(t.unit) {
			return nil
		}
	}
	return ErrInvalidField.AtCDB(2, 5)
}
