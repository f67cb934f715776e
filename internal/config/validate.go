package config

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"nas-target/internal/backstore"
)

// maxLUN is the largest number that flat space addressing can name. SAM-5 4.7.7.3.
const maxLUN = 1<<14 - 1

// minEraseSpeed keeps out numbers that were not meant as bytes: an erasure
// would take years, and the LUN serves nothing meanwhile.
const minEraseSpeed = 1 << 20

// validate looks at what the values mean, alone and together.
func validate(c *Config, held Held, report func(path, reason string)) {
	if c.DataDir == "" {
		report("data_dir", "must not be empty")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		report("log.level", fmt.Sprintf("%q is none of debug, info, warn, error", c.Log.Level))
	}
	if !slices.Contains([]string{"console", "json"}, c.Log.Format) {
		report("log.format", fmt.Sprintf("%q is neither console nor json", c.Log.Format))
	}
	validatePage(&c.Page, report)
	validateLimits(&c.Limits, report)
	if host, port, err := net.SplitHostPort(c.ISNS.Server); c.ISNS.Server != "" && (err != nil || host == "" || port == "") {
		report("isns.server", fmt.Sprintf("%q is not host:port, such as 192.0.2.1:3205", c.ISNS.Server))
	}
	validateCHAP(&c.CHAP, report)
	groups := validatePortals(c, report)
	targets, luns := map[string]string{}, map[string]string{}
	for i := range c.Targets {
		t, path := &c.Targets[i], fmt.Sprintf("targets[%d]", i)
		unique(targets, t.Name, path+".name", report)
		validateTarget(t, path, groups, report)
		for j := range t.LUNs {
			unique(luns, t.LUNs[j].Name, fmt.Sprintf("%s.luns[%d].name", path, j), report)
		}
	}
	validateIdentities(c, held, report)
	if len(c.Targets) > 0 && len(c.Portals) == 0 {
		report("targets", "no portals are configured, so nobody could reach them")
	}
}

// unique reports a value that stands at another path already.
func unique[K comparable](seen map[K]string, value K, path string, report func(path, reason string)) {
	if first, twice := seen[value]; twice {
		report(path, fmt.Sprintf("%v is taken by %s", value, first))
		return
	}
	seen[value] = path
}

// validatePage keeps the page on this machine unless it is encrypted.
func validatePage(p *Page, report func(path, reason string)) {
	if (p.Certificate == "") != (p.Key == "") {
		report("page.certificate", "a certificate and its key go together")
	}
	if p.Listen == "" {
		return
	}
	at, err := netip.ParseAddrPort(p.Listen)
	switch {
	case err != nil:
		report("page.listen", fmt.Sprintf("%q is not an IP address with a port, such as 127.0.0.1:3280", p.Listen))
	case !at.Addr().Unmap().IsLoopback() && p.Certificate == "":
		report("page.listen", "beyond this machine the page needs a certificate and a key")
	}
}

// validateLimits keeps the pings from being a load, or from cutting off an
// initiator that is merely slow.
func validateLimits(l *Limits, report func(path, reason string)) {
	if l.PingInterval != 0 && l.PingInterval < time.Second {
		report("limits.ping_interval", "must be at least 1s, or 0s for no pings")
	}
	if l.PingTimeout < time.Second {
		report("limits.ping_timeout", "must be at least 1s")
	}
}

// Algorithms are the names of the hash functions of CHAP, the strongest first.
// Whether one is used is the initiator's choice among those that are allowed.
func Algorithms() []string { return []string{"sha3-256", "sha-256", "sha-1", "md5"} }

func validateCHAP(c *CHAP, report func(path, reason string)) {
	if len(c.Algorithms) == 0 {
		report("chap.algorithms", "must name at least one of "+strings.Join(Algorithms(), ", "))
	}
	named := map[string]string{}
	for i, a := range c.Algorithms {
		path := fmt.Sprintf("chap.algorithms[%d]", i)
		if !slices.Contains(Algorithms(), a) {
			report(path, fmt.Sprintf("%q is none of %s", a, strings.Join(Algorithms(), ", ")))
		}
		unique(named, a, path, report)
	}
	validateUsers(c.Discovery, "chap.discovery", report)
}

// maxUser is what an initiator may send as CHAP_N. RFC 7143 §6.1.
const maxUser = 255

