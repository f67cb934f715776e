package initiator

import "encoding/binary"

// This file and the cmd_*.go files build CDBs. A builder returns a Cmd with CDB
// and transfer set; the caller may change anything before sending it. Sizes are
// in bytes unless a name says blocks.

// Flags are the bits of byte 1 that reads and writes share. SBC-4 r22 5.x.
type Flags uint8

// Bits of byte 1 of READ and WRITE (10) and longer.
const (
	FUA Flags = 0x08
	DPO Flags = 0x10
)

// Protect is RDPROTECT, WRPROTECT or VRPROTECT in its place.
func Protect(v uint8) Flags { return Flags(v << 5) }

// cdb6 to cdb16 lay out the common forms: opcode, byte 1, LBA, length.
func cdb6(op byte, lba uint32, n uint8) []byte {
	return []byte{op, byte(lba >> 16 & 0x1f), byte(lba >> 8), byte(lba), n, 0}
}

func cdb10(op, flags byte, lba uint32, n uint16) []byte {
	c := make([]byte, 10)
	c[0], c[1] = op, flags
	binary.BigEndian.PutUint32(c[2:], lba)
	binary.BigEndian.PutUint16(c[7:], n)
	return c
}

func cdb12(op, flags byte, lba, n uint32) []byte {
	c := make([]byte, 12)
	c[0], c[1] = op, flags
	binary.BigEndian.PutUint32(c[2:], lba)
	binary.BigEndian.PutUint32(c[6:], n)
	return c
}

func cdb16(op, flags byte, lba uint64, n uint32) []byte {
	c := make([]byte, 16)
	c[0], c[1] = op, flags
	binary.BigEndian.PutUint64(c[2:], lba)
	binary.BigEndian.PutUint32(c[10:], n)
	return c
}

// NoData is a command with a CDB alone.
func NoData(cdb ...byte) Cmd { return Cmd{CDB: cdb, Attr: Simple} }

func dataIn(n int, cdb []byte) Cmd      { return Cmd{CDB: cdb, In: n, Attr: Simple} }
func dataOut(out, cdb []byte) Cmd       { return Cmd{CDB: cdb, Out: out, Attr: Simple} }
func blocksOf(out []byte, size int) int { return len(out) / size }
