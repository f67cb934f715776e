package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// UNMAP. SBC-4 r22 5.35. ANCHOR is refused by its bit: nothing is anchored.
func init() {
	register(Command{
		Op: 0x42, Name: "UNMAP", Access: pr.Write, Dir: DataOut, Flags: Writes | Slow, Class: ClassUnmap,
		Usage: "42 00 00 00 00 00 3f ff ff 00", Length: Field{7, 2},
		Enabled: isThin, Run: runUnmap,
	})
}

func isThin(u *Unit) bool { return u.conf.Load().thin }

// extent is a range of blocks.
type extent struct{ lba, n uint64 }

// within reports whether e lies inside a medium of so many blocks. Nothing at
// the very end is inside.
func (e extent) within(blocks uint64) bool { return e.lba <= blocks && e.n <= blocks-e.lba }

// beyond is the refusal of an extent that is not.
func (e extent) beyond(blocks uint64) *Check { return ErrLBAOutOfRange.WithInfo(max(e.lba, blocks)) }

// runUnmap checks the whole list before it touches anything.
func runUnmap(t *Task) error {
	list, err := t.parseUnmap(t.Out[:t.Need])
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := t.unit.discard(t, e); err != nil {
			return err
		}
	}
	return t.unit.commit(false)
}

// parseUnmap reads a parameter list: an 8-byte header, then 16 bytes per
// extent. What is cut off at the end does not count.
func (t *Task) parseUnmap(p []byte) ([]extent, error) {
	const header, size = 8, 16
	if len(p) == 0 {
		return nil, nil
	}
	if len(p) < header {
		return nil, ErrParameterListLength
	}
	n := min(int(binary.BigEndian.Uint16(p[2:])), len(p)-header) / size
	if n > maxUnmapDescriptors {
		return nil, ErrInvalidParameter.AtData(2, 7)
	}
	list, total := make([]extent, n), uint64(0)
	for i := range list {
		at := header + i*size
		e := extent{binary.BigEndian.Uint64(p[at:]), uint64(binary.BigEndian.Uint32(p[at+8:]))}
		if !e.within(t.conf.blocks) {
			return nil, e.beyond(t.conf.blocks)
		}
		if total += e.n; total > maxBulkBlocks {
			return nil, ErrInvalidParameter.AtData(at+8, 7)
		}
		list[i] = e
	}
	return list, nil
}

// sweepBytes is how much of the medium one call discards or zeroes, in bytes.
const sweepBytes = 64 << 20

// sweep calls f for pieces of e, each with its range shared, as long as t may
// go on.
func (u *Unit) sweep(t *Task, e extent, piece uint64, f func(extent) error) error {
	shift := u.conf.Load().shift
	for e.n > 0 {
		if err := t.goOn(); err != nil {
			return err
		}
		if c := u.conf.Load().failed; c != nil {
			return c
		}
		now := extent{e.lba, min(e.n, piece>>shift)}
		if err := u.sharing(now, func() error { return f(now) }); err != nil {
			return err
		}
		t.begun = true
		e.lba, e.n = e.lba+now.n, e.n-now.n
	}
	return nil
}

// sharing calls f with an extent shared.
func (u *Unit) sharing(e extent, f func() error) error {
	s := u.ranges.share(stripes(e.lba, e.n, u.conf.Load().shift))
	defer u.ranges.unshare(s)
	return f()
}

// discard makes an extent read as zeros and gives its space back; commit
// follows.
func (u *Unit) discard(t *Task, e extent) error {
	return u.sweep(t, e, sweepBytes, u.discardRaw)
}

// discardRaw is discard for who holds the range.
func (u *Unit) discardRaw(e extent) error {
	shift := u.conf.Load().shift
	u.touch(e)
	return u.writeFailed(e.lba, u.caps.discard.Discard(int64(e.lba)<<shift, int64(e.n)<<shift))
}
