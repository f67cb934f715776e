package oracletest

// Columns of table 65, with the holder and the legacy reservation before and
// after them.
const (
	Free        = iota // no reservation of any kind
	Holding            // the sender holds it
	WEOther            // A: write exclusive, held by another nexus
	EAOther            // B: exclusive access, held by another nexus
	Registrant         // C: registrants-only or all-registrants, sender registered
	WEOutsider         // D: the same for writes, sender not registered
	EAOutsider         // E: the same for everything, sender not registered
	LegacyOwner        // RESERVE(6) of the sender
	LegacyOther        // RESERVE(6) of another nexus
	Unknown            // information lost or not ready
	columns
)

// Column finds the column for a sender.
func Column(w World, p Path) int {
	switch {
	case w.Lost:
		return Unknown
	case w.Old != nil && *w.Old == p:
		return LegacyOwner
	case w.Old != nil:
		return LegacyOther
	case w.Type == 0:
		return Free
	case w.Holds(p):
		return Holding
	case registrantsCount(w.Type) && w.has(p):
		return Registrant
	}
	return map[int]int{1: WEOther, 3: EAOther, 5: WEOutsider, 6: EAOutsider, 7: WEOutsider, 8: EAOutsider}[w.Type]
}

// Access is the table by kind of command: ok (y) or RESERVATION CONFLICT (n),
// in the order of the columns.
//
//	free
//	| holding
//	| | A B C D E
//	| | | | | | | legacy owner, legacy other
//	| | | | | | | | | unknown
var Access = map[string]string{
	"always":       "y y y y y y y y y n", // INQUIRY, REPORT LUNS, REQUEST SENSE, LOG SENSE, …
	"status":       "y y y y y y y y n n", // TEST UNIT READY
	"persistent":   "y y y y y y y n n n", // PERSISTENT RESERVE IN and OUT
	"read":         "y y y n y y n y n n", // READ, VERIFY, MODE SENSE, …
	"write":        "y y n n y n n y n n", // WRITE, UNMAP, MODE SELECT, SYNCHRONIZE CACHE, …
	"unclassified": "y n n n n n n n n n", // no row of any table: nobody may
}

// Allowed looks a kind of command up.
func Allowed(kind string, column int) bool { return Access[kind][2*column] == 'y' }

// Columns is the number of columns.
func Columns() int { return columns }
