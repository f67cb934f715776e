package scsi

import "nas-target/internal/pr"

// TEST UNIT READY and REQUEST SENSE. SPC-4 r36f 6.47, 6.39.
func init() {
	register(Command{
		Op: 0x00, Name: "TEST UNIT READY", Access: pr.Status,
		Usage: "00 00 00 00 00 00",
		Run:   func(*Task) error { return nil }, // the checks before it are its work
	})
	register(Command{
		Op: 0x03, Name: "REQUEST SENSE", Access: pr.Always, Dir: DataIn,
		Flags: NoUA | AnyLUN | Standby | Unavailable | Transition | WhileSanitize | WithoutPR,
		Usage: "03 01 00 00 ff 00", Length: Field{4, 1},
		Run: runRequestSense,
	})
}

// runRequestSense returns as data, in the format that the DESC bit asks for,
// the first unit attention, which is thereby reported, or what an operation in
// progress has to tell.
func runRequestSense(t *Task) error {
	c := ErrNoSense
	switch {
	case t.unit == nil:
		c = ErrLUNNotSupported
	default:
		if ua := t.itl.firstUA(true, false); ua != nil {
			c = ua
		} else if n := t.unit.notReady(t); n != nil {
			c = n
		}
	}
	t.reply(c.AppendSense(nil, t.CDB[1]&1 != 0))
	return nil
}
