package scsi

import (
	"encoding/binary"
	"time"

	"nas-target/internal/pr"
)

// REPORT and SET TIMESTAMP. SPC-4 r36f 6.38, 6.46. The unit's clock is the
// host's until an initiator sets it, and again after a restart.
func init() {
	register(Command{
		Op: 0xa3, SA: 0x0f, HasSA: true, Name: "REPORT TIMESTAMP", Access: pr.Status, Dir: DataIn,
		Usage: "a3 0f 00 00 00 00 ff ff ff ff 00 00", Length: Field{6, 4},
		Run: runReportTimestamp,
	})
	register(Command{
		Op: 0xa4, SA: 0x0f, HasSA: true, Name: "SET TIMESTAMP", Access: pr.Write, Dir: DataOut, Flags: Slow,
		Usage: "a4 0f 00 00 00 00 ff ff ff ff 00 00", Length: Field{6, 4},
		Run: runSetTimestamp,
	})
}

// TIMESTAMP ORIGIN values.
const (
	setByCommand = 0x2
	setOtherwise = 0x3
)

func runReportTimestamp(t *Task) error {
	b := [12]byte{1: 10, 2: setOtherwise}
	if t.conf.clockSet {
		b[2] = setByCommand
	}
	var v [8]byte
	binary.BigEndian.PutUint64(v[:], uint64(time.Now().UnixMilli()+t.conf.clockOffset))
	copy(b[4:10], v[2:])
	t.reply(b[:])
	return nil
}

func runSetTimestamp(t *Task) error {
	p := t.Out[:t.Need]
	switch {
	case len(p) == 0:
		return nil
	case len(p) < 12:
		return ErrParameterListLength
	}
	var v [8]byte
	copy(v[2:], p[4:10])
	offset := int64(binary.BigEndian.Uint64(v[:])) - time.Now().UnixMilli()
	t.unit.change(func(f *conf) { f.clockSet, f.clockOffset = true, offset })
	t.unit.raiseOthers(t.itl, UATimestampChanged)
	return nil
}
