package importer

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// readLIO reads saveconfig.json, which targetcli and targetctl write.
func readLIO(d *draft, f File) error {
	tree, err := readTree(f)
	if err != nil {
		return err
	}
	if tree.kind != '{' {
		return tree.at.fail("an object in braces belongs here")
	}
	l := lioReader{draft: d, stores: map[string]*lioStore{}}
	l.unknown(tree, "storage_objects fabric_modules targets")
	if err := l.storageObjects(tree.get("storage_objects")); err != nil {
		return err
	}
	if err := l.discovery(tree.get("fabric_modules")); err != nil {
		return err
	}
	targets, err := tree.get("targets").items()
	if err != nil {
		return err
	}
	for _, n := range targets {
		if err := l.target(n); err != nil {
			return err
		}
	}
	d.listen(l.bindings, f.Name)
	return nil
}

type lioReader struct {
	*draft
	stores   map[string]*lioStore // by /backstores/<plugin>/<name>
	bindings []binding
}

// lioStore is a storage object: what a LUN will be, wherever it is mapped.
type lioStore struct {
	lun
	why    string // it cannot be served; "" if it can
	mapped string // the target that has it
}

// unknown tells of members that nobody here knows, nor LIO's tools of today.
func (l *lioReader) unknown(n *node, known string) {
	for _, m := range n.members() {
		if !among(known, m.name) {
			l.note(Lost, m.at, "%q is not understood", m.name)
		}
	}
}

func (l *lioReader) storageObjects(list *node) error {
	all, err := list.items()
	if err != nil {
		return err
	}
	for _, n := range all {
		if err := l.storageObject(n); err != nil {
			return err
		}
	}
	return nil
}

func (l *lioReader) storageObject(n *node) error {
	l.unknown(n, "name plugin dev size wwn write_back aio readonly nullio exclusive config hw_max_sectors control attributes alua_tpgs parameters")
	r := reading{node: n}
	name, plugin, dev, wwn := r.text("name"), r.text("plugin"), r.text("dev"), r.text("wwn")
	size, readOnly := r.number("size", 0), r.truth("readonly", false)
	attributes := reading{node: n.get("attributes")}
	writeCache := attributes.truth("emulate_write_cache", false)
	blockSize := attributes.number("block_size", 0)
	alias := attributes.truth("emulate_model_alias", false)
	if n.get("write_back") != nil {
		writeCache = r.truth("write_back", false)
	}
	if err := first(r.err, attributes.err); err != nil {
		return err
	}
	if name == "" || plugin == "" {
		return n.at.fail("a storage object needs name and plugin")
	}
	key := "/backstores/" + plugin + "/" + name
	if _, twice := l.stores[key]; twice {
		return n.at.fail("%s stands twice", key)
	}
	s := &lioStore{lun: lun{
		Path: dev, BlockSize: blockSize, ReadOnly: readOnly, WriteCache: ptr(writeCache), Serial: quoted(wwn), at: n.at,
	}}
	l.stores[key] = s
	lioInquiry(plugin, name, alias).of(&s.lun)
	if writeCache {
		s.WriteCache = nil // the default
	}
	if wwn != "" {
		s.NAA = quoted(lioNAA(wwn))
	} else if plugin != "pscsi" {
		l.note(Check, n.at, "%s has no wwn; LIO made one up at each start, so initiators know the disk by nothing that lasts", name)
	}
	switch {
	case plugin == "ramdisk":
		s.Path, s.Backstore, s.Size = "", "ram", size
		if n, err := n.get("nullio").truth(false); err != nil {
			return err
		} else if n {
			s.Backstore = "null"
		}
		if size <= 0 {
			s.why = "a ramdisk without a size"
		}
		s.WriteCache = nil
	case plugin == "pscsi":
		s.why = "pscsi hands the commands of initiators to a device as they are; use the block device instead, in a LUN with backstore: block"
	case plugin != "fileio" && plugin != "block":
		s.why = "there is no storage of the kind " + plugin + " here"
	case dev == "":
		return n.at.fail("%s has no dev", name)
	}
	l.attributes(n.get("attributes"), name)
	return l.alua(n.get("alua_tpgs"), name)
}

