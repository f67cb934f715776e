package pdu

import (
	"encoding/binary"
	"hash/crc32"
)

// DigestLen is the length of a header or data digest on the wire.
const DigestLen = 4

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeros      [4]byte
)

// Digest is a CRC32C over bytes in their order on the wire, §13.1. The zero
// value is that of no bytes.
type Digest uint32

// HeaderDigest returns the digest of a header and the additional header
// segments behind it.
func HeaderDigest(h *BHS, ahs []byte) Digest {
	return Digest(0).Update(h[:]).Update(ahs)
}

// DataDigest returns the digest of a whole data segment and its zero padding.
func DataDigest(data []byte) Digest {
	return Digest(0).Update(data).Update(zeros[:Pad(len(data))])
}

// Update returns the digest of what d covers followed by p.
func (d Digest) Update(p []byte) Digest {
	return Digest(crc32.Update(uint32(d), castagnoli, p))
}

// Wire returns the digest as it is sent: the reflected CRC in little-endian
// order.
func (d Digest) Wire() (b [DigestLen]byte) {
	binary.LittleEndian.PutUint32(b[:], uint32(d))
	return b
}

// Append appends the digest as it is sent.
func (d Digest) Append(dst []byte) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(d))
}

// WireDigest returns the digest that was received as b.
func WireDigest(b [DigestLen]byte) Digest {
	return Digest(binary.LittleEndian.Uint32(b[:]))
}
