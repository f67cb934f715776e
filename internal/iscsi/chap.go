package iscsi

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"

	"nas-target/internal/iscsi/pdu"
)

// CHAPAlgorithm is a hash function, by its number in PPP. RFC 7143 §12.1.3
// requires MD5; the others are registered with IANA.
type CHAPAlgorithm uint8

// Algorithms.
const (
	CHAPMD5     CHAPAlgorithm = 5
	CHAPSHA1    CHAPAlgorithm = 6
	CHAPSHA256  CHAPAlgorithm = 7
	CHAPSHA3256 CHAPAlgorithm = 8
)

var chapAlgorithms = map[CHAPAlgorithm]struct {
	name string
	new  func() hash.Hash
}{
	CHAPMD5:     {"MD5", md5.New},
	CHAPSHA1:    {"SHA1", sha1.New},
	CHAPSHA256:  {"SHA-256", sha256.New},
	CHAPSHA3256: {"SHA3-256", func() hash.Hash { return sha3.New256() }},
}

func (a CHAPAlgorithm) String() string {
	if x, ok := chapAlgorithms[a]; ok {
		return x.name
	}
	return "algorithm " + strconv.Itoa(int(a))
}

// respond computes the answer to a challenge. RFC 1994 §4.1.
func (a CHAPAlgorithm) respond(id byte, s Secret, challenge []byte) []byte {
	h := chapAlgorithms[a].new()
	h.Write([]byte{id})
	h.Write([]byte(s))
	h.Write(challenge)
	return h.Sum(nil)
}

const (
	// maxCHAPBinary bounds challenges and responses, in bytes. RFC 7143
	// §12.1.3.
	maxCHAPBinary = 1024
	// maxCHAPText is the longest value in the text of a login, which is a
	// challenge in hexadecimal.
	maxCHAPText = 2*maxCHAPBinary + 2
)

// chap is one CHAP exchange, we being the authenticator first. RFC 7143
// §12.1.3.
type chap struct {
	auth      *Auth
	sent      *challenges
	algorithm CHAPAlgorithm // 0: not agreed yet
	id        byte
	challenge []byte
}

// step takes the keys of one request: first the list of algorithms, which we
// answer with a challenge, then the response to that.
func (c *chap) step(offer pdu.Text) (reply pdu.Text, done bool, err *LoginError) {
	list, algorithms := offer.Get("CHAP_A")
	name, named := offer.Get("CHAP_N")
	response, responded := offer.Get("CHAP_R")
	switch {
	case algorithms && c.algorithm == 0 && !named && !responded:
		return c.begin(list)
	case named && responded && c.algorithm != 0 && !algorithms:
		return c.verify(name, response, offer)
	case !algorithms && !named && !responded:
		return nil, false, nil // only AuthMethod so far, or nothing
	}
	return nil, false, refuse(pdu.LoginInitiatorError, ReasonCHAPSequence)
}

// begin agrees on an algorithm, the first of the initiator's that is allowed,
// and challenges.
func (c *chap) begin(list string) (pdu.Text, bool, *LoginError) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := pdu.ParseNumber(s, 0, 255)
		a := CHAPAlgorithm(n)
		if _, known := chapAlgorithms[a]; err != nil || !known || c.auth.Algorithms != nil && !slices.Contains(c.auth.Algorithms, a) {
			continue
		}
		c.algorithm = a
		var random [33]byte
		rand.Read(random[:])
		c.id = random[32]
		c.challenge = random[:max(16, chapAlgorithms[a].new().Size())]
		c.sent.add(c.challenge)
		var reply pdu.Text
		reply.Add("CHAP_A", strconv.Itoa(int(a)))
		reply.Add("CHAP_I", strconv.Itoa(int(c.id)))
		reply.Add("CHAP_C", pdu.FormatHex(c.challenge))
		return reply, false, nil
	}
	return nil, false, refuse(pdu.LoginAuthenticationFailed, ReasonCHAPAlgorithm)
}

// verify checks the response, and proves who we are if asked to. Whether the
// user or the secret was wrong cannot be told from outside.
func (c *chap) verify(user, response string, offer pdu.Text) (pdu.Text, bool, *LoginError) {
	got, err := pdu.ParseBinary(response, maxCHAPBinary)
	if err != nil {
		return nil, false, &LoginError{Status: pdu.LoginAuthenticationFailed, Reason: ReasonCHAPMalformed, Err: err}
	}
	secret, known := c.auth.Secret(user)
	if !known {
		secret = "a user that does not exist"
	}
	want := c.algorithm.respond(c.id, secret, c.challenge)
	if subtle.ConstantTimeCompare(got, want) != 1 || !known {
		return nil, false, refuse(pdu.LoginAuthenticationFailed, ReasonCHAPFailed)
	}
	// Our own answer to our own challenge proves nothing.
	if c.auth.TargetSecret != "" && subtle.ConstantTimeCompare(got, c.algorithm.respond(c.id, c.auth.TargetSecret, c.challenge)) == 1 {
		return nil, false, refuse(pdu.LoginAuthenticationFailed, ReasonCHAPReflected)
	}
	reply, lerr := c.prove(offer)
	return reply, lerr == nil, lerr
}

// prove answers the initiator's challenge, if there is one.
func (c *chap) prove(offer pdu.Text) (pdu.Text, *LoginError) {
	idText, hasID := offer.Get("CHAP_I")
	challengeText, hasChallenge := offer.Get("CHAP_C")
	if !hasID && !hasChallenge {
		return nil, nil
	}
	if c.auth.TargetSecret == "" {
		return nil, refuse(pdu.LoginAuthenticationFailed, ReasonCHAPNoTargetSecret)
	}
	id, err1 := pdu.ParseNumber(idText, 0, 255)
	challenge, err2 := pdu.ParseBinary(challengeText, maxCHAPBinary)
	if err1 != nil || err2 != nil || len(challenge) == 0 {
		return nil, refuse(pdu.LoginAuthenticationFailed, ReasonCHAPMalformed)
	}
	// RFC 7143 §9.2.1: whoever sends us a challenge of ours wants us to
	// answer it for him.
	if c.sent.has(challenge) {
		return nil, refuse(pdu.LoginAuthenticationFailed, ReasonCHAPReflected)
	}
	var reply pdu.Text
	reply.Add("CHAP_N", c.auth.TargetUser)
	reply.Add("CHAP_R", pdu.FormatHex(c.algorithm.respond(byte(id), c.auth.TargetSecret, challenge)))
	return reply, nil
}

// end forgets the challenge.
func (c *chap) end() {
	if c != nil && c.challenge != nil {
		c.sent.remove(c.challenge)
	}
}

// challenges are those of all logins under way.
type challenges struct {
	mu  sync.Mutex
	set map[string]struct{}
}

func (c *challenges) add(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		c.set = map[string]struct{}{}
	}
	c.set[string(b)] = struct{}{}
}

func (c *challenges) remove(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.set, string(b))
}

func (c *challenges) has(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.set[string(b)]
	return ok
}