// lioAttributes are attributes of storage objects whose other value changes
// what initiators see: the value that says the same as here, and what is
// different otherwise. Those that say nothing here have no text.
var lioAttributes = map[string]struct{ same, text string }{
	"emulate_pr":                  {"1", "LIO refused persistent reservations; they are always there here"},
	"pgr_support":                 {"1", "LIO refused persistent reservations; they are always there here"},
	"enforce_pr_isids":            {"1", "LIO took a registration as good for every ISID of an initiator; here it is good for the one that made it"},
	"emulate_caw":                 {"1", "COMPARE AND WRITE was refused; it is always there here"},
	"emulate_3pc":                 {"1", "EXTENDED COPY was refused; it is always there here"},
	"emulate_tas":                 {"1", "LIO did not tell initiators of commands that others aborted; here the control mode page decides, and says that they are told"},
	"emulate_tpu":                 {"1", "UNMAP was refused; initiators will find a disk that frees blocks"},
	"emulate_rest_reord":          {"0", "the control mode page is this target's own"},
	"emulate_ua_intlck_ctrl":      {"0", "the control mode page is this target's own"},
	"emulate_rsoc":                {"1", "REPORT SUPPORTED OPERATION CODES was refused; it is always there here"},
	"pi_prot_type":                {"0", "there is no protection information here"},
	"alua_support":                {"1", ""},
	"block_size":                  {},
	"complete_type":               {},
	"emulate_dpo":                 {},
	"emulate_fua_read":            {},
	"emulate_fua_write":           {},
	"emulate_model_alias":         {},
	"emulate_tpws":                {},
	"emulate_write_cache":         {},
	"fabric_max_sectors":          {},
	"force_pr_aptpl":              {},
	"hw_block_size":               {},
	"hw_max_sectors":              {},
	"hw_pi_prot_type":             {},
	"hw_queue_depth":              {},
	"is_nonrot":                   {},
	"max_unmap_block_desc_count":  {},
	"max_unmap_lba_count":         {},
	"max_write_same_len":          {},
	"optimal_sectors":             {},
	"pi_prot_format":              {},
	"pi_prot_verify":              {},
	"queue_depth":                 {},
	"submit_type":                 {},
	"unmap_granularity":           {},
	"unmap_granularity_alignment": {},
	"unmap_zeroes_data":           {},
	"atomic_alignment":            {},
	"atomic_granularity":          {},
	"atomic_max_boundary":         {},
	"atomic_max_len":              {},
	"atomic_max_with_boundary":    {},
	"atomic_supported":            {},
	"atomic_unit_max":             {},
	"cmd_time_out":                {},
	"dev_config":                  {},
	"dev_size":                    {},
	"max_data_area_mb":            {},
	"data_pages_per_blk":          {},
	"nl_reply_supported":          {},
	"qfull_time_out":              {},
	"tmr_notification":            {},
}

func (l *lioReader) attributes(n *node, store string) {
	for _, m := range n.members() {
		a, known := lioAttributes[m.name]
		v, err := m.value.text()
		switch {
		case err != nil || !known:
			l.note(Lost, m.at, "the attribute %s of %s is not understood", m.name, store)
		case a.text != "" && v != a.same:
			l.note(Changed, m.at, "%s of %s is %s: %s", m.name, store, v, a.text)
		}
	}
}

// alua tells of target port groups that somebody has set up: what they say
// about paths is this target's own to say.
func (l *lioReader) alua(list *node, store string) error {
	all, err := list.items()
	if err != nil {
		return err
	}
	for _, n := range all {
		r := reading{node: n}
		name, state := r.text("name"), r.number("alua_access_state", 0)
		if r.err != nil {
			return r.err
		}
		if name != "default_tg_pt_gp" || state != 0 {
			l.note(Lost, n.at, "the ALUA group %s of %s: paths are as good as they are here", name, store)
		}
	}
	return nil
}

// discovery reads the CHAP users of discovery sessions.
func (l *lioReader) discovery(list *node) error {
	all, err := list.items()
	if err != nil {
		return err
	}
	for _, n := range all {
		l.unknown(n, "name discovery_userid discovery_password discovery_mutual_userid discovery_mutual_password discovery_enable_auth "+
			"userid password mutual_userid mutual_password attributes parameters")
		r := reading{node: n}
		if r.text("name") != "iscsi" {
			continue
		}
		enabled := r.truth("discovery_enable_auth", true)
		prefix := "discovery_"
		if n.get("userid") != nil {
			prefix = "" // as the manual page has it
		}
		if r.err != nil {
			return r.err
		}
		u, err := l.users(n, prefix)
		if errors.Is(err, errTwoSecrets) {
			return n.at.fail("the CHAP users of discovery: %v", err)
		}
		if err != nil {
			return err
		}
		if u != nil && enabled {
			l.CHAP = &chap{Discovery: u}
		}
	}
	return nil
}

