package pr

import "fmt"

// Key is an 8-byte reservation key. Zero is never registered.
type Key uint64

func (k Key) String() string { return fmt.Sprintf("0x%016x", uint64(k)) }

// Type is the type of a persistent reservation, as coded in PERSISTENT RESERVE
// IN and OUT. Zero means "no reservation"; it is a reserved code on the wire.
// SPC-4 r36f 6.15.3.4.
type Type uint8

const (
	WriteExclusive                 Type = 0x1
	ExclusiveAccess                Type = 0x3
	WriteExclusiveRegistrantsOnly  Type = 0x5
	ExclusiveAccessRegistrantsOnly Type = 0x6
	WriteExclusiveAllRegistrants   Type = 0x7
	ExclusiveAccessAllRegistrants  Type = 0x8
)

// Types lists every type a reservation can have.
var Types = [...]Type{
	WriteExclusive, ExclusiveAccess,
	WriteExclusiveRegistrantsOnly, ExclusiveAccessRegistrantsOnly,
	WriteExclusiveAllRegistrants, ExclusiveAccessAllRegistrants,
}

// Valid reports whether t is one of Types.
func (t Type) Valid() bool {
	switch t {
	case WriteExclusive, ExclusiveAccess,
		WriteExclusiveRegistrantsOnly, ExclusiveAccessRegistrantsOnly,
		WriteExclusiveAllRegistrants, ExclusiveAccessAllRegistrants:
		return true
	}
	return false
}

// AllRegistrants reports whether every registered nexus holds a reservation of
// type t.
func (t Type) AllRegistrants() bool {
	return t == WriteExclusiveAllRegistrants || t == ExclusiveAccessAllRegistrants
}

// Shared reports whether being registered gives rights under type t: the
// registrants-only and the all-registrants types.
func (t Type) Shared() bool {
	return t == WriteExclusiveRegistrantsOnly || t == ExclusiveAccessRegistrantsOnly || t.AllRegistrants()
}

// Exclusive reports whether type t keeps reads away as well as writes.
func (t Type) Exclusive() bool {
	return t == ExclusiveAccess || t == ExclusiveAccessRegistrantsOnly || t == ExclusiveAccessAllRegistrants
}

func (t Type) String() string {
	switch t {
	case 0:
		return "none"
	case WriteExclusive:
		return "write-exclusive"
	case ExclusiveAccess:
		return "exclusive-access"
	case WriteExclusiveRegistrantsOnly:
		return "write-exclusive-registrants-only"
	case ExclusiveAccessRegistrantsOnly:
		return "exclusive-access-registrants-only"
	case WriteExclusiveAllRegistrants:
		return "write-exclusive-all-registrants"
	case ExclusiveAccessAllRegistrants:
		return "exclusive-access-all-registrants"
	}
	return fmt.Sprintf("type-%#x", uint8(t))
}
