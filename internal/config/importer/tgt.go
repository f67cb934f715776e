package importer

import (
	"cmp"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// readTGT reads targets.conf as tgt-admin does when it fills an empty tgtd:
// target ids and LUNs that the file leaves open are counted the same way,
// because the identifiers follow from them.
func readTGT(d *draft, f File) error {
	syntax := tgtSyntax{include: d.options.Include}
	all, err := syntax.parse(f)
	if err != nil {
		return err
	}
	targets := map[string]*tgtTarget{}
	for _, x := range all {
		if !x.block {
			if err := d.tgtGlobal(x); err != nil {
				return err
			}
			continue
		}
		if x.name != "target" || x.value == "" {
			d.note(Lost, x.at, "<%s %s>: tgt-admin knows only <target NAME>, and ignores it", x.name, x.value)
			continue
		}
		t := targets[x.value]
		if t == nil {
			t = &tgtTarget{draft: d, name: x.value, at: x.at}
			targets[x.value] = t
		}
		t.lines = append(t.lines, x.inner...)
	}
	tid := 0
	for _, t := range slices.SortedFunc(values(targets), func(a, b *tgtTarget) int { return cmp.Compare(a.name, b.name) }) {
		if tid, err = t.read(tid + 1); err != nil {
			return err
		}
	}
	if len(targets) > 0 {
		d.note(Check, origin{file: f.Name}, "Linux names tgt's disks by their NAA identifier of type 6, and that one is kept. "+
			"An initiator that goes by the first NAA identifier of page 83h knew the one of type 3, %s for LUN 1 of target id 1: "+
			"for such initiators write that one into naa", tgtLocalNAA(1, 1))
	}
	d.listen(nil, f.Name)
	return nil
}

func values[K comparable, V any](m map[K]V) func(func(V) bool) {
	return func(yield func(V) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// tgtGlobal heeds a line outside of all targets.
func (d *draft) tgtGlobal(x directive) error {
	switch x.name {
	case "default-driver", "driver":
		if x.value != "iscsi" {
			d.note(Lost, x.at, "the transport %s; here it is TCP", x.value)
		}
	case "ignore-errors", "control-port": // how tgt-admin works, not what is served
	case "iSNS", "iSNSServerIP", "iSNSServerPort", "iSNSAccessControl":
		d.note(Lost, x.at, "%s: there is no iSNS here", x.name)
	case "incomingdiscoveryuser", "outgoingdiscoveryuser":
		user, secret, err := tgtAccount(x)
		if err != nil {
			return err
		}
		if d.CHAP == nil {
			d.CHAP = &chap{Discovery: &users{}}
		}
		place := &d.CHAP.Discovery.User
		if x.name == "outgoingdiscoveryuser" {
			place = &d.CHAP.Discovery.MutualUser
		}
		if *place != "" {
			return x.at.fail("%s stands twice", x.name)
		}
		*place = user
		if !d.account(user, secret, x.at) {
			return x.at.fail("the CHAP user %s has another secret elsewhere; here it has one", user)
		}
	default:
		d.note(Lost, x.at, "tgt-admin knows no %s outside of a target, and ignores it", x.name)
	}
	return nil
}

// tgtTarget is a <target> block, or several of one name together.
type tgtTarget struct {
	*draft
	name  string
	at    origin
	lines []directive
}

// Directives of a target that say nothing of a LUN.
const (
	tgtIgnored   = "allow-in-use control-port"
	tgtNegotiate = "MaxRecvDataSegmentLength MaxXmitDataSegmentLength HeaderDigest DataDigest InitialR2T MaxOutstandingR2T " +
		"ImmediateData FirstBurstLength MaxBurstLength DataPDUInOrder DataSequenceInOrder ErrorRecoveryLevel IFMarker OFMarker " +
		"DefaultTime2Wait DefaultTime2Retain OFMarkInt IFMarkInt MaxConnections"
	// tgtOfLUN are the directives of a LUN; before a block for one LUN they
	// stand for all LUNs of the target.
	tgtOfLUN = "lun scsi_id scsi_sn vendor_id product_id product_rev write-cache readonly removable online sense_format " +
		"device-type bs-type bsopts bsoflags block-size lbppbe la_lba optimal_xfer_gran optimal_xfer_len mode_page path params"
)

func among(list, name string) bool { return slices.Contains(strings.Fields(list), name) }

// read fills a target of the draft and returns the target id it had.
func (t *tgtTarget) read(tid int) (int, error) {
	out := t.target(t.name, t.at)
	shared := map[string]directive{}
	var stores []tgtStore
	access := tgtAccess{draft: t.draft, target: out, at: t.at}
	for _, x := range t.lines {
		switch {
		case x.name == "backing-store" || x.name == "direct-store":
			stores = append(stores, tgtStore{directive: x, direct: x.name == "direct-store"})
		case x.block:
			return 0, x.at.fail("<%s> is no block of a target: <backing-store> and <direct-store> are", x.name)
		case x.name == "controller_tid":
			n, err := strconv.Atoi(x.value)
			if err != nil || n < 1 {
				return 0, x.at.fail("%q is not a target id", x.value)
			}
			tid = n
		case access.takes(x):
		case x.name == "driver":
			if x.value != "iscsi" {
				t.note(Lost, x.at, "the transport %s; here it is TCP", x.value)
			}
		case x.name == "state":
			if x.value != "ready" {
				t.note(Lost, x.at, "state %s: a target that is in the configuration is served", x.value)
			}
		case among(tgtIgnored, x.name):
		case among(tgtNegotiate, x.name):
			t.note(Lost, x.at, "%s: what is negotiated with initiators cannot be set here", x.name)
		case among(tgtOfLUN, x.name):
			if err := single(shared, x); err != nil {
				return 0, err
			}
		default:
			t.note(Lost, x.at, "tgt-admin knows no %s, and ignores it", x.name)
		}
	}
	if err := access.finish(); err != nil {
		return 0, err
	}
	return tid, t.luns(out, tid, stores, shared)
}

// single remembers a directive that may stand once.
func single(seen map[string]directive, x directive) error {
	if first, twice := seen[x.name]; twice && !among("mode_page params", x.name) {
		return x.at.fail("%s stands twice; the first is on line %d", x.name, first.at.line)
	}
	seen[x.name] = x
	return nil
}

// tgtStore is a backing-store or direct-store.
type tgtStore struct {
	directive
	direct bool
	params map[string]directive
	lun    uint16
}

// luns gives each store its LUN, as tgt-admin does: what has none gets the
// lowest that is free, from 1, backing stores first, each kind by path.
func (t *tgtTarget) luns(out *target, tid int, stores []tgtStore, shared map[string]directive) error {
	slices.SortStableFunc(stores, func(a, b tgtStore) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.value, b.value))
	})
	styles, taken := map[string]bool{}, map[uint16]origin{}
	for i := range stores {
		s := &stores[i]
		if block, seen := styles[s.name]; seen && block != s.block {
			return s.at.fail("lines and blocks of %s are mixed, which tgt-admin does not understand", s.name)
		}
		styles[s.name] = s.block
		if s.value == "" {
			return s.at.fail("%s needs a path", s.name)
		}
		s.params = map[string]directive{}
		for _, x := range s.inner {
			switch {
			case x.block:
				return x.at.fail("<%s> inside of <%s>", x.name, s.name)
			case x.name == "allow-in-use":
			case !among(tgtOfLUN, x.name):
				t.note(Lost, x.at, "tgt-admin knows no %s of a LUN, and ignores it", x.name)
			default:
				if err := single(s.params, x); err != nil {
					return err
				}
			}
		}
		for name, x := range shared {
			if _, own := s.params[name]; !own && name != "block-size" {
				s.params[name] = x
			}
		}
		if x, ok := s.params["lun"]; ok {
			n, err := strconv.ParseUint(x.value, 10, 16)
			if err != nil || n == 0 {
				return x.at.fail("%q is not a LUN of tgt, 1 to 65535 (0 is the controller)", x.value)
			}
			if first, twice := taken[uint16(n)]; twice {
				return x.at.fail("LUN %d is taken by the store of line %d", n, first.line)
			}
			s.lun = uint16(n)
			taken[s.lun] = s.at
		}
	}
	if x, ok := shared["block-size"]; ok {
		t.note(Check, x.at, "tgt-admin heeds block-size only inside of a <backing-store> block; it is ignored here, too")
	}
	next := uint16(1)
	var last string
	for i := range stores {
		s := &stores[i]
		if !s.block && s.name+s.value == last {
			t.note(Lost, s.at, "%s stands twice in one target, which tgt-admin takes as once", s.value)
			continue
		}
		last = s.name + s.value
		if s.lun == 0 {
			for taken[next] != (origin{}) {
				next++
			}
			s.lun = next
			taken[next] = s.at
		}
		if err := t.lun(out, tid, s); err != nil {
			return err
		}
	}
	return nil
}

