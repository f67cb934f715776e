package initiator

// BytChk says what VERIFY compares with. SBC-4 r22 5.36.
type BytChk uint8

// BYTCHK values; 2 is reserved.
const (
	BytChkNone     BytChk = 0 // medium only
	BytChkBlocks   BytChk = 1 // with as many blocks from the initiator
	BytChkReserved BytChk = 2
	BytChkOneBlock BytChk = 3 // with one block, again and again
)

// Verify10 verifies a range; out is the data to compare with.
func Verify10(lba uint32, blocks uint16, b BytChk, f Flags, out []byte) Cmd {
	return dataOut(out, cdb10(0x2f, byte(f)|byte(b&3)<<1, lba, blocks))
}

// Verify12 verifies a range.
func Verify12(lba, blocks uint32, b BytChk, f Flags, out []byte) Cmd {
	return dataOut(out, cdb12(0xaf, byte(f)|byte(b&3)<<1, lba, blocks))
}

// Verify16 verifies a range.
func Verify16(lba uint64, blocks uint32, b BytChk, f Flags, out []byte) Cmd {
	return dataOut(out, cdb16(0x8f, byte(f)|byte(b&3)<<1, lba, blocks))
}

// WriteVerify10 writes and verifies. SBC-4 r22 5.x "WRITE AND VERIFY".
func WriteVerify10(lba uint32, out []byte, blockSize int, b BytChk, f Flags) Cmd {
	return dataOut(out, cdb10(0x2e, byte(f)|byte(b&3)<<1, lba, uint16(blocksOf(out, blockSize))))
}

// WriteVerify12 writes and verifies.
func WriteVerify12(lba uint32, out []byte, blockSize int, b BytChk, f Flags) Cmd {
	return dataOut(out, cdb12(0xae, byte(f)|byte(b&3)<<1, lba, uint32(blocksOf(out, blockSize))))
}

// WriteVerify16 writes and verifies.
func WriteVerify16(lba uint64, out []byte, blockSize int, b BytChk, f Flags) Cmd {
	return dataOut(out, cdb16(0x8e, byte(f)|byte(b&3)<<1, lba, uint32(blocksOf(out, blockSize))))
}

// OrWrite16 combines blocks with what is there. SBC-4 r22 "ORWRITE (16)".
func OrWrite16(lba uint64, out []byte, blockSize int, f Flags) Cmd {
	return dataOut(out, cdb16(0x8b, byte(f), lba, uint32(blocksOf(out, blockSize))))
}

// CompareAndWrite replaces old by new if old is what is there; both have the same
// length. SBC-4 r22 5.3.
func CompareAndWrite(lba uint64, old, new []byte, blockSize int, f Flags) Cmd {
	c := cdb16(0x89, byte(f), lba, 0)
	c[13] = byte(blocksOf(old, blockSize))
	return dataOut(append(append([]byte(nil), old...), new...), c)
}

// WriteAtomic16 writes all or nothing. SBC-4 r22 "WRITE ATOMIC (16)". boundary is
// the ATOMIC BOUNDARY in blocks.
func WriteAtomic16(lba uint64, boundary uint16, out []byte, blockSize int, f Flags) Cmd {
	n := blocksOf(out, blockSize)
	c := cdb16(0x9c, byte(f), lba, 0)
	c[10], c[11] = byte(boundary>>8), byte(boundary)
	c[12], c[13] = byte(n>>8), byte(n)
	return dataOut(out, c)
}
