package pr

// Class says how a command relates to reservations. Every opcode row carries
// one; the zero value is the safe one. SPC-4 r37 table 65, SBC-4 r22 table 13.
type Class uint8

const (
	// Unclassified conflicts with any reservation, whoever asks: a row that
	// forgot its class can never pass a fence.
	Unclassified Class = iota
	// Write changes the medium or the device: refused to all but the holder
	// and, under a registrants-only or all-registrants type, registrants.
	Write
	// Read passes a write-exclusive reservation and is refused by an
	// exclusive-access one like Write.
	Read
	// Status passes every persistent reservation but not the legacy
	// reservation of another nexus (TEST UNIT READY, PERSISTENT RESERVE IN).
	Status
	// Always passes everything (INQUIRY, REPORT LUNS, REQUEST SENSE).
	Always

	classes
)

// Rights is the set of classes a nexus may use now, one bit per Class.
type Rights uint8

// All is every class but Unclassified; Unclassified is only ever allowed when
// no reservation of any kind exists.
const (
	All        Rights = 1<<Write | 1<<Read | 1<<Status | 1<<Always
	Unreserved Rights = All | 1<<Unclassified
)

// Allows reports whether a command of class c may run.
func (r Rights) Allows(c Class) bool { return c < classes && r&(1<<c) != 0 }
