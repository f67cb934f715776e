package daemon

import (
	"net/netip"
	"slices"

	"nas-target/internal/config"
	"nas-target/internal/iscsi"
)

// running is what runs at one moment: a configuration, and the live objects
// that stand for it. It is immutable; a change makes another one.
type running struct {
	conf    *config.Config
	targets []*target        // in the configuration's order
	units   map[string]*unit // by LUN name
	// missing are the LUNs of which not even the identity could be had, and
	// why. Initiators do not see them.
	missing map[string]error
	portals []portal
	proofs  proofs
	// discovery is the proof that whoever asks for targets owes.
	discovery *iscsi.Auth
}

// portal is an address of the configuration.
type portal struct {
	group   uint16
	address netip.AddrPort // as configured, which names it in the server
	failure error          // why it is not open
}

// name is what the server knows p by.
func (p portal) name() string { return p.address.String() }

// complete reports whether all that is configured is served.
func (r *running) complete() bool {
	if len(r.missing) > 0 || slices.ContainsFunc(r.portals, func(p portal) bool { return p.failure != nil }) {
		return false
	}
	for _, u := range r.units {
		if u.absent != nil {
			return false
		}
	}
	return true
}

func (r *running) nodes() []*iscsi.Node {
	var all []*iscsi.Node
	for _, t := range r.targets {
		all = append(all, t.node())
	}
	return all
}

// lunsOf lists the LUNs of all targets of c.
func lunsOf(c *config.Config) []*config.LUN {
	var all []*config.LUN
	for i := range c.Targets {
		for j := range c.Targets[i].LUNs {
			all = append(all, &c.Targets[i].LUNs[j])
		}
	}
	return all
}

// portalsOf lists the portals of c.
func portalsOf(c *config.Config) []portal {
	var all []portal
	for _, p := range c.Portals {
		for _, a := range p.Listen {
			all = append(all, portal{group: p.Group, address: a})
		}
	}
	return all
}
