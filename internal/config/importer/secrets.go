package importer

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Secrets is the text of a secrets file. It prints as ***: the text is behind
// a function, where no format verb reaches it.
type Secrets struct{ reveal func() []byte }

// Empty reports that there is none to keep.
func (s Secrets) Empty() bool { return s.reveal == nil }

// Reveal returns the text.
func (s Secrets) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// Format implements fmt.Formatter.
func (Secrets) Format(f fmt.State, _ rune) { io.WriteString(f, "***") }

// accounts are CHAP users and what they know.
type accounts map[string]account

type account struct {
	secret string
	at     origin
}

// What the daemon asks of a secret, in bytes. RFC 7143 §9.2.1.
const minSecret, maxSecret = 12, 255

// unfit says why a secret cannot stand in the secrets file, "" if it can.
func (a account) unfit() string {
	switch n := len(a.secret); {
	case n < minSecret || n > maxSecret:
		return fmt.Sprintf("has %d bytes, and must have %d to %d", n, minSecret, maxSecret)
	case strings.TrimSpace(a.secret) != a.secret || strings.ContainsAny(a.secret, "\r\n"):
		return "begins or ends with a blank, or has a line end in it"
	}
	return ""
}

// account remembers a user. One user has one secret in all of the
// configuration: it refuses a second one.
func (d *draft) account(user, secret string, at origin) bool {
	first, known := d.secrets[user]
	if known {
		return first.secret == secret
	}
	d.secrets[user] = account{secret, at}
	if why := d.secrets[user].unfit(); why != "" {
		d.note(Lost, at, "the secret of the CHAP user %s %s: put a new one into the secrets file and into the initiator", user, why)
	}
	return true
}

// text is what goes into the secrets file: lines "user secret", and a comment
// in place of a secret that is unfit. The daemon then names the user and does
// not start.
func (a accounts) text(d *draft) Secrets {
	var b bytes.Buffer
	for _, user := range slices.Sorted(maps.Keys(a)) {
		switch {
		case !d.asksFor(user):
		case a[user].unfit() != "":
			fmt.Fprintf(&b, "# %s needs a new secret of %d bytes or more\n", user, minSecret)
		default:
			fmt.Fprintf(&b, "%s %s\n", user, a[user].secret)
		}
	}
	if b.Len() == 0 {
		return Secrets{}
	}
	text := b.Bytes()
	return Secrets{func() []byte { return bytes.Clone(text) }}
}

// asksFor reports whether the configuration mentions a user.
func (d *draft) asksFor(user string) bool {
	named := func(u *users) bool { return u != nil && (u.User == user || u.MutualUser == user) }
	if d.CHAP != nil && named(d.CHAP.Discovery) {
		return true
	}
	for _, t := range d.Targets {
		if slices.ContainsFunc(t.Initiators, func(i *initiator) bool { return named(i.CHAP) }) {
			return true
		}
	}
	return false
}
