package scsi

import (
	"nas-target/internal/pool"
	"nas-target/internal/pr"
)

// COMPARE AND WRITE and ORWRITE(16): read, decide, write, as one event for
// every command of every nexus. SBC-4 r22 5.3, 5.13.
func init() {
	register(Command{
		Op: 0x89, Name: "COMPARE AND WRITE", Access: pr.Write, Dir: DataOut, Flags: Writes | Slow, Class: ClassWrite,
		Usage: "89 18 ff ff ff ff ff ff ff ff 00 00 00 ff 3f 00", LBA: Field{2, 8}, Blocks: Field{13, 1},
		OutBytes: compareAndWriteBytes, Run: runCompareAndWrite,
	})
	register(Command{
		Op: 0x8b, Name: "ORWRITE(16)", Access: pr.Write, Dir: DataOut, Flags: Writes | Slow, Class: ClassWrite,
		Usage: "8b 18 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00", LBA: Field{2, 8}, Blocks: Field{10, 4},
		OutBytes: func(t *Task) (int, error) { return t.exactly(int(t.blocks()) << t.conf.shift) },
		Run:      runOrWrite,
	})
}

func compareAndWriteBytes(t *Task) (int, error) {
	n := t.blocks()
	switch {
	case n == 0 && t.OutLen == 0:
		return 0, nil
	case n == 0:
		return 0, ErrInvalidField.AtCDB(13, 7) // data for no block: a count that did not fit the field
	case n > maxCompareBlocks:
		return 0, ErrInvalidField.AtCDB(13, 7)
	}
	return t.exactly(2 * int(n) << t.conf.shift)
}

// runCompareAndWrite compares with the first half of the data and writes the
// second. INFORMATION of a miscompare is the offset of the first byte of the
// data that differs.
func runCompareAndWrite(t *Task) error {
	return t.modify(func(have []byte) ([]byte, error) {
		verify, write := t.Out[:len(have)], t.Out[len(have):t.Need]
		for i := range have {
			if have[i] != verify[i] {
				return nil, ErrMiscompare.WithInfo(uint64(i))
			}
		}
		return write, nil
	})
}

func runOrWrite(t *Task) error {
	return t.modify(func(have []byte) ([]byte, error) {
		for i, v := range t.Out[:t.Need] {
			have[i] |= v
		}
		return have, nil
	})
}

// modify reads the command's range and writes what f makes of it, alone in
// the range from the first to the last.
func (t *Task) modify(f func(have []byte) (write []byte, err error)) error {
	u, lba, n := t.unit, t.lba(), t.blocks()
	if n == 0 {
		return nil
	}
	buf := pool.Get(int(n) << t.conf.shift)
	defer buf.Release()
	mask := stripes(lba, n, t.conf.shift)
	u.ranges.lock(mask)
	defer u.ranges.unlock(mask)
	if err := u.readHeld(buf.B, lba); err != nil {
		return err
	}
	p, err := f(buf.B)
	if err != nil {
		return err
	}
	return u.writeHeld(p, lba, t.durable())
}
