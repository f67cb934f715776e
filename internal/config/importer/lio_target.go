package importer

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"

	"nas-target/internal/config"
)

// lioTarget puts the portal groups of one target together. LIO keeps LUNs,
// access and CHAP for each portal group apart and lets each initiator see a
// disk under a number of its own; here they are the target's.
type lioTarget struct {
	*lioReader
	out    *target
	groups int
	disks  []*lioDisk
	acls   []*lioACL
	demo   []lioDemo
	// leftOut: a listed initiator is not in the configuration. It must not come
	// in as one who is not listed.
	leftOut bool
}

// lioDisk is a storage object of the target, and the numbers it was seen under.
type lioDisk struct {
	store  *lioStore
	path   string
	at     origin
	index  uint16 // in the portal group
	seen   []lioView
	number uint16
	placed bool // number is final
	out    *lun // nil: not served
}

type lioView struct {
	acl       *lioACL // nil: whoever is not listed
	number    uint16
	protected bool
	at        origin
}

// lioACL is one initiator in one portal group.
type lioACL struct {
	row *initiator
	at  origin
}

// lioDemo is a portal group that lets in who is not listed ("demo mode").
type lioDemo struct {
	protected bool
	users     *users
	at        origin
}

const (
	lioTPGAttributes = "authentication cache_dynamic_acls default_cmdsn_depth default_erl demo_mode_discovery demo_mode_write_protect " +
		"fabric_prot_type generate_node_acls login_keys_workaround login_timeout netif_timeout prod_mode_write_protect t10_pi tpg_enabled_sendtargets"
	lioACLAttributes = "authentication dataout_timeout dataout_timeout_retries default_erl nopin_response_timeout nopin_timeout " +
		"random_datain_pdu_offsets random_datain_seq_offsets random_r2t_offsets"
	lioCHAP = " chap_userid chap_password chap_mutual_userid chap_mutual_password"
)

// tpg reads one portal group.
func (t *lioTarget) tpg(n *node) error {
	t.unknown(n, "tag enable luns portals node_acls attributes parameters"+lioCHAP)
	attributes := n.get("attributes")
	t.unknown(attributes, lioTPGAttributes)
	tag, err := tagOf(n)
	if err != nil {
		return err
	}
	r, a := reading{node: n}, reading{node: attributes}
	enabled := r.truth("enable", true)
	auth, open := a.truth("authentication", true), a.truth("generate_node_acls", false)
	demoProtected, protected := a.truth("demo_mode_write_protect", true), a.truth("prod_mode_write_protect", false)
	if err := first(r.err, a.err); err != nil {
		return err
	}
	if !enabled {
		t.note(Lost, n.at, "the portal group %d of %s is not enabled", tag, t.out.Name)
		return nil
	}
	t.groups++
	if err := t.digest(n, "HeaderDigest", &t.out.HeaderDigest); err != nil {
		return err
	}
	if err := t.digest(n, "DataDigest", &t.out.DataDigest); err != nil {
		return err
	}
	if err := t.portals(n.get("portals"), tag); err != nil {
		return err
	}
	disks, err := t.luns(n.get("luns"))
	if err != nil {
		return err
	}
	if open {
		if err := t.demoMode(n, disks, auth, demoProtected); err != nil {
			return err
		}
	}
	acls, err := n.get("node_acls").items()
	if err != nil {
		return err
	}
	for _, acl := range acls {
		if err := t.acl(acl, disks, auth, protected); err != nil {
			return err
		}
	}
	return nil
}

// digest takes over what a portal group accepts as a digest. What all groups of
// the target accept is its policy here.
func (t *lioTarget) digest(group *node, key string, policy *config.Digest) error {
	accepted, err := group.get("parameters").get(key).text()
	if err != nil {
		return err
	}
	var this config.Digest // "": the default, which is the initiator's choice
	switch accepted {
	case "CRC32C":
		this = config.DigestRequired
	case "None":
		this = config.DigestRefused
	}
	switch {
	case t.groups == 1:
		*policy = this
	case *policy != this:
		*policy = ""
		t.note(Changed, group.at, "%s differs between the portal groups of %s: here the initiator decides", key, t.out.Name)
	}
	return nil
}

// luns reads the disks of a portal group. A disk that several groups of the
// target have is one.
func (t *lioTarget) luns(list *node) (map[uint16]*lioDisk, error) {
	all, err := list.items()
	if err != nil {
		return nil, err
	}
	here := map[uint16]*lioDisk{}
	for _, n := range all {
		t.unknown(n, "index storage_object alias alua_tg_pt_gp_name attributes parameters")
		if _, err := n.must("index"); err != nil {
			return nil, err
		}
		r := reading{node: n}
		index, path := r.number("index", 0), r.text("storage_object")
		if r.err != nil {
			return nil, r.err
		}
		num, err := lunNumber(index, n.at)
		if err != nil {
			return nil, err
		}
		store, err := t.store(path, n.at)
		if err != nil {
			return nil, err
		}
		if here[num] != nil {
			return nil, n.at.fail("LUN %d stands twice in one portal group", num)
		}
		i := slices.IndexFunc(t.disks, func(d *lioDisk) bool { return d.path == path })
		if i < 0 {
			i = len(t.disks)
			t.disks = append(t.disks, &lioDisk{store: store, path: path, at: n.at, index: num})
		}
		here[num] = t.disks[i]
	}
	return here, nil
}

