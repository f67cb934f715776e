package scsi

import "nas-target/internal/pr"

// READ DEFECT DATA (10) and (12). SBC-4 r22 5.23, 5.24. The lists are empty:
// storage below takes care of its defects.
func init() {
	register(Command{
		Op: 0x37, Name: "READ DEFECT DATA(10)", Access: pr.Read, Dir: DataIn,
		Usage: "37 00 1f 00 00 00 00 ff ff 00", Length: Field{7, 2},
		Run: func(t *Task) error { t.reply([]byte{0, t.CDB[2], 0, 0}); return nil },
	})
	register(Command{
		Op: 0xb7, Name: "READ DEFECT DATA(12)", Access: pr.Read, Dir: DataIn,
		Usage: "b7 1f ff ff ff ff ff ff ff ff 00 00", Length: Field{6, 4},
		Run: func(t *Task) error { t.reply([]byte{0, t.CDB[1], 0, 0, 0, 0, 0, 0}); return nil },
	})
}
