package daemon

import (
	"net/netip"
	"slices"

	"nas-target/internal/config"
	"nas-target/internal/iscsi"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// Why a login is refused here.
const reasonNotListed iscsi.Reason = "initiator_not_listed"

// ports makes a target port of each portal group. The tag is also the relative
// target port identifier: it stays what it is when another group comes or goes.
func ports(name string, groups []uint16) []scsi.Port {
	var all []scsi.Port
	for _, g := range groups {
		all = append(all, scsi.Port{Name: pr.TargetPort(name, g), Relative: g, Group: g})
	}
	return all
}

// node is what the iSCSI server needs of the target.
func (t *target) node() *iscsi.Node {
	return &iscsi.Node{
		Name: t.conf.Name, Alias: t.conf.Alias, Groups: t.groups,
		Authorize: func(i iscsi.InitiatorInfo) (*iscsi.Auth, *iscsi.LoginError) {
			if _, ok := t.sees(i); !ok {
				return nil, &iscsi.LoginError{Status: pdu.LoginAuthorizationFailed, Reason: reasonNotListed}
			}
			return nil, nil
		},
		Attach: func(n scsi.Nexus, i iscsi.InitiatorInfo) (iscsi.Target, error) {
			luns, ok := t.sees(i)
			if !ok {
				return nil, &iscsi.LoginError{Status: pdu.LoginAuthorizationFailed, Reason: reasonNotListed}
			}
			it := t.device.Attach(n, luns)
			it.SetPeer(i.Remote.String())
			return it, nil
		},
	}
}

// sees decides whether an initiator is let in, and which units it finds. The
// first row that fits it decides.
func (t *target) sees(i iscsi.InitiatorInfo) (scsi.LUNMap, bool) {
	if t.conf.Access == config.AccessOpen {
		return t.luns, true
	}
	for _, row := range t.conf.Initiators {
		if !fits(row, i) {
			continue
		}
		if len(row.LUNs) == 0 {
			return t.luns, true
		}
		some := scsi.LUNMap{}
		for _, n := range row.LUNs {
			some[n] = t.luns[n]
		}
		return some, true
	}
	return nil, false
}

func fits(row config.Initiator, i iscsi.InitiatorInfo) bool {
	if row.Name != config.AnyInitiator && row.Name != i.Name {
		return false
	}
	from := i.Remote.Addr().Unmap()
	return len(row.Networks) == 0 || slices.ContainsFunc(row.Networks, func(n netip.Prefix) bool { return n.Contains(from) })
}