// demoMode notes that initiators nobody listed are let in, unless they would
// have to prove themselves and nobody could.
func (t *lioTarget) demoMode(n *node, disks map[uint16]*lioDisk, auth, protected bool) error {
	d := lioDemo{protected: protected, at: n.at}
	if auth {
		u, err := t.users(n, "chap_")
		if errors.Is(err, errTwoSecrets) {
			t.note(Lost, n.at, "initiators that are not listed: %v", err)
			return nil
		}
		if err != nil || u == nil {
			return err
		}
		d.users = u
	}
	t.demo = append(t.demo, d)
	for _, num := range slices.Sorted(maps.Keys(disks)) {
		disks[num].seen = append(disks[num].seen, lioView{number: num, protected: protected, at: n.at})
	}
	return nil
}

// acl reads one initiator.
func (t *lioTarget) acl(n *node, disks map[uint16]*lioDisk, auth, protected bool) error {
	t.unknown(n, "node_wwn mapped_luns tag attributes parameters"+lioCHAP)
	t.unknown(n.get("attributes"), lioACLAttributes)
	r, a := reading{node: n}, reading{node: n.get("attributes")}
	name := strings.ToLower(r.text("node_wwn"))
	if own := a.number("authentication", -1); own >= 0 {
		auth = own > 0
	}
	if err := first(r.err, a.err); err != nil {
		return err
	}
	if name == "" {
		return n.at.fail("an initiator needs node_wwn")
	}
	u, err := t.users(n, "chap_")
	switch {
	case auth && errors.Is(err, errTwoSecrets):
		t.note(Lost, n.at, "the initiator %s: %v", name, err)
		t.leftOut = true
		return nil
	case err != nil && !errors.Is(err, errTwoSecrets):
		return err
	case auth && u == nil:
		t.note(Lost, n.at, "the initiator %s: the portal group asks for CHAP, and there is no user and secret, so LIO did not let it in either", name)
		t.leftOut = true
		return nil
	case !auth && (u != nil || err != nil):
		t.note(Check, n.at, "the CHAP user of %s is not asked for (authentication is 0), here neither", name)
		u = nil
	}
	acl := t.initiator(name, u, n.at)
	mapped, err := n.get("mapped_luns").items()
	if err != nil {
		return err
	}
	for _, m := range mapped {
		t.unknown(m, "index tpg_lun write_protect alias attributes parameters")
		if _, err := m.must("index"); err != nil {
			return err
		}
		r := reading{node: m}
		index := r.number("index", 0)
		lun, ro := r.number("tpg_lun", index), r.truth("write_protect", false)
		if r.err != nil {
			return r.err
		}
		num, err := lunNumber(index, m.at)
		if err != nil {
			return err
		}
		if lun < 0 || lun > math.MaxUint16 || disks[uint16(lun)] == nil {
			return m.at.fail("tpg_lun is %d, and the portal group has no such LUN", lun)
		}
		disk := disks[uint16(lun)]
		disk.seen = append(disk.seen, lioView{acl: acl, number: num, protected: ro || protected, at: m.at})
	}
	return nil
}

// initiator finds the row of an initiator that another portal group has, too.
func (t *lioTarget) initiator(name string, u *users, at origin) *lioACL {
	for _, acl := range t.acls {
		if acl.row.Name == name && same(acl.row.CHAP, u) {
			return acl
		}
	}
	if slices.ContainsFunc(t.acls, func(a *lioACL) bool { return a.row.Name == name }) {
		t.note(Lost, at, "%s has other CHAP users in another portal group; here it has those of the first", name)
	}
	acl := &lioACL{row: &initiator{Name: name, CHAP: u, at: at}, at: at}
	t.acls = append(t.acls, acl)
	return acl
}

func same(a, b *users) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// finish writes the disks and who sees them.
func (t *lioTarget) finish() error {
	if t.groups == 0 {
		t.note(Lost, t.out.at, "the target %s, which has no enabled portal group", t.out.Name)
		t.Targets = slices.DeleteFunc(t.Targets, func(x *target) bool { return x == t.out })
		return nil
	}
	t.numberDisks()
	for _, d := range t.disks {
		t.disk(d)
	}
	t.access()
	return nil
}

