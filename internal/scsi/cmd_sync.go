package scsi

import "nas-target/internal/pr"

// SYNCHRONIZE CACHE (10) and (16). SBC-4 r22 5.33. The range is checked and
// then everything is flushed: storage has no way to flush a part.
func init() {
	row := func(op uint8, name, usage, ignore string, lba, blocks Field) {
		register(Command{
			Op: op, Name: name, Access: pr.Write, Flags: Slow | AnyLength, Class: ClassFlush,
			Usage: usage, Ignore: ignore, LBA: lba, Blocks: blocks,
			Run: runSync,
		})
	}
	// Byte 1: IMMED; the obsolete SYNC_NV and RELADR are not looked at.
	row(0x35, "SYNCHRONIZE CACHE(10)", "35 02 ff ff ff ff 3f ff ff 00", "00 05 00 00 00 00 00 00 00 00", Field{2, 4}, Field{7, 2})
	row(0x91, "SYNCHRONIZE CACHE(16)", "91 02 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00", "00 05 00 00 00 00 00 00 00 00 00 00 00 00 00 00", Field{2, 8}, Field{10, 4})
}

const bitImmed = 0x02 // byte 1 of SYNCHRONIZE CACHE and PRE-FETCH

func runSync(t *Task) error {
	u := t.unit
	if t.CDB[1]&bitImmed == 0 {
		return u.flush()
	}
	if c := u.conf.Load().failed; c != nil {
		return c
	}
	u.flushLater()
	return nil
}

// flushLater begins a flush that nobody waits for. Its failure latches and so
// meets the next command that depends on it. One flush at a time: what is
// asked for while one runs is served by one more.
func (u *Unit) flushLater() {
	b := &u.behind
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flushing {
		b.again = true
		return
	}
	b.flushing = true
	b.running.Go(func() {
		for more := true; more; {
			u.flush() // a failure is latched there
			b.mu.Lock()
			more, b.again = b.again, false
			b.flushing = more
			b.mu.Unlock()
		}
	})
}
