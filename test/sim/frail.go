package sim

import (
	"errors"
	"math/rand/v2"
	"time"

	"nas-target/internal/pr"
)

// Frail is a reservation store that is slow and that fails. What fails is not
// saved.
type Frail struct {
	pr.Store
	Slow time.Duration // a Save takes up to so long
	Fail int           // one Save in so many fails; 0: none
}

var errFrail = errors.New("the reservation store failed, as it was told to")

// Save is pr.Store.
func (f *Frail) Save(unit string, s pr.State, from pr.Revision) (pr.Revision, error) {
	if f.Slow > 0 && rand.IntN(2) == 0 {
		time.Sleep(rand.N(f.Slow))
	}
	if f.Fail > 0 && rand.IntN(f.Fail) == 0 {
		return 0, errFrail
	}
	return f.Store.Save(unit, s, from)
}
