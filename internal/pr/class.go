package pr

// Class says how a command relates to reservations. Every opcode row carries
// one; the zero value is the safe one. SPC-4 r36f table 65, SBC-4 r22 table 13.
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
	// reservation of another nexus (TEST UNIT READY).
	Status
	// Always passes everything (INQUIRY, REPORT LUNS, REQUEST SENSE). RESERVE
	// and RELEASE of SPC-2 belong here too: Step judges them.
	Always
	// Persistent is PERSISTENT RESERVE IN and OUT: they pass every persistent
	// reservation and conflict with a legacy one, even of the same nexus. The
	// two families of commands exclude each other. SPC-2 r20 5.5.1.
	Persistent

	classes
)

// Rights is the set of classes a nexus may use now, one bit per Class.
type Rights uint8

// All is every class but Unclassified; Unclassified is only ever allowed when
// no reservation of any kind exists.
const (
	All        Rights = 1<<Write | 1<<Read | 1<<Status | 1<<Always | 1<<Persistent
	Unreserved Rights = All | 1<<Unclassified
)

// Allows reports whether a command of class c may run.
func (r Rights) Allows(c Class) bool { return c < classes && r&(1<<c) != 0 }
