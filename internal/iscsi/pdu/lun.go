package pdu

import (
	"fmt"
	"strconv"
)

// LUN is the 8-byte logical unit number of the header, read big-endian: the
// first byte on the wire is the most significant one. LUN 0 is 0, and LUN 5 in
// peripheral addressing is 0x0005_0000_0000_0000. SAM-5 4.7.
type LUN uint64

// String prints the plain number for single-level peripheral (bus 0) and flat
// addressing, the 16 hex digits for all else.
func (l LUN) String() string {
	if l&(1<<48-1) == 0 {
		switch top := uint64(l) >> 48; {
		case top < 0x100:
			return strconv.FormatUint(top, 10)
		case top>>14 == 1:
			return strconv.FormatUint(top&0x3fff, 10)
		}
	}
	return fmt.Sprintf("%016x", uint64(l))
}