// errTwoSecrets is a user that initiators know under different secrets, which
// LIO's lists for each initiator allow.
var errTwoSecrets = errors.New("another secret stands elsewhere for the same user, and here a user has one")

// users reads the four keys of CHAP that begin with prefix; nil says that there
// are none.
func (l *lioReader) users(n *node, prefix string) (*users, error) {
	r := reading{node: n}
	u := users{User: r.text(prefix + "userid"), MutualUser: r.text(prefix + "mutual_userid")}
	secret, mutual := r.text(prefix+"password"), r.text(prefix+"mutual_password")
	if r.err != nil {
		return nil, r.err
	}
	if u.User == "" || secret == "" {
		return nil, nil
	}
	if !l.account(u.User, secret, n.at) {
		return nil, errTwoSecrets
	}
	if mutual == "" {
		u.MutualUser = ""
	}
	if u.MutualUser != "" && !l.account(u.MutualUser, mutual, n.at) {
		return nil, errTwoSecrets
	}
	return &u, nil
}

func (l *lioReader) target(n *node) error {
	l.unknown(n, "wwn fabric tpgs attributes parameters")
	r := reading{node: n}
	name, fabric := r.text("wwn"), r.text("fabric")
	if r.err != nil {
		return r.err
	}
	if name == "" {
		return n.at.fail("a target needs wwn")
	}
	if fabric != "iscsi" {
		l.note(Lost, n.at, "the target %s of the fabric %s; here is iSCSI", name, fabric)
		return nil
	}
	tpgs, err := n.get("tpgs").items()
	if err != nil {
		return err
	}
	t := lioTarget{lioReader: l, out: l.draft.target(name, n.at)}
	for _, tpg := range tpgs {
		if err := t.tpg(tpg); err != nil {
			return err
		}
	}
	return t.finish()
}

// portals reads where a portal group listened.
func (t *lioTarget) portals(list *node, tag uint16) error {
	all, err := list.items()
	if err != nil {
		return err
	}
	for _, n := range all {
		t.unknown(n, "ip_address port iser offload attributes parameters")
		r := reading{node: n}
		text, port := r.text("ip_address"), r.number("port", 3260)
		iser, offload := r.truth("iser", false), r.truth("offload", false)
		if r.err != nil {
			return r.err
		}
		ip, err := netip.ParseAddr(strings.Trim(text, "[]"))
		if err != nil || port < 1 || port > 65535 {
			return n.at.fail("%s port %d is not an address and a port", text, port)
		}
		if iser || offload {
			t.note(Lost, n.at, "iSER and hardware offload; here it is TCP")
		}
		t.bindings = append(t.bindings, binding{t.out, tag, netip.AddrPortFrom(ip, uint16(port)), n.at})
	}
	return nil
}

// reading reads members of an object and keeps the first error.
type reading struct {
	node *node
	err  error
}

func (r *reading) text(name string) string {
	v, err := r.node.get(name).text()
	r.keep(err)
	return v
}

func (r *reading) number(name string, fallback int64) int64 {
	v, err := r.node.get(name).number(fallback)
	r.keep(err)
	return v
}

func (r *reading) truth(name string, fallback bool) bool {
	v, err := r.node.get(name).truth(fallback)
	r.keep(err)
	return v
}

func (r *reading) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func first(errs ...error) error {
	if i := slices.IndexFunc(errs, func(e error) bool { return e != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

func (l *lioReader) store(path string, at origin) (*lioStore, error) {
	if s := l.stores[path]; s != nil {
		return s, nil
	}
	return nil, at.fail("there is no storage object %s", path)
}

func tagOf(n *node) (uint16, error) {
	tag, err := n.get("tag").number(1)
	if err == nil && (tag < 0 || tag > 65535) {
		err = n.at.fail("the tag %d is not one of 1 to 65535", tag)
	}
	return uint16(tag), err
}

func lunNumber(v int64, at origin) (uint16, error) {
	if v < 0 || v > 65535 {
		return 0, at.fail("%d is not a LUN", v)
	}
	return uint16(v), nil
}

func storeName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
