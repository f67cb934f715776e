package initiator

// Reads: blocks of blockSize bytes. SBC-4 r22 5.x "READ (n) command".

// Read6 reads 1 to 256 blocks; 0 in the CDB means 256.
func Read6(lba uint32, blocks, blockSize int) Cmd {
	return dataIn(blocks*blockSize, cdb6(0x08, lba, uint8(blocks)))
}

// Read10 reads with 32-bit LBA and 16-bit length.
func Read10(lba uint32, blocks uint16, blockSize int, f Flags) Cmd {
	return dataIn(int(blocks)*blockSize, cdb10(0x28, byte(f), lba, blocks))
}

// Read12 reads with 32-bit LBA and length.
func Read12(lba, blocks uint32, blockSize int, f Flags) Cmd {
	return dataIn(int(blocks)*blockSize, cdb12(0xa8, byte(f), lba, blocks))
}

// Read16 reads with 64-bit LBA.
func Read16(lba uint64, blocks uint32, blockSize int, f Flags) Cmd {
	return dataIn(int(blocks)*blockSize, cdb16(0x88, byte(f), lba, blocks))
}

// Writes: the number of blocks follows from the data. SBC-4 r22 5.x.

// Write6 writes 1 to 256 blocks.
func Write6(lba uint32, out []byte, blockSize int) Cmd {
	return dataOut(out, cdb6(0x0a, lba, uint8(blocksOf(out, blockSize))))
}

// Write10 writes with 32-bit LBA and 16-bit length.
func Write10(lba uint32, out []byte, blockSize int, f Flags) Cmd {
	return dataOut(out, cdb10(0x2a, byte(f), lba, uint16(blocksOf(out, blockSize))))
}

// Write12 writes with 32-bit LBA and length.
func Write12(lba uint32, out []byte, blockSize int, f Flags) Cmd {
	return dataOut(out, cdb12(0xaa, byte(f), lba, uint32(blocksOf(out, blockSize))))
}

// Write16 writes with 64-bit LBA.
func Write16(lba uint64, out []byte, blockSize int, f Flags) Cmd {
	return dataOut(out, cdb16(0x8a, byte(f), lba, uint32(blocksOf(out, blockSize))))
}
