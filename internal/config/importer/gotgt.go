package importer

import (
	"encoding/json"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	gotgt "github.com/gostor/gotgt/pkg/config"

	"nas-target/internal/config/importer/nohome"
)

func init() { nohome.Done() } // gotgt's package has been initialized

// gotgtKeys are what gotgt's own types read; encoding/json finds them in
// capitals and small letters alike.
var gotgtKeys = map[string][]string{
	"":             {"storages", "iscsiportals", "iscsitargets"},
	"storages":     {"deviceID", "path", "online", "thinProvisioning", "blockShift"},
	"iscsiportals": {"id", "portal"},
	"iscsitargets": {"tpgts", "luns"},
}

// readGOTGT reads config.json into gotgt's own types, and beside them the tree,
// which knows the lines.
func readGOTGT(d *draft, f File) error {
	tree, err := readTree(f)
	if err != nil {
		return err
	}
	var c gotgt.Config
	if err := json.Unmarshal(f.Data, &c); err != nil {
		return f.jsonError(err, 0)
	}
	g := gotgtReader{draft: d, config: &c, tree: tree, devices: map[uint64]*gotgtDevice{}}
	if err := first(tree.foldsTwice(), g.storages()); err != nil {
		return err
	}
	g.unknownKeys()
	var bindings []binding
	for _, m := range tree.fold("iscsitargets").members() {
		conf, t := c.ISCSITargets[m.name], d.target(m.name, m.at)
		t.Access = "open"
		d.note(Check, m.at, "gotgt lets in whoever reaches it, and so does the configuration (access: open): list the initiators")
		more, err := g.portals(t, conf, m.value)
		if err != nil {
			return err
		}
		bindings = append(bindings, more...)
		if err := g.luns(t, conf, m.value); err != nil {
			return err
		}
	}
	d.listen(bindings, f.Name)
	return nil
}

type gotgtReader struct {
	*draft
	config  *gotgt.Config
	tree    *node
	devices map[uint64]*gotgtDevice
}

type gotgtDevice struct {
	gotgt.BackendStorage
	at origin
}

func (g *gotgtReader) unknownKeys() {
	check := func(n *node, where string) {
		for _, m := range n.members() {
			if !slices.ContainsFunc(gotgtKeys[where], func(k string) bool { return strings.EqualFold(k, m.name) }) {
				g.note(Lost, m.at, "gotgt has no key %q, and ignores it", m.name)
			}
		}
	}
	check(g.tree, "")
	for _, list := range []string{"storages", "iscsiportals"} {
		if n := g.tree.fold(list); n != nil {
			for _, item := range n.array {
				check(item, list)
			}
		}
	}
	for _, m := range g.tree.fold("iscsitargets").members() {
		check(m.value, "iscsitargets")
	}
}

func (g *gotgtReader) storages() error {
	for i, s := range g.config.Storages {
		at := g.tree.fold("storages").array[i].at
		if _, twice := g.devices[s.DeviceID]; twice {
			return at.fail("deviceID %d stands twice; gotgt would not start", s.DeviceID)
		}
		g.devices[s.DeviceID] = &gotgtDevice{s, at}
	}
	return nil
}

// portals takes gotgt's reading of the ids: positions in the list of portals.
func (g *gotgtReader) portals(t *target, conf gotgt.ISCSITarget, n *node) ([]binding, error) {
	var all []binding
	for _, m := range n.fold("tpgts").members() {
		tag, err := strconv.ParseUint(m.name, 10, 16)
		if err != nil || tag == 0 {
			return nil, m.at.fail("%q is not a portal group tag, 1 to 65535", m.name)
		}
		for _, id := range conf.TPGTs[m.name] {
			if id >= uint64(len(g.config.ISCSIPortals)) {
				return nil, m.at.fail("there is no portal %d; gotgt counts them from 0, in the order of the file", id)
			}
			p, at := g.config.ISCSIPortals[id], g.tree.fold("iscsiportals").array[id].at
			if uint64(p.ID) != id {
				g.note(Check, at, "this portal says id %d; gotgt goes by the order of the file, where it is %d", p.ID, id)
			}
			addr, err := netip.ParseAddrPort(p.Portal)
			if err != nil || addr.Port() == 0 {
				g.note(Lost, at, "%q is not an address and a port", p.Portal)
				continue
			}
			all = append(all, binding{t, uint16(tag), addr, at})
		}
	}
	return all, nil
}

func (g *gotgtReader) luns(t *target, conf gotgt.ISCSITarget, n *node) error {
	for _, m := range n.fold("luns").members() {
		num, err := strconv.ParseUint(m.name, 10, 64)
		if err != nil {
			return m.at.fail("%q is not a LUN; gotgt would not start", m.name)
		}
		if num > math.MaxUint16 {
			g.note(Lost, m.at, "LUN %d: here they go to 16383", num)
			continue
		}
		dev := g.devices[conf.LUNs[m.name]]
		if dev == nil {
			return m.at.fail("LUN %s has deviceID %d, which no storage has", m.name, conf.LUNs[m.name])
		}
		g.lun(t, uint16(num), dev, m.at)
	}
	return nil
}

func (g *gotgtReader) lun(t *target, num uint16, dev *gotgtDevice, at origin) {
	kind, path, _ := strings.Cut(dev.Path, ":")
	l := &lun{LUN: num, NAA: quoted(gotgtNAA(dev.DeviceID)), Serial: quoted(gotgtSerial(dev.DeviceID)), at: at}
	gotgtInquiry.of(l)
	switch {
	case kind != "file":
		g.note(Lost, dev.at, "LUN %d of %s: there is no storage of the kind %q here", num, t.Name, kind)
		return
	case !dev.Online:
		g.note(Lost, dev.at, "LUN %d of %s is offline", num, t.Name)
		return
	case dev.BlockShift > 62:
		g.note(Lost, dev.at, "LUN %d of %s: blockShift is %d", num, t.Name, dev.BlockShift)
		return
	case dev.BlockShift > 0:
		l.BlockSize = 1 << dev.BlockShift
	}
	if !g.blocks(t, l) || !g.medium(l, path) {
		return
	}
	g.nameLUN(l, strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	t.LUNs = append(t.LUNs, l)
}

// blocks drops a block size that is the default, and refuses a LUN of another
// than the two there are.
func (d *draft) blocks(t *target, l *lun) bool {
	switch l.BlockSize {
	case 0, 512:
		l.BlockSize = 0
	case 4096:
	default:
		d.note(Lost, l.at, "LUN %d of %s has blocks of %d bytes; here they have 512 or 4096", l.LUN, t.Name, l.BlockSize)
		return false
	}
	return true
}

// fold finds a member as encoding/json does, whatever its capitals.
func (n *node) fold(name string) *node {
	for _, m := range n.members() {
		if strings.EqualFold(m.name, name) {
			return m.value
		}
	}
	return nil
}

// foldsTwice refuses keys that differ in their capitals alone: the lines of
// one would be given to what the other says.
func (n *node) foldsTwice() error {
	for i, m := range n.object {
		for _, earlier := range n.object[:i] {
			if strings.EqualFold(earlier.name, m.name) {
				return m.at.fail("%q stands twice, the first time as %q", m.name, earlier.name)
			}
		}
	}
	return nil
}

func (n *node) members() []member {
	if n == nil {
		return nil
	}
	return n.object
}
