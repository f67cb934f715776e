package scsi

import "nas-target/internal/pr"

// READ (6), (10), (12), (16). SBC-4 r22 5.15 and neighbours.
func init() {
	read := func(op uint8, name, usage, ignore string, lba, blocks Field) {
		register(Command{
			Op: op, Name: name, Access: pr.Read, Dir: DataIn, Class: ClassRead,
			Usage: usage, Ignore: ignore, LBA: lba, Blocks: blocks,
			Defer: (*Task).readThrough, Run: runRead,
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

// readThrough reports whether the data must come from stable storage: what a
// write cache of ours holds goes there first.
func (t *Task) readThrough() bool { return t.fua() && t.conf.writeCache }

// runRead places the data once: from the medium into the buffer that goes out.
func runRead(t *Task) error {
	u, shift := t.unit, t.conf.shift
	lba, n := t.lba(), t.blocks()
	if t.readThrough() {
		if err := u.flush(); err != nil {
			return err
		}
	}
	p := t.Reserve(int(n) << shift)
	if len(p) == 0 {
		return nil
	}
	s, err := t.share()
	if err != nil {
		return err
	}
	defer u.ranges.unshare(s)
	if t.hurried && u.caps.hasty != nil {
		if ok, err := u.caps.hasty.TryReadAt(p, int64(lba)<<shift); ok || err != nil {
			return readFailed(lba, err)
		}
		return errElsewhere
	}
	return u.readHeld(p, lba)
}

// share takes the command's range for a plain read or write.
func (t *Task) share() (*lockSlot, error) {
	mask := stripes(t.lba(), t.blocks(), t.conf.shift)
	if s := t.unit.ranges.tryShare(mask); s != nil {
		return s, nil
	}
	if t.hurried {
		return nil, errElsewhere
	}
	return t.unit.ranges.share(mask), nil
}

// read fills p with whole blocks from lba on.
func (u *Unit) read(p []byte, lba uint64) error {
	shift := u.conf.Load().shift
	s := u.ranges.share(stripes(lba, uint64(len(p))>>shift, shift))
	defer u.ranges.unshare(s)
	return u.readHeld(p, lba)
}

// readHeld is read for who holds the range; p may end inside a block.
func (u *Unit) readHeld(p []byte, lba uint64) error {
	shift := u.conf.Load().shift
	n, err := u.medium.ReadAt(p, int64(lba)<<shift)
	return readFailed(lba+uint64(n)>>shift, err)
}

func readFailed(lba uint64, err error) error {
	if err == nil {
		return nil
	}
	return classify(opRead, lba, err)
}
