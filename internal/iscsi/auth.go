package iscsi

import (
	"strings"

	"nas-target/internal/iscsi/pdu"
)

// Auth is the proof an initiator owes. A nil *Auth asks for none.
type Auth struct{}

// maxCHAPText is the longest value in the text of a login: binary values have
// up to 1024 bytes.
const maxCHAPText = 2*1024 + 2

// authentication is the security stage of one login.
type authentication struct {
	need   *Auth
	chosen string // method
}

func (a *authentication) require(need *Auth) { a.need = need }

// satisfied reports whether the initiator may go on.
func (a *authentication) satisfied() bool { return a.need == nil }

// step takes the security keys of one request and returns the answers.
func (a *authentication) step(offer pdu.Text) (pdu.Text, *LoginError) {
	var reply pdu.Text
	methods, ok := offer.Get("AuthMethod")
	if !ok {
		return nil, nil
	}
	for m := range strings.SplitSeq(methods, ",") {
		if m == "None" && a.need == nil {
			a.chosen = m
			reply.Add("AuthMethod", m)
			return reply, nil
		}
	}
	return nil, refuse(pdu.LoginAuthenticationFailed, ReasonLoginAuthMethod)
}