// tgtUnsupported says what is left behind with a directive of a LUN.
var tgtUnsupported = map[string]string{
	"sense_format":      "sense data have the format that the initiator asks for",
	"mode_page":         "mode pages are this target's own",
	"la_lba":            "the first block is aligned",
	"optimal_xfer_gran": "the block limits are this target's own",
	"optimal_xfer_len":  "the block limits are this target's own",
	"bsopts":            "there are no such options here",
	"params":            "these parameters are tgt's own",
}

// lun carries one store over.
func (t *tgtTarget) lun(out *target, tid int, s *tgtStore) error {
	l := &lun{LUN: s.lun, NAA: quoted(tgtNAA(tgtSCSIID(tid, s.lun))), Serial: quoted(tgtSerial(tid, s.lun)), at: s.at}
	path, serve, lbppbe := s.value, true, -1
	says := tgtInquiry
	skip := func(x directive, why string) {
		t.note(Lost, x.at, "LUN %d of %s, %s: %s", s.lun, out.Name, s.value, why)
		serve = false
	}
	for _, name := range strings.Fields(tgtOfLUN) {
		x, ok := s.params[name]
		if !ok {
			continue
		}
		switch name {
		case "lun":
		case "scsi_id":
			l.NAA = quoted(tgtNAA(x.value[:min(len(x.value), 36)]))
		case "scsi_sn":
			l.Serial = quoted(x.value[:min(len(x.value), 36)])
		case "vendor_id":
			says.vendor = x.value
		case "product_id":
			says.product = x.value
		case "product_rev":
			says.revision = x.value
		case "path":
			path = x.value
		case "write-cache":
			switch x.value {
			case "off":
				l.WriteCache = ptr(false)
			case "on", "":
			default:
				t.note(Check, x.at, "write-cache %s is neither on nor off; tgt-admin takes it as on", x.value)
			}
		case "bsoflags":
			for _, flag := range strings.FieldsFunc(x.value, func(r rune) bool { return r == ':' || r == ',' || r == ' ' }) {
				switch flag {
				case "direct":
					l.Direct = true
				case "sync":
					l.WriteCache = ptr(false) // every write durable before it is answered
				default:
					t.note(Lost, x.at, "bsoflags %s", flag)
				}
			}
		case "readonly":
			l.ReadOnly = atoi(x.value) != 0
		case "removable":
			if atoi(x.value) != 0 {
				t.note(Lost, x.at, "removable: disks are fixed here")
			}
		case "online":
			if atoi(x.value) == 0 {
				skip(x, "it is offline")
			}
		case "device-type":
			if x.value != "disk" {
				skip(x, "there is no device of the type "+x.value+" here")
			}
		case "bs-type":
			if x.value != "rdwr" && x.value != "aio" {
				skip(x, "there is no storage of the type "+x.value+" here")
			}
		case "block-size":
			if l.BlockSize = int64(atoi(x.value)); l.BlockSize == 0 {
				return x.at.fail("%q is not a block size", x.value)
			}
		case "lbppbe":
			lbppbe = atoi(x.value)
		default:
			t.note(Lost, x.at, "%s: %s", name, tgtUnsupported[name])
		}
	}
	if lbppbe >= 0 && lbppbe <= 7 {
		l.PhysicalBlock = max(l.BlockSize, 512) << lbppbe
	}
	says.of(l)
	if s.direct {
		t.directStore(s, l)
	}
	if _, own := s.params["scsi_id"]; serve && !own {
		t.note(Check, s.at, "the identifiers of LUN %d of %s follow from target id %d, which it gets in an empty tgtd: if the running one "+
			"has another (tgtadm --lld iscsi --mode target --op show), give it that controller_tid and import again", s.lun, out.Name, tid)
	}
	if !serve || !t.blocks(out, l) || !t.medium(l, path) {
		return nil
	}
	if l.Backstore == "block" {
		l.Direct = false // which it is anyway
	}
	t.nameLUN(l, strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
	out.LUNs = append(out.LUNs, l)
	return nil
}

// directStore says what tgt-admin would have asked the disk itself.
func (t *tgtTarget) directStore(s *tgtStore, l *lun) {
	if _, own := s.params["scsi_sn"]; !own {
		l.Serial = ""
		t.note(Check, s.at, "direct-store gives LUN %d the serial number of the disk %s: if sg_inq shows one, write it into serial", s.lun, s.value)
	}
	asked := []string{}
	for _, x := range []struct {
		directive, key string
		says           *quoted
	}{{"vendor_id", "vendor", &l.Vendor}, {"product_id", "product", &l.Product}, {"product_rev", "revision", &l.Revision}} {
		if _, own := s.params[x.directive]; !own {
			*x.says = ""
			asked = append(asked, x.key)
		}
	}
	if len(asked) > 0 {
		t.note(Check, s.at, "direct-store gives LUN %d what INQUIRY of the disk %s says: if hosts go by it, write it into %s", s.lun, s.value, strings.Join(asked, ", "))
	}
}

// atoi reads a number as tgtd does: what is none is 0.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// tgtAccess gathers who may log in to a target.
type tgtAccess struct {
	*draft
	target       *target
	at           origin
	names, addrs []directive
	in, out      []directive // incominguser, outgoinguser
}

func (a *tgtAccess) takes(x directive) bool {
	switch x.name {
	case "initiator-address":
		a.addrs = append(a.addrs, x)
	case "initiator-name":
		a.names = append(a.names, x)
	case "incominguser":
		a.in = append(a.in, x)
	case "outgoinguser":
		a.out = append(a.out, x)
	default:
		return false
	}
	return true
}

var everywhere = []string{"0.0.0.0/0", "::/0"}

// finish writes the rows. tgt lets in whose address or whose name is listed;
// tgt-admin lists every address when the file lists none.
func (a *tgtAccess) finish() error {
	users, err := a.users()
	if err != nil {
		return err
	}
	var networks []string
	open := len(a.addrs) == 0 && len(a.names) == 0
	for _, x := range a.addrs {
		if x.value == "ALL" {
			open = true
			continue
		}
		text := strings.NewReplacer("[", "", "]", "").Replace(x.value)
		if p, err := netip.ParsePrefix(text); err == nil {
			networks = append(networks, p.Masked().String())
		} else if ip, err := netip.ParseAddr(text); err == nil {
			networks = append(networks, netip.PrefixFrom(ip, ip.BitLen()).String())
		} else {
			a.note(Lost, x.at, "%q is not an address or a network; tgtd lets nobody in by it", x.value)
		}
	}
	for _, x := range a.names {
		a.target.Initiators = append(a.target.Initiators, &initiator{Name: strings.ToLower(x.value), CHAP: users, at: x.at})
	}
	if len(a.addrs) == 0 && len(a.names) > 0 {
		a.note(Changed, a.names[0].at, "only the listed initiators are let in; tgt-admin lets everybody in where there is no initiator-address")
	}
	switch {
	case open && users == nil:
		a.target.Access, a.target.Initiators = "open", nil
		a.note(Check, a.at, "tgt lets in whoever reaches it, and so does the configuration (access: open): list the initiators")
	case open:
		a.target.Initiators = append(a.target.Initiators, &initiator{Name: "*", Networks: everywhere, CHAP: users, at: a.at})
	case len(networks) > 0:
		a.target.Initiators = append(a.target.Initiators, &initiator{Name: "*", Networks: networks, CHAP: users, at: a.addrs[0].at})
	}
	return nil
}

// users returns the CHAP users of the target, nil for none.
func (a *tgtAccess) users() (*users, error) {
	var u users
	for _, list := range [][]directive{a.in, a.out} {
		for i, x := range list {
			user, secret, err := tgtAccount(x)
			if err != nil {
				return nil, err
			}
			if i > 0 {
				a.note(Lost, x.at, "%s %s: an initiator has one user here; list the initiators by name, each with its own", x.name, user)
				continue
			}
			if !a.account(user, secret, x.at) {
				return nil, x.at.fail("the CHAP user %s has another secret elsewhere; tgt, too, would take the first", user)
			}
			if x.name == "incominguser" {
				u.User = user
			} else {
				u.MutualUser = user
			}
		}
	}
	switch {
	case u.User == "" && u.MutualUser != "":
		a.note(Lost, a.out[0].at, "outgoinguser %s: the target proves itself only to initiators that do", u.MutualUser)
		return nil, nil
	case u.User == "":
		return nil, nil
	}
	return &u, nil
}

// tgtAccount reads "user secret".
func tgtAccount(x directive) (user, secret string, err error) {
	fields := strings.Fields(x.value)
	if len(fields) != 2 {
		return "", "", x.at.fail("%s needs a user and a secret", x.name)
	}
	return fields[0], fields[1], nil
}
