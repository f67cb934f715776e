package daemon

import (
	"slices"

	"nas-target/internal/config"
	"nas-target/internal/iscsi"
)

// algorithms are the hash functions of CHAP by their names in a configuration.
var algorithms = map[string]iscsi.CHAPAlgorithm{
	"sha3-256": iscsi.CHAPSHA3256,
	"sha-256":  iscsi.CHAPSHA256,
	"sha-1":    iscsi.CHAPSHA1,
	"md5":      iscsi.CHAPMD5,
}

// weakCHAP reports whether a login may be proven by MD5.
func weakCHAP(c *config.Config) bool {
	return c.UsesCHAP() && slices.Contains(c.CHAP.Algorithms, "md5")
}

// proofs makes of users what a login has to prove.
type proofs struct {
	secrets config.Secrets
	allowed []iscsi.CHAPAlgorithm
}

func newProofs(c *config.CHAP, secrets config.Secrets) proofs {
	p := proofs{secrets: secrets}
	for _, name := range c.Algorithms {
		p.allowed = append(p.allowed, algorithms[name])
	}
	return p
}

// of returns what the users owe, nil for nothing. That there are secrets for
// them was checked when those were loaded.
func (p proofs) of(u config.CHAPUsers) *iscsi.Auth {
	if u.User == "" {
		return nil
	}
	secret, known := p.secrets[u.User]
	a := &iscsi.Auth{
		Algorithms: p.allowed,
		Secret: func(user string) (iscsi.Secret, bool) {
			if user != u.User || !known {
				return "", false
			}
			return iscsi.Secret(secret.Reveal()), true
		},
	}
	if s, ok := p.secrets[u.MutualUser]; ok && u.MutualUser != "" {
		a.TargetUser, a.TargetSecret = u.MutualUser, iscsi.Secret(s.Reveal())
	}
	return a
}
