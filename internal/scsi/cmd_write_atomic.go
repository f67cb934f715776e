package scsi

import "nas-target/internal/pr"

// WRITE ATOMIC(16): all of its blocks or none of them, for every other command
// and after every power cut. SBC-4 r22 5.48, 4.29. It exists where the medium
// promises that. Atomic boundaries, which cut a write into parts that may be
// torn from each other, are refused by their bits.
func init() {
	register(Command{
		Op: 0x9c, Name: "WRITE ATOMIC(16)", Access: pr.Write, Dir: DataOut, Flags: Writes | Slow, Class: ClassWrite,
		Usage: "9c 18 ff ff ff ff ff ff ff ff 00 00 ff ff 3f 00", LBA: Field{2, 8}, Blocks: Field{12, 2},
		Enabled: func(u *Unit) bool { return u.conf.Load().atomic.most > 0 }, OutBytes: writeAtomicBytes, Run: runWriteAtomic,
	})
}

// atomicity is what a medium writes untorn, in blocks: up to most of them, in
// lengths and at addresses that are multiples of unit. most is 0 where nothing
// is promised.
type atomicity struct{ unit, most uint64 }

// atomicityOf translates the medium's promise, as far as a CDB can ask for it.
func (c *caps) atomicityOf(shift uint8, maxTransfer uint64) atomicity {
	if c.atomic == nil {
		return atomicity{}
	}
	const longest = 1<<16 - 1 // what fits the CDB
	unit, most := c.atomic.Atomic()
	block := int64(1) << shift
	if most < max(unit, block) || unit%block != 0 && block%unit != 0 {
		return atomicity{}
	}
	a := atomicity{unit: uint64(max(unit, block)) >> shift}
	a.most = min(uint64(most)>>shift, maxTransfer, longest)
	a.most -= a.most % a.unit
	return a
}

func writeAtomicBytes(t *Task) (int, error) {
	a, n := t.conf.atomic, t.blocks()
	switch {
	case n > a.most, n%a.unit != 0:
		return 0, ErrInvalidField.AtCDB(12, 7)
	case t.lba()%a.unit != 0:
		return 0, ErrInvalidField.AtCDB(2, 7)
	}
	return t.exactly(int(n) << t.conf.shift)
}

func runWriteAtomic(t *Task) error {
	u, lba, n := t.unit, t.lba(), t.blocks()
	if n == 0 {
		return nil
	}
	mask := stripes(lba, n, t.conf.shift)
	u.ranges.lock(mask) // nobody reads a part of it
	defer u.ranges.unlock(mask)
	u.touch(extent{lba, n})
	err := u.writeFailed(lba, u.caps.atomic.WriteAtomic(t.Out[:t.Need], int64(lba)<<t.conf.shift))
	u.wrote(t.Need)
	if err != nil {
		return err
	}
	return u.commit(t.durable())
}
