package daemon

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"nas-target/internal/config"
	"nas-target/internal/iscsi"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// target is a SCSI target device. It lives as long as its name is configured;
// what may change meanwhile is its view.
type target struct {
	device *scsi.Device
	view   atomic.Pointer[view]

	// mu is held while a nexus attaches and while the view changes: no nexus
	// slips in between with what the old view shows.
	mu     sync.Mutex
	guests map[*guest]struct{}
}

// view is what a target is at one moment. It is immutable.
type view struct {
	conf   *config.Target
	groups []uint16
	rows   []row
	luns   scsi.LUNMap // whom everything is shown
}

// guest is a nexus of a target.
type guest struct {
	*scsi.IT
	home *target
	who  iscsi.InitiatorInfo
	sees scsi.LUNMap // guarded by home.mu
}

// Detach implements iscsi.Target.
func (g *guest) Detach() {
	g.home.mu.Lock()
	delete(g.home.guests, g)
	g.home.mu.Unlock()
	g.IT.Detach()
}

func newTarget(v *view) *target {
	t := &target{device: scsi.NewDevice(v.conf.Name, ports(v.conf.Name, v.groups)), guests: map[*guest]struct{}{}}
	t.view.Store(v)
	return t
}

// groupsOf lists the portal groups through which a target of c is reached.
func groupsOf(t *config.Target, c *config.Config) []uint16 {
	if len(t.PortalGroups) > 0 {
		return t.PortalGroups
	}
	var all []uint16
	for _, p := range c.Portals {
		all = append(all, p.Group)
	}
	return all
}

// newView pictures a target of c.
func newView(t *config.Target, c *config.Config, units map[string]*unit, p proofs) *view {
	v := &view{conf: t, groups: groupsOf(t, c), luns: scsi.LUNMap{}}
	for i := range t.LUNs {
		if u := units[t.LUNs[i].Name]; u != nil {
			v.luns[t.LUNs[i].LUN] = u.scsi
		}
	}
	for _, x := range t.Initiators {
		v.rows = append(v.rows, newRow(x, v.luns, p.of(x.CHAP)))
	}
	return v
}

// digests are the policies for digests by their names in a configuration.
var digests = map[config.Digest]iscsi.DigestPolicy{
	config.DigestOffered:  iscsi.DigestOffered,
	config.DigestRequired: iscsi.DigestRequired,
	config.DigestRefused:  iscsi.DigestRefused,
}

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
	v := t.view.Load()
	return &iscsi.Node{
		Name: v.conf.Name, Alias: v.conf.Alias, Groups: v.groups,
		Digests: iscsi.Digests{Header: digests[v.conf.HeaderDigest], Data: digests[v.conf.DataDigest]},
		Authorize: func(i iscsi.InitiatorInfo) (*iscsi.Auth, *iscsi.LoginError) {
			r := t.view.Load().admits(i)
			if r == nil {
				return nil, errNotListed()
			}
			return r.auth, nil
		},
		Attach: t.attach,
		Redirect: func(iscsi.InitiatorInfo) (to string, permanent bool) {
			return t.view.Load().conf.MovedTo, false // for good would stay in the initiators' records
		},
	}
}

// show replaces the view. Nexuses learn of LUNs that came or went, those that
// see what they saw learn nothing, and those that are not admitted any more see
// nothing from now on: they are returned, for their sessions to be ended.
func (t *target) show(v *view) (out []*guest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.device.SetPorts(ports(v.conf.Name, v.groups))
	t.view.Store(v)
	for g := range t.guests {
		r := v.admits(g.who)
		var sees scsi.LUNMap
		if r != nil && slices.Contains(v.groups, g.who.TPGT) && r.proven(g.who) {
			sees = r.luns
		} else {
			out = append(out, g)
		}
		if !maps.Equal(g.sees, sees) {
			g.Remap(sees)
			g.sees = sees
		}
	}
	return out
}

// close shows nothing to anybody any more.
func (t *target) close() []*guest {
	v := *t.view.Load()
	v.groups, v.rows, v.luns = nil, nil, nil
	return t.show(&v)
}

func errNotListed() *iscsi.LoginError {
	return &iscsi.LoginError{Status: pdu.LoginAuthorizationFailed, Reason: reasonNotListed}
}

func (t *target) attach(n scsi.Nexus, i iscsi.InitiatorInfo) (iscsi.Target, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.view.Load()
	r := v.admits(i)
	// The view may be another one than that which said what to prove.
	if r == nil || !slices.Contains(v.groups, i.TPGT) || !r.proven(i) {
		return nil, errNotListed()
	}
	g := &guest{IT: t.device.Attach(n, r.luns), home: t, who: i, sees: r.luns}
	g.SetPeer(i.Remote.String())
	t.guests[g] = struct{}{}
	return g, nil
}
