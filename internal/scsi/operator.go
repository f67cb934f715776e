package scsi

import "nas-target/internal/pr"

// ClearReservations removes every registration and the reservation of u at an
// operator's word, lost information included, and tells those who lost theirs.
// It does nothing, and reports false, unless accept approves of the state it
// would clear. by names the operator for the audit trail. It waits for a
// reservation command under way, and for the calls that one drains.
func (u *Unit) ClearReservations(by string, accept func(pr.State) bool) (pr.Outcome, bool) {
	out, ok := u.pr.ApplyIf(accept, pr.Op{Action: pr.OperatorClear, Peer: by}, pr.Env{}, u.fence)
	u.carryOut(nil, out.Effects)
	return out, ok
}
