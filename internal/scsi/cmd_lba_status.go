package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// GET LBA STATUS(16). SBC-4 r22 5.6. All states are reported: REPORT TYPE
// must be zero.
func init() {
	register(Command{
		Op: 0x9e, SA: 0x12, HasSA: true, Name: "GET LBA STATUS(16)", Access: pr.Read, Dir: DataIn, Flags: Slow,
		Usage: "9e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00", LBA: Field{2, 8}, Length: Field{10, 4},
		Run: runLBAStatus,
	})
}

const (
	lbaMapped      = 0
	lbaDeallocated = 1

	// maxStatusExtents bounds how many pieces of the medium one command looks
	// at.
	maxStatusExtents = 1024
)

func runLBAStatus(t *Task) error {
	const header, size = 8, 16
	b := make([]byte, header, 256)
	lba := t.lba()
	room := (int(t.cmd.Length.In(&t.CDB)) - header) / size
	last := byte(0xff)
	for range maxStatusExtents {
		n, state, err := t.unit.lbaStatus(lba)
		if err != nil {
			return err
		}
		if state != last {
			if len(b) > header && (len(b)-header)/size >= room {
				break
			}
			var d [size]byte
			binary.BigEndian.PutUint64(d[:], lba)
			d[12], last = state, state
			b = append(b, d[:]...)
		}
		// The count has 32 bits; the rest is for the next command.
		count := b[len(b)-size+8:]
		sum := uint64(binary.BigEndian.Uint32(count)) + n
		binary.BigEndian.PutUint32(count, uint32(min(sum, 0xffffffff)))
		if lba += n; lba == t.conf.blocks || sum > 0xffffffff {
			break
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	t.reply(b)
	return nil
}

// lbaStatus tells how many blocks from lba on are in one state. A block that is
// deallocated in part only is mapped.
func (u *Unit) lbaStatus(lba uint64) (n uint64, state byte, err error) {
	f := u.conf.Load()
	if !f.thin || u.caps.mapper == nil {
		return f.blocks - lba, lbaMapped, nil
	}
	off, size := int64(lba)<<f.shift, int64(f.blockSize)
	length, mapped, err := u.caps.mapper.NextExtent(off)
	if err != nil {
		return 0, 0, classify(opRead, lba, err)
	}
	switch {
	case !mapped && length >= size:
		n, state = uint64(length/size), lbaDeallocated
	default:
		n, state = uint64((length+size-1)/size), lbaMapped
	}
	return min(n, f.blocks-lba), state, nil
}
