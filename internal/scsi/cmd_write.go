package scsi

import "nas-target/internal/pr"

// WRITE (6), (10), (12), (16). SBC-4 r22 5.40 and neighbours.
func init() {
	write := func(op uint8, name, usage, ignore string, lba, blocks Field) {
		register(Command{
			Op: op, Name: name, Access: pr.Write, Dir: DataOut, Class: ClassWrite, Flags: Writes,
			Usage: usage, Ignore: ignore, LBA: lba, Blocks: blocks,
			Defer: (*Task).durable, Run: runWrite,
		})
	}
	write(0x0a, "WRITE(6)", "0a 1f ff ff ff 00", "00 e0 00 00 00 00", lba6, Field{4, 1})
	write(0x2a, "WRITE(10)", "2a 18 ff ff ff ff 3f ff ff 00", "00 02 00 00 00 00 00 00 00 00", Field{2, 4}, Field{7, 2})
	write(0xaa, "WRITE(12)", "aa 18 ff ff ff ff ff ff ff ff 3f 00", "00 02 00 00 00 00 00 00 00 00 00 00", Field{2, 4}, Field{6, 4})
	write(0x8a, "WRITE(16)", "8a 18 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00", "00 02 00 00 00 00 00 00 00 00 00 00 00 00 00 00", Field{2, 8}, Field{10, 4})
}

// durable reports whether the data must be on stable storage before GOOD:
// FUA, or no write cache at all.
func (t *Task) durable() bool { return t.fua() || !t.conf.writeCache }

// runWrite hands exactly the command's blocks to the medium.
func runWrite(t *Task) error {
	lba := t.lba()
	p := t.Out[:t.Need]
	if len(p) == 0 {
		return nil
	}
	s, err := t.share()
	if err != nil {
		return err
	}
	defer t.unit.ranges.unshare(s)
	return t.unit.writeHeld(p, lba, t.durable())
}

// writeHeld stores p at lba, through to stable storage if durable, for who
// holds the range.
func (u *Unit) writeHeld(p []byte, lba uint64, durable bool) error {
	if durable && u.caps.durable != nil {
		f := u.conf.Load()
		if f.failed != nil {
			return f.failed
		}
		u.touch(extent{lba, uint64(len(p)) >> f.shift})
		err := u.writeFailed(lba, u.caps.durable.WriteDurable(p, int64(lba)<<f.shift))
		u.wrote(len(p))
		return err
	}
	if err := u.put(p, lba); err != nil {
		return err
	}
	return u.commit(durable)
}

// put writes without a promise of durability: commit follows.
func (u *Unit) put(p []byte, lba uint64) error {
	f := u.conf.Load()
	if f.failed != nil {
		return f.failed
	}
	u.touch(extent{lba, uint64(len(p)) >> f.shift})
	n, err := u.medium.WriteAt(p, int64(lba)<<f.shift)
	u.wrote(n)
	return u.writeFailed(lba+uint64(n)>>f.shift, err)
}

// commit makes what was put durable, if it must be. The write cache may have
// been switched off since: either this sees it, or the flush that follows the
// switch covers what was put.
func (u *Unit) commit(durable bool) error {
	if durable || !u.conf.Load().writeCache {
		return u.flush()
	}
	return nil
}

// writeFailed classifies an error, and latches what must not be forgotten.
func (u *Unit) writeFailed(lba uint64, err error) error {
	if err == nil {
		return nil
	}
	c := classify(opWrite, lba, err)
	switch {
	case c.Is(ErrFlushFailed):
		u.latch(c)
	case c.Is(ErrNoSpace):
		u.checkSpace()
	}
	return c
}

// flush makes everything acknowledged so far durable. The first failure
// latches: pages that failed to reach the disk are marked clean, so a later
// success would prove nothing.
func (u *Unit) flush() error {
	if c := u.conf.Load().failed; c != nil {
		return c
	}
	if err := u.medium.Sync(); err != nil {
		c := classify(opFlush, 0, err)
		u.latch(c)
		return c
	}
	return nil
}

func (u *Unit) latch(c *Check) {
	first := false
	u.change(func(f *conf) {
		if f.failed == nil {
			f.failed, first = c, true
		}
	})
	if first && u.events.FlushFailed != nil {
		u.events.FlushFailed(u, c.internal)
	}
}

// ClearFailure lets u serve writes again after a failed flush. Only an
// operator may decide that: acknowledged writes may be gone.
func (u *Unit) ClearFailure() {
	if m, ok := u.medium.(interface{ ClearFailure() }); ok {
		m.ClearFailure()
	}
	u.change(func(f *conf) { f.failed = nil })
}
