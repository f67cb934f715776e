package importer

import (
	"fmt"
	"net/netip"
	"slices"
)

// binding says that a target listened on an address, as a portal group.
type binding struct {
	target *target
	tag    uint16
	addr   netip.AddrPort
	at     origin
}

// listen gives the draft its portal groups. Elsewhere each target has groups of
// its own; here groups belong to all targets, so addresses that the same
// targets used under the same tags are one group. A group keeps its tag if no
// other group has taken it.
func (d *draft) listen(bindings []binding, file string) {
	if len(d.options.Portals) > 0 {
		d.Portals = []portal{{Group: 1}}
		for _, a := range d.options.Portals {
			d.Portals[0].Listen = append(d.Portals[0].Listen, a.String())
		}
		return
	}
	if len(bindings) == 0 {
		d.Portals = []portal{{Group: 1, Listen: []string{"0.0.0.0:3260"}}}
		d.note(Check, origin{file: file}, "the file does not say where to listen; the configuration says 0.0.0.0:3260, every "+
			"network of this machine: name the addresses of the storage networks with --portal")
		return
	}
	var order []netip.AddrPort
	who := map[netip.AddrPort][]binding{}
	for _, b := range bindings {
		if slices.ContainsFunc(who[b.addr], func(x binding) bool { return x.target == b.target }) {
			d.note(Lost, b.at, "%s is listed twice for %s", b.addr, b.target.Name)
			continue
		}
		if who[b.addr] == nil {
			order = append(order, b.addr)
		}
		who[b.addr] = append(who[b.addr], b)
	}
	var groups []*group
	byUsers := map[string]*group{}
	for _, addr := range order {
		key := ""
		for _, b := range who[addr] {
			key += fmt.Sprintf("%p/%d ", b.target, b.tag)
		}
		g := byUsers[key]
		if g == nil {
			g = &group{who: who[addr]}
			byUsers[key] = g
			groups = append(groups, g)
		}
		g.addrs = append(g.addrs, addr)
	}
	number(groups)
	for _, g := range groups {
		p := portal{Group: g.tag}
		for _, b := range g.who {
			b.target.PortalGroups = append(b.target.PortalGroups, g.tag)
		}
		for _, addr := range g.addrs {
			p.Listen = append(p.Listen, addr.String())
			for _, b := range who[addr] {
				if b.tag != g.tag {
					d.note(Changed, b.at, "%s was in portal group %d of %s and is in group %d: initiators see another target port",
						addr, b.tag, b.target.Name, g.tag)
				}
			}
			if addr.Addr().IsUnspecified() {
				d.note(Check, g.who[0].at, "%s is every network of this machine: name the addresses of the storage networks with --portal", addr)
			}
		}
		d.Portals = append(d.Portals, p)
	}
	slices.SortStableFunc(d.Portals, func(a, b portal) int { return int(a.Group) - int(b.Group) })
	for _, t := range d.Targets {
		slices.Sort(t.PortalGroups)
		if len(t.PortalGroups) == len(d.Portals) {
			t.PortalGroups = nil // all, which is the default
		}
	}
}

// group is a portal group to be: addresses that the same targets use alike.
type group struct {
	who   []binding // of the first address; the others' differ in their place alone
	addrs []netip.AddrPort
	tag   uint16
}

// number gives each group the tag that it had, and those whose tag another
// group has the next free ones.
func number(groups []*group) {
	used := map[uint16]bool{}
	for _, g := range groups {
		for _, b := range g.who {
			if g.tag == 0 && b.tag != 0 && !used[b.tag] {
				g.tag = b.tag
				used[b.tag] = true
			}
		}
	}
	next := uint16(1)
	for _, g := range groups {
		for g.tag == 0 {
			if !used[next] {
				g.tag = next
			}
			next++
		}
	}
}
