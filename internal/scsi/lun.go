package scsi

import "fmt"

// LUN is the 8-byte logical unit number as it stands on the wire, big-endian.
// SAM-5 4.7.
type LUN uint64

// MaxLUN is the largest number the flat address method can name.
const MaxLUN = 1<<14 - 1

// NewLUN encodes a LUN index: peripheral device addressing below 256, flat
// space addressing up to MaxLUN.
func NewLUN(index uint16) LUN {
	if index < 256 {
		return LUN(index) << 48
	}
	return LUN(0x4000|index) << 48
}

// Index returns the number of a single-level LUN. Both address methods are
// accepted for every number: initiators differ in which one they echo.
func (l LUN) Index() (uint16, bool) {
	if l&0x0000ffffffffffff != 0 {
		return 0, false
	}
	v := uint16(l >> 48)
	switch v >> 14 {
	case 0:
		return v & 0xff, v>>8 == 0 // bus identifier other than 0: no such bus
	case 1:
		return v & MaxLUN, true
	}
	return 0, false
}

func (l LUN) String() string {
	if i, ok := l.Index(); ok {
		return fmt.Sprint(i)
	}
	return fmt.Sprintf("%016x", uint64(l))
}
