package iscsi

import (
	"errors"
	"fmt"
	"strings"

	"nas-target/internal/iscsi/pdu"
)

// Secret is a CHAP secret. However it is printed, it prints as ***.
type Secret string

// MinSecret is the shortest secret that makes sense, in bytes: RFC 7143 §9.2.1
// asks for 96 random bits.
const MinSecret = 12

// Format implements fmt.Formatter.
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte("***")) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Auth is the proof an initiator owes. A nil *Auth asks for none. It is
// immutable.
type Auth struct {
	// Secret returns the secret of a user, the initiator's CHAP_N.
	Secret func(user string) (Secret, bool)

	// TargetUser and TargetSecret are what we prove ourselves with, if the
	// initiator asks for it. Without a secret such an initiator is refused.
	TargetUser   string
	TargetSecret Secret

	// Algorithms that may be used; nil means all. MD5 is the only one that
	// every initiator has.
	Algorithms []CHAPAlgorithm
}

// CheckSecrets refuses secrets that RFC 7143 §9.2.1 forbids: too short ones,
// and one secret for both directions. target may be empty.
func CheckSecrets(initiator, target Secret) error {
	switch {
	case len(initiator) < MinSecret, target != "" && len(target) < MinSecret:
		return fmt.Errorf("a CHAP secret must have at least %d bytes", MinSecret)
	case len(initiator) > maxSecret, len(target) > maxSecret:
		return fmt.Errorf("a CHAP secret may have at most %d bytes", maxSecret)
	case initiator == target:
		return errors.New("the initiator and the target must have different CHAP secrets")
	}
	return nil
}

const maxSecret = 255

// authentication is the security stage of one login.
type authentication struct {
	need *Auth
	chap *chap // chosen
	done bool
	user string // that the initiator proved to be
}

func (a *authentication) require(need *Auth) { a.need = need }

// satisfied reports whether the initiator may go on.
func (a *authentication) satisfied() bool { return a.need == nil || a.done }

// step takes the security keys of one request and returns the answers. An
// initiator that wants to go on must have said something that leads there.
func (a *authentication) step(l *login, offer pdu.Text) (pdu.Text, *LoginError) {
	var reply pdu.Text
	if methods, ok := offer.Get("AuthMethod"); ok {
		method, err := a.choose(methods)
		if err != nil {
			return nil, err
		}
		reply.Add("AuthMethod", method)
		if method == "CHAP" {
			a.chap = &chap{auth: a.need, sent: &l.srv.challenges}
		}
	}
	if a.chap == nil {
		for _, p := range offer {
			if strings.HasPrefix(p.Key, "CHAP_") {
				return nil, refuse(pdu.LoginInitiatorError, ReasonCHAPNotChosen)
			}
		}
		if l.req.Transit && !a.satisfied() {
			return nil, refuse(pdu.LoginAuthenticationFailed, ReasonLoginAuthRequired)
		}
		return reply, nil
	}
	more, done, err := a.chap.step(offer)
	if done {
		a.done = true
		a.user, _ = offer.Get("CHAP_N")
	}
	return append(reply, more...), err
}

// choose takes the first method of the initiator that will do.
func (a *authentication) choose(methods string) (string, *LoginError) {
	want := "None"
	if a.need != nil {
		want = "CHAP"
	}
	for m := range strings.SplitSeq(methods, ",") {
		if m == want {
			return m, nil
		}
	}
	return "", refuse(pdu.LoginAuthenticationFailed, ReasonLoginAuthMethod)
}