// numberDisks gives each disk the number that most of its initiators knew it
// by, or the next free one.
func (t *lioTarget) numberDisks() {
	taken := map[uint16]bool{}
	for _, d := range t.disks {
		counts, best := map[uint16]int{}, d.index
		for _, v := range d.seen {
			if counts[v.number]++; counts[v.number] > counts[best] {
				best = v.number
			}
		}
		if !taken[best] {
			d.number, d.placed, taken[best] = best, true, true
		}
	}
	free := uint16(0)
	for _, d := range t.disks {
		for !d.placed {
			d.number, d.placed = free, !taken[free]
			taken[free] = true
			free++
		}
		for _, v := range d.seen {
			if v.number != d.number {
				t.note(Changed, v.at, "%s is LUN %d for %s and will be LUN %d; here all initiators of a target see a disk as the same LUN",
					storeName(d.path), v.number, v.who(), d.number)
			}
		}
	}
}

func (v lioView) who() string {
	if v.acl == nil {
		return "those who are not listed"
	}
	return v.acl.row.Name
}

// disk writes a LUN, unless it cannot be served.
func (t *lioTarget) disk(d *lioDisk) {
	if d.store.why != "" {
		t.note(Lost, d.store.at, "%s: %s", storeName(d.path), d.store.why)
		return
	}
	if first := d.store.mapped; first != "" {
		t.note(Lost, d.at, "%s is a LUN of %s already; here a disk is one LUN of one target", storeName(d.path), first)
		return
	}
	d.store.mapped = t.out.Name
	l := d.store.lun
	l.LUN, l.at = d.number, d.store.at
	if !t.blocks(t.out, &l) || l.Path != "" && !t.medium(&l, l.Path) {
		return
	}
	protected := func(v lioView) bool { return v.protected }
	if len(d.seen) > 0 && !slices.ContainsFunc(d.seen, func(v lioView) bool { return !v.protected }) {
		l.ReadOnly = true
	} else if !l.ReadOnly && slices.ContainsFunc(d.seen, protected) {
		for _, v := range d.seen {
			if v.protected {
				t.note(Lost, v.at, "LUN %d is write-protected for %s and not for others; here a LUN is read-only for all or for none, so %s does not see it",
					d.number, v.who(), v.who())
			}
		}
		d.seen = slices.DeleteFunc(d.seen, protected)
	}
	t.nameLUN(&l, storeName(d.path))
	d.out = &l
	t.out.LUNs = append(t.out.LUNs, d.out)
}

// access writes the rows of initiators.
func (t *lioTarget) access() {
	for _, acl := range t.acls {
		all := true
		for _, d := range t.disks {
			if d.out == nil {
				continue
			}
			if slices.ContainsFunc(d.seen, func(v lioView) bool { return v.acl == acl }) {
				acl.row.LUNs = append(acl.row.LUNs, d.number)
			} else {
				all = false
			}
		}
		switch {
		case len(acl.row.LUNs) == 0:
			t.note(Lost, acl.at, "the initiator %s, which sees no disk", acl.row.Name)
			t.leftOut = true
			continue
		case all:
			acl.row.LUNs = nil // which says all
		}
		slices.Sort(acl.row.LUNs)
		t.out.Initiators = append(t.out.Initiators, acl.row)
	}
	t.everybody()
}

// everybody lets in who is not listed, where every portal group did.
func (t *lioTarget) everybody() {
	if len(t.demo) == 0 {
		return
	}
	at := t.demo[0].at
	if t.leftOut {
		t.note(Lost, at, "those who are not listed in %s: a listed initiator was left out, and would come in as one of them", t.out.Name)
		return
	}
	if len(t.demo) < t.groups || slices.ContainsFunc(t.demo, func(d lioDemo) bool { return !same(d.users, t.demo[0].users) }) {
		t.note(Lost, at, "one portal group of %s lets in who is not listed, others do not; here the listed ones are let in alone", t.out.Name)
		return
	}
	row := &initiator{Name: "*", Networks: everywhere, CHAP: t.demo[0].users, at: at}
	all := true
	for _, d := range t.disks {
		if d.out == nil {
			continue
		}
		if slices.ContainsFunc(d.seen, func(v lioView) bool { return v.acl == nil }) {
			row.LUNs = append(row.LUNs, d.number)
		} else {
			all = false
		}
	}
	switch {
	case len(row.LUNs) == 0:
		return // each disk that they saw was left out, and told of
	case all:
		row.LUNs = nil
	}
	slices.Sort(row.LUNs)
	if all && row.CHAP == nil && len(t.out.Initiators) == 0 {
		t.out.Access = "open"
		t.note(Check, at, "LIO lets in whoever reaches it (generate_node_acls is 1), and so does the configuration (access: open): list the initiators")
		return
	}
	t.out.Initiators = append(t.out.Initiators, row)
	if row.CHAP == nil {
		t.note(Check, at, `LIO lets in whoever reaches it (generate_node_acls is 1), and so does the last row of the configuration ("*")`)
	}
}
