package scsi

import (
	"nas-target/internal/pool"
	"nas-target/internal/pr"
)

// PRE-FETCH (10) and (16). SBC-4 r22 5.14: CONDITION MET says that all of the
// range has been brought closer.
func init() {
	prefetch := func(op uint8, name, usage, ignore string, lba, blocks Field) {
		register(Command{
			Op: op, Name: name, Access: pr.Read, Flags: Slow | AnyLength, Class: ClassRead,
			Usage: usage, Ignore: ignore, LBA: lba, Blocks: blocks,
			Run: runPrefetch,
		})
	}
	// Byte 1: IMMED; the obsolete RELADR is not looked at.
	prefetch(0x34, "PRE-FETCH(10)", "34 02 ff ff ff ff 3f ff ff 00", "00 01 00 00 00 00 00 00 00 00", Field{2, 4}, Field{7, 2})
	prefetch(0x90, "PRE-FETCH(16)", "90 02 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00", "00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00", Field{2, 8}, Field{10, 4})
}

// maxPrefetch bounds how much one PRE-FETCH reads, in bytes.
const maxPrefetch = 16 << 20

// runPrefetch reads the range, which leaves it in the page cache, up to a
// bound. With IMMED too: the bound keeps it short.
func runPrefetch(t *Task) error {
	lba, n := t.lba(), t.blocks()
	if n == 0 {
		n = t.conf.blocks - lba
	}
	end := error(errCondMet)
	if most := uint64(maxPrefetch) >> t.conf.shift; n > most {
		n, end = most, nil
	}
	buf := pool.Get(int(min(n, t.chunkBlocks())) << t.conf.shift)
	defer buf.Release()
	for n > 0 {
		if err := t.goOn(); err != nil {
			return err
		}
		c := min(n, t.chunkBlocks())
		if err := t.unit.read(buf.B[:int(c)<<t.conf.shift], lba); err != nil {
			return err
		}
		lba, n = lba+c, n-c
	}
	return end
}
