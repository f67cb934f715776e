package pdu

import "encoding/binary"

var be = binary.BigEndian

const (
	// BHSLen is the length of the basic header segment in bytes, §11.2.1.
	BHSLen = 48
	// MaxAHSLen is the most bytes of additional header segments that one
	// PDU can announce.
	MaxAHSLen = 4 * 0xff
	// MaxDataSegmentLength is the largest data segment a header can announce.
	MaxDataSegmentLength = 1<<24 - 1
	// ReservedTag is the value of ITT and TTT that names no task.
	ReservedTag uint32 = 0xffffffff
)

// BHS is a basic header segment as it stands on the wire.
type BHS [BHSLen]byte

// Opcode returns the opcode without the immediate bit.
func (h *BHS) Opcode() Opcode { return Opcode(h[0] & 0x3f) }

// Immediate returns the I bit. Only requests have one.
func (h *BHS) Immediate() bool { return h[0]&0x40 != 0 }

// Final returns bit 7 of byte 1: F, or T in the login PDUs.
func (h *BHS) Final() bool { return h[1]&0x80 != 0 }

// AHSLength returns the bytes of additional header segments, padding included.
func (h *BHS) AHSLength() int { return 4 * int(h[4]) }

// DataSegmentLength returns the bytes of the data segment, padding excluded.
func (h *BHS) DataSegmentLength() int { return int(get24(h)) }

// ITT returns the initiator task tag, which has the same place in every PDU.
func (h *BHS) ITT() uint32 { return be.Uint32(h[16:]) }

// CmdSN returns bytes 24-27 as requests use them. Data-Out and SNACK have none.
func (h *BHS) CmdSN() Serial { return Serial(be.Uint32(h[24:])) }

// ExpStatSN returns bytes 28-31 as all requests use them.
func (h *BHS) ExpStatSN() Serial { return Serial(be.Uint32(h[28:])) }

// Pad returns the number of zero bytes, 0 to 3, that follow n bytes on the wire.
func Pad(n int) int { return -n & 3 }

// Padded returns n rounded up to a multiple of 4.
func Padded(n int) int { return n + Pad(n) }

func get24(h *BHS) uint32 { return uint32(h[5])<<16 | uint32(h[6])<<8 | uint32(h[7]) }

func putLengths(h *BHS, ahsWords uint8, data uint32) {
	h[4] = ahsWords
	h[5], h[6], h[7] = byte(data>>16), byte(data>>8), byte(data)
}

// request returns byte 0 of a request.
func request(op Opcode, immediate bool) byte { return byte(op) | bit(immediate, 0x40) }

func bit(set bool, mask byte) byte {
	if set {
		return mask
	}
	return 0
}

// putWindow writes what all responses share, bytes 24-35.
func putWindow(h *BHS, statSN, expCmdSN, maxCmdSN Serial) {
	be.PutUint32(h[24:], uint32(statSN))
	be.PutUint32(h[28:], uint32(expCmdSN))
	be.PutUint32(h[32:], uint32(maxCmdSN))
}

func serialAt(h *BHS, off int) Serial { return Serial(be.Uint32(h[off:])) }
