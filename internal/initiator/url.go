package initiator

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// URL is an iSCSI URL in the form that libiscsi and QEMU use:
// iscsi://[user[%secret]@]host[:port]/target/lun[?option=value[&...]].
type URL struct {
	User, Secret string
	Addr         string // host:port, port 3260 when not given
	Target       string // empty in a discovery URL
	LUN          uint16

	// Options header_digest, data_digest (none or crc32c), target_user and
	// target_password (mutual CHAP).
	HeaderDigest, DataDigest string
	TargetUser, TargetSecret string
}

// DefaultPort is the registered iSCSI port.
const DefaultPort = "3260"

// ParseURL parses an iSCSI URL. The secret follows the user behind '%' (libiscsi)
// or ':' (QEMU); both may be percent-encoded. Without a path the URL names a
// portal.
func ParseURL(s string) (URL, error) {
	rest, ok := strings.CutPrefix(s, "iscsi://")
	if !ok {
		return URL{}, errors.New("initiator: URL does not start with iscsi://")
	}
	var u URL
	authority, path, hasPath := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		var err error
		if u.User, u.Secret, err = splitUser(authority[:at]); err != nil {
			return URL{}, err
		}
		authority = authority[at+1:]
	}
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = strings.Trim(authority, "[]"), DefaultPort
	}
	if host == "" {
		return URL{}, errors.New("initiator: URL without a host")
	}
	u.Addr = net.JoinHostPort(host, port)
	if !hasPath || path == "" {
		return u, nil
	}
	path, query, _ := strings.Cut(path, "?")
	if err := u.options(query); err != nil {
		return URL{}, err
	}
	target, lun, ok := strings.Cut(path, "/")
	if !ok || target == "" {
		return URL{}, fmt.Errorf("initiator: URL path %q is not target/lun", path)
	}
	n, err := strconv.ParseUint(lun, 0, 14)
	if err != nil {
		return URL{}, fmt.Errorf("initiator: LUN %q: %w", lun, err)
	}
	u.Target, u.LUN = target, uint16(n)
	return u, nil
}

// options reads what follows the question mark.
func (u *URL) options(query string) error {
	digests := map[string]string{"none": "None", "crc32c": "CRC32C"}
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("initiator: URL options: %w", err)
	}
	for name := range values {
		v := values.Get(name)
		digest, known := digests[strings.ToLower(v)]
		switch name {
		case "header_digest":
			u.HeaderDigest = digest
		case "data_digest":
			u.DataDigest = digest
		case "target_user":
			u.TargetUser, known = v, true
		case "target_password":
			u.TargetSecret, known = v, true
		default:
			return fmt.Errorf("initiator: URL option %q is not known", name)
		}
		if !known {
			return fmt.Errorf("initiator: URL option %s: %q is neither none nor crc32c", name, v)
		}
	}
	return nil
}

// splitUser separates user and secret. '%' separates unless it starts an escape
// of two hex digits, as in libiscsi URLs where secrets follow the first '%'.
func splitUser(s string) (user, secret string, err error) {
	user = s
	if i := strings.IndexAny(s, ":%"); i >= 0 {
		user, secret = s[:i], s[i+1:]
	}
	if user, err = url.PathUnescape(user); err != nil {
		return "", "", fmt.Errorf("initiator: user: %w", err)
	}
	if secret, err = url.PathUnescape(secret); err != nil {
		// A literal percent sign in a secret is what libiscsi accepts.
		return user, s[strings.IndexAny(s, ":%")+1:], nil
	}
	return user, secret, nil
}

// Config returns the login configuration of a URL.
func (u URL) Config() Config {
	c := Config{
		Addr: u.Addr, Target: u.Target, Discovery: u.Target == "",
		HeaderDigest: u.HeaderDigest, DataDigest: u.DataDigest,
	}
	if u.User != "" {
		c.CHAP = &CHAP{User: u.User, Secret: u.Secret, MutualUser: u.TargetUser, MutualSecret: u.TargetSecret}
	}
	return c
}
