package daemon

import (
	"net/netip"
	"slices"

	"nas-target/internal/config"
	"nas-target/internal/iscsi"
	"nas-target/internal/scsi"
)

// Why a login is refused here.
const reasonNotListed iscsi.Reason = "initiator_not_listed"

// row is an initiator that may log in to a target.
type row struct {
	who  config.Initiator
	auth *iscsi.Auth // nil: its name is enough
	luns scsi.LUNMap // what it finds
}

func newRow(c config.Initiator, all scsi.LUNMap, auth *iscsi.Auth) row {
	r := row{who: c, auth: auth, luns: all}
	if len(c.LUNs) > 0 {
		r.luns = scsi.LUNMap{}
		for _, n := range c.LUNs {
			if u := all[n]; u != nil {
				r.luns[n] = u
			}
		}
	}
	return r
}

// admits returns what is known of an initiator, nil if it is not let in. The
// first row that fits it decides.
func (v *view) admits(i iscsi.InitiatorInfo) *row {
	if v.conf.Access == config.AccessOpen {
		return &row{luns: v.luns}
	}
	for n := range v.rows {
		if v.rows[n].fits(i) {
			return &v.rows[n]
		}
	}
	return nil
}

// proven reports whether an initiator proved what the row asks for.
func (r *row) proven(i iscsi.InitiatorInfo) bool {
	return r.who.CHAP.User == "" || r.who.CHAP.User == i.User
}

func (r *row) fits(i iscsi.InitiatorInfo) bool {
	if r.who.Name != config.AnyInitiator && r.who.Name != i.Name {
		return false
	}
	from := i.Remote.Addr().Unmap()
	return len(r.who.Networks) == 0 || slices.ContainsFunc(r.who.Networks, func(n netip.Prefix) bool { return n.Contains(from) })
}
