package scsi

import "nas-target/internal/pr"

// READ (6), (10), (12), (16). SBC-4 r22 5.15 and neighbours.
func init() {
	read := func(op uint8, name, usage, ignore string, lba, blocks Field) {
		register(Command{
			Op: op, Name: name, Access: pr.Read, Dir: DataIn, Class: ClassRead,
			Usage: usage, Ignore: ignore, LBA: lba, Blocks: blocks,
			Run: runRead,
		})
	}
	// Byte 1: DPO and FUA are evaluated, the obsolete FUA_NV and RELADR are not.
	read(0x08, "READ(6)", "08 1f ff ff ff 00", "00 e0 00 00 00 00", lba6, Field{4, 1})
	read(0x28, "READ(10)", "28 18 ff ff ff ff 3f ff ff 00", "00 02 00 00 00 00 00 00 00 00", Field{2, 4}, Field{7, 2})
	read(0xa8, "READ(12)", "a8 18 ff ff ff ff ff ff ff ff 3f 00", "00 02 00 00 00 00 00 00 00 00 00 00", Field{2, 4}, Field{6, 4})
	read(0x88, "READ(16)", "88 18 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00", "00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00", Field{2, 8}, Field{10, 4})
}

const bitFUA = 0x08 // CDB byte 1 of the 10, 12 and 16 byte forms

// fua reports whether the command demands non-volatile data. READ(6) and
// WRITE(6) have no such bit.
func (t *Task) fua() bool { return t.cmd.size > 6 && t.CDB[1]&bitFUA != 0 }

// runRead places the data once: from the medium into the buffer that goes out.
func runRead(t *Task) error {
	u, shift := t.unit, t.conf.shift
	lba, n := t.lba(), t.blocks()
	if t.fua() && t.conf.writeCache {
		if err := u.flush(); err != nil {
			return err
		}
	}
	p := t.Reserve(int(n) << shift)
	if len(p) == 0 {
		return nil
	}
	if _, err := u.medium.ReadAt(p, int64(lba)<<shift); err != nil {
		return classify(opRead, lba, err)
	}
	return nil
}
