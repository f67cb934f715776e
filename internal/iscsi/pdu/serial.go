package pdu

// Serial is a sequence number that wraps: CmdSN, StatSN and their relatives.
// Comparison is that of RFC 1982 with 32 bits, so it is meaningful between
// numbers less than 1<<31 apart.
type Serial uint32

// Before reports whether s comes before t.
func (s Serial) Before(t Serial) bool { return int32(s-t) < 0 }

// Add returns the number n places after s, or before it if n is negative.
func (s Serial) Add(n int) Serial { return s + Serial(n) }

// Sub returns how many places s comes after t; negative if it comes before.
func (s Serial) Sub(t Serial) int32 { return int32(s - t) }

// In reports whether s lies in the window first..last, both included. A window
// whose last number comes before its first is closed and holds nothing:
// MaxCmdSN = ExpCmdSN-1, §4.2.2.1.
func (s Serial) In(first, last Serial) bool {
	size := last.Sub(first)
	return size >= 0 && uint32(s-first) <= uint32(size)
}
