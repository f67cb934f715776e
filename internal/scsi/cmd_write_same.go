package scsi

import (
	"bytes"

	"nas-target/internal/pool"
	"nas-target/internal/pr"
)

// WRITE SAME (10) and (16). SBC-4 r22 5.52, 5.53. ANCHOR, PBDATA and LBDATA
// are refused by their bits.
func init() {
	same := func(op uint8, name, usage string, lba, blocks Field) {
		register(Command{
			Op: op, Name: name, Access: pr.Write, Dir: DataOut, Flags: Writes | Slow | AnyLength, Class: ClassWrite,
			Usage: usage, LBA: lba, Blocks: blocks,
			OutBytes: writeSameBytes, Run: runWriteSame,
		})
	}
	same(0x41, "WRITE SAME(10)", "41 08 ff ff ff ff 3f ff ff 00", Field{2, 4}, Field{7, 2})
	same(0x93, "WRITE SAME(16)", "93 09 ff ff ff ff ff ff ff ff ff ff ff ff 3f 00", Field{2, 8}, Field{10, 4})
}

const (
	bitUnmap = 0x08
	bitNDOB  = 0x01 // no data: write zeros
)

func writeSameBytes(t *Task) (int, error) {
	if n := t.blocks(); n == 0 || n > maxWriteSameBlocks { // WSNZ
		return 0, ErrInvalidField.AtCDB(int(t.cmd.Blocks.At), 7)
	}
	if t.CDB[1]&bitUnmap != 0 && !t.conf.thin {
		return 0, ErrInvalidField.AtCDB(1, 3)
	}
	if t.CDB[1]&bitNDOB != 0 {
		return 0, nil
	}
	return t.exactly(int(t.conf.blockSize))
}

// exactly is OutBytes for commands whose Data-Out must be n bytes, no more and
// no less: an initiator that thinks otherwise means another block size or
// another command.
func (t *Task) exactly(n int) (int, error) {
	if t.OutLen == uint32(n) {
		return n, nil
	}
	t.Want = int64(n)
	return 0, ErrInvalidIU
}

// runWriteSame deallocates only what then reads like the block: a block that
// is not zero is written although UNMAP allows otherwise. SBC-4 r22 4.7.3.4.4.
func runWriteSame(t *Task) error {
	u, all := t.unit, extent{t.lba(), t.blocks()}
	block := t.Out[:t.Need]
	var err error
	switch {
	case !isZero(block):
		err = u.repeat(t, all, block)
	case t.CDB[1]&bitUnmap != 0:
		err = u.discard(t, all)
	default:
		err = u.zero(t, all)
	}
	if err != nil {
		return err
	}
	return u.commit(false)
}

func isZero(p []byte) bool {
	for len(p) >= len(zeros) {
		if !bytes.Equal(p[:len(zeros)], zeros[:]) {
			return false
		}
		p = p[len(zeros):]
	}
	return bytes.Equal(p, zeros[:len(p)])
}

var zeros [4096]byte

// zero makes an extent read as zeros and keeps it allocated where the medium
// can do so by itself; commit follows.
func (u *Unit) zero(t *Task, e extent) error {
	if u.caps.zero == nil {
		return u.repeat(t, e, zeros[:u.conf.Load().blockSize])
	}
	return u.sweep(t, e, sweepBytes, u.zeroRaw)
}

// zeroRaw is zero for who holds the range.
func (u *Unit) zeroRaw(e extent) error {
	shift := u.conf.Load().shift
	u.touch(e)
	defer u.wrote(int(e.n << shift))
	return u.writeFailed(e.lba, u.caps.zero.WriteZeros(int64(e.lba)<<shift, int64(e.n)<<shift))
}

// repeat writes the same block over an extent; commit follows.
func (u *Unit) repeat(t *Task, e extent, block []byte) error {
	buf := pool.Get(int(min(e.n<<u.conf.Load().shift, chunkBytes)))
	defer buf.Release()
	for at := 0; at < len(buf.B); at += len(block) {
		copy(buf.B[at:], block)
	}
	return u.sweep(t, e, chunkBytes, func(e extent) error {
		return u.put(buf.B[:e.n<<u.conf.Load().shift], e.lba)
	})
}
