package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// REPORT LUNS. SPC-4 r36f 6.33. It answers through any LUN.
func init() {
	register(Command{
		Op: 0xa0, Name: "REPORT LUNS", Access: pr.Always, Dir: DataIn,
		Flags: NoUA | AnyLUN | Standby | Unavailable | Transition | WhileSanitize | WithoutPR,
		Usage: "a0 00 ff 00 00 00 ff ff ff ff 00 00", Length: Field{6, 4},
		Run: runReportLUNs,
	})
}

// SELECT REPORT values.
const (
	lunsAddressed = 0
	lunsWellKnown = 1
	lunsAll       = 2
)

func runReportLUNs(t *Task) error {
	it := t.itl.it
	v := it.view.Load()
	luns := v.luns
	switch t.CDB[2] {
	case lunsAddressed, lunsAll:
	case lunsWellKnown:
		luns = nil // there are no well known logical units
	default:
		return ErrInvalidField.AtCDB(2, 7)
	}
	b := make([]byte, 8, 8+8*len(luns))
	binary.BigEndian.PutUint32(b, uint32(8*len(luns)))
	for _, l := range luns {
		b = binary.BigEndian.AppendUint64(b, uint64(NewLUN(l)))
	}
	t.reply(b)
	for _, l := range v.luns {
		v.find(NewLUN(l)).dropUA(UALUNsChanged)
	}
	return nil
}