func validateUsers(u CHAPUsers, path string, report func(path, reason string)) {
	for _, x := range []struct{ key, name string }{{"user", u.User}, {"mutual_user", u.MutualUser}} {
		switch {
		case len(x.name) > maxUser:
			report(path+"."+x.key, fmt.Sprintf("a CHAP user has at most %d bytes", maxUser))
		case strings.ContainsFunc(x.name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\ufffd' }):
			report(path+"."+x.key, fmt.Sprintf("%q: a CHAP user has no blanks and no control characters", x.name))
		case strings.HasPrefix(x.name, "#"):
			report(path+"."+x.key, fmt.Sprintf("%q: a CHAP user cannot begin with #, which begins a comment in the secrets file", x.name))
		}
	}
	switch {
	case u.User == "" && u.MutualUser != "":
		report(path+".mutual_user", "the target proves itself only to an initiator that does: name its user too")
	case u.User != "" && u.User == u.MutualUser:
		report(path+".mutual_user", "the two directions need different users, because they need different secrets")
	}
}

func validatePortals(c *Config, report func(path, reason string)) map[uint16]string {
	groups, addrs := map[uint16]string{}, map[netip.AddrPort]string{}
	for i, p := range c.Portals {
		path := fmt.Sprintf("portals[%d]", i)
		if p.Group == 0 {
			report(path+".group", "must be 1 to 65535")
		}
		unique(groups, p.Group, path+".group", report)
		if len(p.Listen) == 0 {
			report(path+".listen", "must name at least one address, such as 10.0.0.5:3260")
		}
		for j, a := range p.Listen {
			unique(addrs, a, fmt.Sprintf("%s.listen[%d]", path, j), report)
		}
	}
	return groups
}

func validateTarget(t *Target, path string, groups map[uint16]string, report func(path, reason string)) {
	if reason := badName(t.Name); reason != "" {
		report(path+".name", reason)
	}
	for i, g := range t.PortalGroups {
		if _, ok := groups[g]; !ok {
			report(fmt.Sprintf("%s.portal_groups[%d]", path, i), fmt.Sprintf("there is no portal group %d", g))
		}
	}
	switch t.Access {
	case AccessListed:
	case AccessOpen:
		if len(t.Initiators) > 0 {
			report(path+".initiators", "has no effect with access: open; remove one of them")
		}
	default:
		report(path+".access", fmt.Sprintf("%q is neither listed nor open", t.Access))
	}
	for _, d := range []struct {
		key   string
		value Digest
	}{{"header_digest", t.HeaderDigest}, {"data_digest", t.DataDigest}} {
		if !slices.Contains([]Digest{DigestOffered, DigestRequired, DigestRefused}, d.value) {
			report(path+"."+d.key, fmt.Sprintf("%q is none of offered, required, refused", d.value))
		}
	}
	if t.MovedTo != "" {
		if to, err := netip.ParseAddrPort(t.MovedTo); err != nil || to.Port() == 0 {
			report(path+".moved_to", fmt.Sprintf("%q is not an address with a port, such as 10.0.0.5:3260 or [fd00::5]:3260", t.MovedTo))
		}
	}
	numbers := map[uint16]string{}
	for i := range t.LUNs {
		l, at := &t.LUNs[i], fmt.Sprintf("%s.luns[%d]", path, i)
		unique(numbers, l.LUN, at+".lun", report)
		validateLUN(l, at, report)
	}
	rows := map[string]string{}
	for i, init := range t.Initiators {
		at := fmt.Sprintf("%s.initiators[%d]", path, i)
		if first, twice := rows[init.ID()]; twice {
			report(at+".name", fmt.Sprintf("%s, from the same networks, is taken by %s", init.Name, first))
		}
		rows[init.ID()] = at
		if init.Name != AnyInitiator {
			// RFC 3722 has no underscores, and a target's name with one could be
			// refused. Initiators come with the names that they have.
			if badName(strings.ReplaceAll(init.Name, "_", "-")) != "" {
				report(at+".name", badName(init.Name))
			}
		} else if len(init.Networks) == 0 {
			report(at+".name", `"*" needs networks; to let everybody in write access: open`)
		}
		validateUsers(init.CHAP, at+".chap", report)
		for j, n := range init.LUNs {
			if _, ok := numbers[n]; !ok {
				report(fmt.Sprintf("%s.luns[%d]", at, j), fmt.Sprintf("the target has no LUN %d", n))
			}
		}
	}
}

var (
	lunName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	serial  = regexp.MustCompile(`^[!-~]{1,64}$`)
)

func validateLUN(l *LUN, path string, report func(path, reason string)) {
	if l.LUN > maxLUN {
		report(path+".lun", fmt.Sprintf("must be 0 to %d", maxLUN))
	}
	if !lunName.MatchString(l.Name) {
		report(path+".name", fmt.Sprintf("%q is not a name: up to 63 letters, digits, dots, dashes and underscores", l.Name))
	}
	if _, err := backstore.Lookup(l.Backstore); err != nil {
		report(path+".backstore", fmt.Sprintf("%q is none of %s", l.Backstore, kindNames()))
	}
	if l.BlockSize != 512 && l.BlockSize != 4096 {
		report(path+".block_size", fmt.Sprintf("%d is neither 512 nor 4096", l.BlockSize))
	}
	if p := l.PhysicalBlockSize; p != 0 && (p < l.BlockSize || p > 64<<10 || p&(p-1) != 0) {
		report(path+".physical_block_size", fmt.Sprintf("%d is no power of two from block_size to 65536", p))
	}
	if s := l.EraseSpeed; s != 0 && s < minEraseSpeed {
		report(path+".erase_speed", "must be at least 1MiB (each second), or 0 for no limit")
	}
	if l.NAA != "" {
		if _, err := ParseNAA(l.NAA); err != nil {
			report(path+".naa", err.Error())
		}
	}
	if l.Serial != "" && !serial.MatchString(l.Serial) {
		report(path+".serial", "must be 1 to 64 printable ASCII characters without blanks")
	}
	validateInquiry(l, path, report)
}

// validateInquiry looks at the texts of standard INQUIRY data: ASCII, filled up
// with blanks. SPC-4 r36f 6.6.2.
func validateInquiry(l *LUN, path string, report func(path, reason string)) {
	for _, x := range []struct {
		key, text string
		most      int
	}{{"vendor", l.Vendor, 8}, {"product", l.Product, 16}, {"revision", l.Revision, 4}} {
		if len(x.text) > x.most || strings.TrimSpace(x.text) != x.text || strings.ContainsFunc(x.text, func(r rune) bool { return r < ' ' || r > '~' }) {
			report(path+"."+x.key, fmt.Sprintf("must be up to %d printable ASCII characters, with no blanks around them", x.most))
		}
	}
}

func kindNames() string {
	var names []string
	for _, k := range backstore.Kinds() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// ParseNAA reads an NAA identifier: 8 bytes with type 2, 3 or 5, or 16 bytes
// with type 6, in hexadecimal. SPC-4 r37 7.8.6.6.
func ParseNAA(s string) ([]byte, error) {
	text := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(s), "naa."), "0x")
	b, err := hex.DecodeString(text)
	if err == nil && len(b) > 0 {
		switch kind := b[0] >> 4; {
		case len(b) == 8 && (kind == 2 || kind == 3 || kind == 5), len(b) == 16 && kind == 6:
			return b, nil
		}
	}
	return nil, fmt.Errorf("%q is not an NAA identifier: 16 hexadecimal digits that begin with 2, 3 or 5, or 32 that begin with 6", s)
}

var iqn = regexp.MustCompile(`^iqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9-]+(\.[a-z0-9-]+)*(:[a-z0-9.:-]+)?$`)
var other = regexp.MustCompile(`^(eui\.[0-9a-f]{16}|naa\.[0-9a-f]{16}|naa\.[0-9a-f]{32})$`)

// badName says what is wrong with an iSCSI name. RFC 7143 §4.2.7.
func badName(name string) string {
	switch {
	case name == "":
		return "must not be empty"
	case len(name) > 223:
		return "an iSCSI name has at most 223 bytes"
	case name != strings.ToLower(name):
		return fmt.Sprintf("%q: write iSCSI names in lower case; initiators compare them that way", name)
	case !iqn.MatchString(name) && !other.MatchString(name):
		return fmt.Sprintf("%q is not an iSCSI name, such as iqn.2026-11.com.example:disks", name)
	}
	return ""
}
