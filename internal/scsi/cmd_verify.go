package scsi

import (
	"bytes"

	"nas-target/internal/pool"
	"nas-target/internal/pr"
)

// VERIFY and WRITE AND VERIFY (10), (12), (16). SBC-4 r22 5.36, 5.45.
func init() {
	verify := func(op uint8, name, usage, ignore string, lba, blocks Field) {
		register(Command{
			Op: op, Name: name, Access: pr.Read, Dir: DataOut, Flags: Slow, Class: ClassRead,
			Usage: usage, Ignore: ignore, LBA: lba, Blocks: blocks,
			OutBytes: verifyBytes, Run: runVerify,
		})
	}
	// Byte 1: DPO is tolerated, the obsolete RELADR too.
	verify(0x2f, "VERIFY(10)", "2f 16 ff ff ff ff 3f ff ff 00", "00 01 00 00 00 00 00 00 00 00", Field{2, 4}, Field{7, 2})
	verify(0xaf, "VERIFY(12)", "af 16 ff ff ff ff ff ff ff ff 3f 00", "00 01 00 00 00 00 00 00 00 00 00 00", Field{2, 4}, Field{6, 4})
	verify(0x8f, "VERIFY(16)", "8f 16 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00", "", Field{2, 8}, Field{10, 4})

	write := func(op uint8, name, usage, ignore string, lba, blocks Field) {
		register(Command{
			Op: op, Name: name, Access: pr.Write, Dir: DataOut, Flags: Writes | Slow, Class: ClassWrite,
			Usage: usage, Ignore: ignore, LBA: lba, Blocks: blocks,
			OutBytes: writeVerifyBytes, Run: runWriteVerify,
		})
	}
	write(0x2e, "WRITE AND VERIFY(10)", "2e 16 ff ff ff ff 3f ff ff 00", "00 01 00 00 00 00 00 00 00 00", Field{2, 4}, Field{7, 2})
	write(0xae, "WRITE AND VERIFY(12)", "ae 16 ff ff ff ff ff ff ff ff 3f 00", "00 01 00 00 00 00 00 00 00 00 00 00", Field{2, 4}, Field{6, 4})
	write(0x8e, "WRITE AND VERIFY(16)", "8e 16 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00", "", Field{2, 8}, Field{10, 4})
}

// BYTCHK values.
const (
	checkReadable = 0 // no data: the blocks can be read
	checkAll      = 1 // compare with as many blocks of data
	checkOne      = 3 // compare every block with one
)

func (t *Task) byteCheck() byte { return t.CDB[1] >> 1 & 3 }

func verifyBytes(t *Task) (int, error) {
	n := t.blocks()
	switch t.byteCheck() {
	case checkReadable:
		return 0, nil
	case checkAll:
		return int(n) << t.conf.shift, nil
	case checkOne:
		return int(min(n, 1)) << t.conf.shift, nil
	}
	return 0, ErrInvalidField.AtCDB(1, 2)
}

func writeVerifyBytes(t *Task) (int, error) {
	if t.byteCheck() > checkAll {
		return 0, ErrInvalidField.AtCDB(1, 2)
	}
	return t.writeBytes(), nil
}

// runVerify looks at the medium, not at a cache that may still differ from it.
func runVerify(t *Task) error {
	lba, n := t.lba(), t.blocks()
	if n == 0 {
		return nil
	}
	u := t.unit
	if t.conf.writeCache {
		if err := u.flush(); err != nil {
			return err
		}
	}
	switch t.byteCheck() {
	case checkAll:
		return t.compare(lba, n, t.Out[:t.Need], false, u.read)
	case checkOne:
		return t.compare(lba, n, t.Out[:t.Need], true, u.read)
	}
	return t.compare(lba, n, nil, false, u.read)
}

// runWriteVerify writes through to stable storage and reads back.
func runWriteVerify(t *Task) error {
	lba, p := t.lba(), t.Out[:t.Need]
	n := uint64(len(p)) >> t.conf.shift
	if n == 0 {
		return nil
	}
	u, held := t.unit, stripes(lba, n, t.conf.shift)
	u.ranges.lock(held) // a miscompare must not be another's write
	defer u.ranges.unlock(held)
	if err := u.writeHeld(p, lba, true); err != nil {
		return err
	}
	t.begun = true
	if t.byteCheck() == checkReadable {
		p = nil
	}
	return t.compare(lba, n, p, false, u.readHeld)
}

// chunkBytes is how much a command that walks over the medium handles at once,
// in bytes. Between two chunks it looks whether it may go on.
const chunkBytes = 1 << 20

func (t *Task) chunkBlocks() uint64 { return chunkBytes >> t.conf.shift }

// compare reads n blocks at lba and compares them with want: not at all if
// want is nil, each with the same block if repeat. INFORMATION of a miscompare
// is the block that differs. SBC-4 r22 4.18.
func (t *Task) compare(lba, n uint64, want []byte, repeat bool, read func([]byte, uint64) error) error {
	buf := pool.Get(int(min(n, t.chunkBlocks())) << t.conf.shift)
	defer buf.Release()
	size := int(t.conf.blockSize)
	for n > 0 {
		if err := t.goOn(); err != nil {
			return err
		}
		c := min(n, t.chunkBlocks())
		p := buf.B[:int(c)<<t.conf.shift]
		if err := read(p, lba); err != nil {
			return err
		}
		for i := 0; want != nil && i < len(p); i += size {
			if !bytes.Equal(p[i:i+size], want[:size]) {
				return ErrMiscompare.WithInfo(lba + uint64(i)>>t.conf.shift)
			}
			if !repeat {
				want = want[size:]
			}
		}
		lba, n = lba+c, n-c
	}
	return nil
}

// goOn tells a command that walks over the medium whether it still may: it
// ends early when it was aborted, or when its nexus lost the right to it, so
// that a fence does not wait for the whole walk. What it has changed by then
// stays changed, so the initiator is not told of a RESERVATION CONFLICT, which
// says that nothing was done: it gets ABORTED COMMAND, and the conflict when
// it tries again.
func (t *Task) goOn() error {
	x := t.itl
	x.mu.Lock()
	doomed := t.doomed
	x.mu.Unlock()
	if doomed {
		return errAborted
	}
	err := x.refusal(t.cmd, t.cmd.access(&t.CDB))
	if err == errConflict && t.begun {
		return ErrFencedMidway
	}
	return err
}
