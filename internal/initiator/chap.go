package initiator

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// CHAP holds the credentials of a login. RFC 7143 §12.1.3.
type CHAP struct {
	User, Secret string
	// MutualUser and MutualSecret, when the secret is not empty, make the target
	// prove itself too.
	MutualUser, MutualSecret string
	// Algorithms are the CHAP_A numbers offered, in order; default 7, 5.
	Algorithms []int
	// Base64 encodes CHAP_R and CHAP_C with 0b instead of 0x.
	Base64 bool
	// AuthMethods is the list offered; default "CHAP".
	AuthMethods string
	// Reflect sends the target's own challenge back as ours: an attack that a
	// target must refuse. RFC 7143 §9.2.1.
	Reflect bool
}

// chapHashes are the algorithms by CHAP_A number: IANA PPP authentication
// algorithms; RFC 7143 itself requires 5.
var chapHashes = map[int]func() hash.Hash{
	5: md5.New,
	6: sha1.New,
	7: sha256.New,
	8: func() hash.Hash { return sha3.New256() },
}

func chapResponse(alg int, id byte, secret string, challenge []byte) []byte {
	h := chapHashes[alg]()
	h.Write([]byte{id})
	h.Write([]byte(secret))
	h.Write(challenge)
	return h.Sum(nil)
}

func (c *CHAP) algorithms() []int {
	if len(c.Algorithms) > 0 {
		return c.Algorithms
	}
	return []int{7, 5}
}

func (c *CHAP) offer() string {
	s := make([]string, 0, 4)
	for _, a := range c.algorithms() {
		s = append(s, strconv.Itoa(a))
	}
	return strings.Join(s, ",")
}

func (c *CHAP) binary(b []byte) string {
	if c.Base64 {
		return "0b" + base64.StdEncoding.EncodeToString(b)
	}
	return "0x" + hex.EncodeToString(b)
}

// parseBinary decodes a binary value: 0x hex or 0b base64. RFC 7143 §6.1.
func parseBinary(s string) ([]byte, error) {
	switch {
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		return hex.DecodeString(s[2:])
	case strings.HasPrefix(s, "0b"), strings.HasPrefix(s, "0B"):
		return base64.StdEncoding.DecodeString(s[2:])
	}
	return nil, errors.New("neither 0x nor 0b")
}

// ErrTargetNotAuthentic means that the target failed mutual authentication.
var ErrTargetNotAuthentic = errors.New("initiator: target did not prove its identity")

// chapRun is one CHAP exchange seen from the initiator.
type chapRun struct {
	c         *CHAP
	alg       int
	id        byte   // our identifier, for mutual authentication
	challenge []byte // ours
	report    func(Rule, string)
}

// answer computes CHAP_N and CHAP_R, and CHAP_I and CHAP_C for mutual
// authentication, from the target's CHAP_A, CHAP_I and CHAP_C.
func (r *chapRun) answer(in Keys) (Keys, error) {
	get := func(name string) string {
		v, ok := in.Get(name)
		if !ok {
			r.report(RuleCHAP, name+" missing")
		}
		return v
	}
	alg, err := strconv.Atoi(get("CHAP_A"))
	if err != nil || chapHashes[alg] == nil || !strings.Contains(","+r.c.offer()+",", fmt.Sprintf(",%d,", alg)) {
		r.report(RuleCHAP, fmt.Sprintf("CHAP_A=%d is not one of %s", alg, r.c.offer()))
		return nil, fmt.Errorf("initiator: target chose CHAP algorithm %d", alg)
	}
	r.alg = alg
	id, err := parseNumber(get("CHAP_I"))
	if err != nil || id < 0 || id > 255 {
		r.report(RuleCHAP, fmt.Sprintf("CHAP_I %v is outside 0 to 255", in.All("CHAP_I")))
		return nil, errors.New("initiator: bad CHAP_I")
	}
	challenge, err := parseBinary(get("CHAP_C"))
	if err != nil || len(challenge) == 0 || len(challenge) > 1024 {
		r.report(RuleCHAP, fmt.Sprintf("CHAP_C of %d bytes: %v", len(challenge), err))
		return nil, errors.New("initiator: bad CHAP_C")
	}
	out := Keys{
		{"CHAP_N", r.c.User},
		{"CHAP_R", r.c.binary(chapResponse(alg, byte(id), r.c.Secret, challenge))},
	}
	if r.c.MutualSecret == "" {
		return out, nil
	}
	r.challenge = make([]byte, max(16, chapHashes[alg]().Size()))
	var one [1]byte
	rand.Read(one[:])
	rand.Read(r.challenge)
	r.id = one[0]
	if r.c.Reflect {
		r.id, r.challenge = byte(id), challenge
	}
	return append(out,
		Key{"CHAP_I", strconv.Itoa(int(r.id))},
		Key{"CHAP_C", r.c.binary(r.challenge)}), nil
}

// verify checks the target's own CHAP_N and CHAP_R.
func (r *chapRun) verify(in Keys) error {
	if r.c.MutualSecret == "" {
		return nil
	}
	text, ok := in.Get("CHAP_R")
	name, named := in.Get("CHAP_N")
	if !ok || !named {
		r.report(RuleCHAP, "mutual authentication was asked for, CHAP_N or CHAP_R missing")
		return ErrTargetNotAuthentic
	}
	got, err := parseBinary(text)
	want := chapResponse(r.alg, r.id, r.c.MutualSecret, r.challenge)
	if err != nil || subtle.ConstantTimeCompare(got, want) != 1 {
		return ErrTargetNotAuthentic
	}
	if r.c.MutualUser != "" && name != r.c.MutualUser {
		return ErrTargetNotAuthentic
	}
	return nil
}
