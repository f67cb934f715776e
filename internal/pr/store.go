package pr

import "errors"

// Revision numbers the saved states of one unit. A store gives every state it
// saves a greater one.
type Revision uint64

// Store keeps the State of units through crashes, and through power cycles as
// APTPL demands. It keeps neither Legacy nor Condition.
type Store interface {
	// Load returns what is in force for the unit now: after a loss of power
	// the store applies State.AfterPowerCycle. An error wraps ErrLost if what
	// was saved cannot be trusted and a Save from the returned revision would
	// start anew; any other error means that it cannot be read now.
	Load(unit string) (State, Revision, error)

	// Save returns once s survives a power cut. from is the revision that s
	// was made from; if the store holds another, somebody else saved, and Save
	// changes nothing and fails with ErrStale. After any error the old state
	// is what Load returns, as far as the medium still obeys. A lack of space
	// is reported by ErrNoSpace.
	Save(unit string, s State, from Revision) (Revision, error)
}

var (
	// ErrLost: the reservation information of the unit is lost. Nothing may be
	// served until REPLACE LOST RESERVATION. SPC-4 r36f 5.13.5.3.
	ErrLost = errors.New("reservation information lost")
	// ErrNoSpace: no room to save.
	ErrNoSpace = errors.New("no space for reservation information")
	// ErrStale: the saved state is not the one this state was made from.
	ErrStale = errors.New("reservation information was changed by somebody else")
)
