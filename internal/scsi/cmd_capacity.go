package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// READ CAPACITY (10) and (16). SBC-4 r22 5.20, 5.21.
func init() {
	register(Command{
		Op: 0x25, Name: "READ CAPACITY(10)", Access: pr.Always, Dir: DataIn, Flags: WhileSanitize,
		Usage: "25 00 ff ff ff ff 00 00 01 00",
		Run:   runReadCapacity10,
	})
	register(Command{
		Op: 0x9e, SA: 0x10, HasSA: true, Name: "READ CAPACITY(16)", Access: pr.Always, Dir: DataIn, Flags: WhileSanitize,
		Usage: "9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", Length: Field{10, 4},
		Run: runReadCapacity16,
	})
}

// runReadCapacity10 takes the obsolete PMI bit: on a disk without tracks the
// last block is the answer to both of its questions.
func runReadCapacity10(t *Task) error {
	if t.CDB[8] == 0 && binary.BigEndian.Uint32(t.CDB[2:]) != 0 {
		return ErrInvalidField.AtCDB(2, 7)
	}
	var b [8]byte
	binary.BigEndian.PutUint32(b[0:], uint32(min(t.conf.blocks-1, 0xffffffff)))
	binary.BigEndian.PutUint32(b[4:], t.conf.blockSize)
	t.Reply(b[:], len(b))
	return nil
}

func runReadCapacity16(t *Task) error {
	const lbpme, lbprz = 0x80, 0x40
	var b [32]byte
	binary.BigEndian.PutUint64(b[0:], t.conf.blocks-1)
	binary.BigEndian.PutUint32(b[8:], t.conf.blockSize)
	b[13] = t.conf.physExp
	if t.conf.thin {
		b[14] = lbpme | lbprz
	}
	t.reply(b[:])
	return nil
}
