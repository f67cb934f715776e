package iscsi

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
)

const (
	testSecret   Secret = "correct horse battery"
	testTargetPW Secret = "staple staple staple"
)

// withCHAP makes the rig's target ask for proof.
func withCHAP(r *rig, a *Auth) {
	if a.Secret == nil {
		a.Secret = func(user string) (Secret, bool) { return testSecret, user == "alice" }
	}
	r.node.Authorize = func(InitiatorInfo) (*Auth, *LoginError) { return a, nil }
}

// chapLogin is one CHAP login, step by step. Each change spoils one part.
type chapLogin struct {
	algorithms string // default "5"
	user       string // default alice
	secret     Secret // default testSecret
	base64     bool
	mutual     bool
	response   func(string) string
	extra      func(challenge string) string // keys beside the response, "A=b C=d"
	methods    string                        // default "CHAP"
}

// run plays the login up to the answer to the response, or to the first
// refusal.
func (c chapLogin) run(i *iscsitest.Initiator) (*pdu.LoginResponse, pdu.Text) {
	i.T.Helper()
	if c.algorithms == "" {
		c.algorithms = "5"
	}
	if c.methods == "" {
		c.methods = "CHAP"
	}
	a, text := i.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false, names+" AuthMethod="+c.methods)
	if a.Status != 0 {
		return a, text
	}
	require.Equal(i.T, iscsitest.Text("TargetPortalGroupTag=1 AuthMethod=CHAP"), text)
	require.False(i.T, a.Transit)
	a, text = i.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false, "CHAP_A="+c.algorithms)
	if a.Status != 0 {
		return a, text
	}
	q := i.LoginRequest(pdu.SecurityNegotiation, pdu.OperationalNegotiation, true)
	i.Send(q, c.answer(i, text).Append(nil))
	return i.LoginAnswer()
}

// answer builds the response to a challenge.
func (c chapLogin) answer(i *iscsitest.Initiator, text pdu.Text) pdu.Text {
	get := func(k string) string {
		v, ok := text.Get(k)
		require.True(i.T, ok, k)
		return v
	}
	alg, err := pdu.ParseNumber(get("CHAP_A"), 0, 255)
	require.NoError(i.T, err)
	id, err := pdu.ParseNumber(get("CHAP_I"), 0, 255)
	require.NoError(i.T, err)
	challenge, err := pdu.ParseBinary(get("CHAP_C"), 1024)
	require.NoError(i.T, err)
	require.GreaterOrEqual(i.T, len(challenge), 16)
	if c.user == "" {
		c.user = "alice"
	}
	if c.secret == "" {
		c.secret = testSecret
	}
	b := CHAPAlgorithm(alg).respond(byte(id), c.secret, challenge)
	r := pdu.FormatHex(b)
	if c.base64 {
		r = "0b" + base64.StdEncoding.EncodeToString(b)
	}
	if c.response != nil {
		r = c.response(r)
	}
	t := pdu.Text{{Key: "CHAP_N", Value: c.user}, {Key: "CHAP_R", Value: r}}
	if c.mutual {
		t = append(t, pdu.Pair{Key: "CHAP_I", Value: "0x2a"}, pdu.Pair{Key: "CHAP_C", Value: pdu.FormatHex(pattern(32, 1))})
	}
	if c.extra != nil {
		t = append(t, iscsitest.Text(c.extra(get("CHAP_C")))...)
	}
	return t
}

// enters goes on to full feature phase and does a command.
func enters(i *iscsitest.Initiator) {
	i.T.Helper()
	a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, "")
	require.Equal(i.T, pdu.LoginSuccess, a.Status)
	require.NotZero(i.T, a.TSIH)
	ping(i)
}

func TestCHAP(t *testing.T) {
	for _, c := range []struct {
		name   string
		login  chapLogin
		expect CHAPAlgorithm
	}{
		{"MD5", chapLogin{algorithms: "5"}, CHAPMD5},
		{"SHA1", chapLogin{algorithms: "6"}, CHAPSHA1},
		{"SHA-256", chapLogin{algorithms: "7"}, CHAPSHA256},
		{"SHA3-256", chapLogin{algorithms: "8"}, CHAPSHA3256},
		{"initiator's order", chapLogin{algorithms: "7,5,8"}, CHAPSHA256},
		{"unknown ones skipped", chapLogin{algorithms: "99,260,x,8,5"}, CHAPSHA3256},
		{"base64", chapLogin{base64: true}, CHAPMD5},
		{"upper case", chapLogin{response: strings.ToUpper}, CHAPMD5},
		{"mutual", chapLogin{mutual: true, algorithms: "7"}, CHAPSHA256},
		{"None offered first", chapLogin{methods: "None,CHAP"}, CHAPMD5},
		{"unknown method first", chapLogin{methods: "KRB5,CHAP,None"}, CHAPMD5},
	} {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				withCHAP(r, &Auth{TargetUser: "target", TargetSecret: testTargetPW})
				i := r.connect()
				a, text := c.login.run(i)
				require.Equal(t, pdu.LoginSuccess, a.Status)
				require.True(t, a.Transit)
				if c.login.mutual {
					want := c.expect.respond(0x2a, testTargetPW, pattern(32, 1))
					require.Equal(t, pdu.Text{{Key: "CHAP_N", Value: "target"}, {Key: "CHAP_R", Value: pdu.FormatHex(want)}}, text)
				} else {
					require.Empty(t, text)
				}
				enters(i)
			})
		})
	}
}

// CHAP_A may come together with AuthMethod.
func TestCHAPInOneStepLess(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{})
		i := r.connect()
		_, text := i.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false, names+" AuthMethod=CHAP CHAP_A=7")
		i.Send(i.LoginRequest(pdu.SecurityNegotiation, pdu.FullFeaturePhase, true), chapLogin{}.answer(i, text).Append(nil))
		a, _ := i.LoginAnswer()
		require.Equal(t, pdu.LoginSuccess, a.Status)
		require.Equal(t, pdu.FullFeaturePhase, a.NSG)
		ping(i)
	})
}

func TestCHAPRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		login  chapLogin
		status pdu.LoginStatus
		reason Reason
	}{
		{"wrong secret", chapLogin{secret: "correct horse batterz"}, 0x0201, ReasonCHAPFailed},
		{"unknown user", chapLogin{user: "bob"}, 0x0201, ReasonCHAPFailed},
		{"empty user", chapLogin{user: " "}, 0x0201, ReasonCHAPFailed},
		{"the target's secret", chapLogin{secret: testTargetPW}, 0x0201, ReasonCHAPFailed},
		{"short response", chapLogin{response: func(s string) string { return s[:20] }}, 0x0201, ReasonCHAPFailed},
		{"empty response", chapLogin{response: func(string) string { return "" }}, 0x0201, ReasonCHAPMalformed},
		{"0x alone", chapLogin{response: func(string) string { return "0x" }}, 0x0201, ReasonCHAPMalformed},
		{"no digits", chapLogin{response: func(s string) string { return "0xzz" + s[4:] }}, 0x0201, ReasonCHAPMalformed},
		{"bad base64", chapLogin{response: func(string) string { return "0bAAA" }}, 0x0201, ReasonCHAPMalformed},
		{"1025 bytes", chapLogin{response: func(string) string { return "0x" + strings.Repeat("00", 1025) }}, 0x0200, ReasonLoginText},
		{"1025 bytes in base64", chapLogin{response: func(string) string { return "0b" + strings.Repeat("AAAA", 342) }}, 0x0201, ReasonCHAPMalformed},
		{"1024 bytes", chapLogin{response: func(string) string { return "0x" + strings.Repeat("00", 1024) }}, 0x0201, ReasonCHAPFailed},
		{"no algorithm", chapLogin{algorithms: "56"}, 0x0201, ReasonCHAPAlgorithm},
		{"empty list", chapLogin{algorithms: " "}, 0x0201, ReasonCHAPAlgorithm},
		{"our challenge back", chapLogin{extra: func(c string) string { return "CHAP_I=1 CHAP_C=" + c }}, 0x0201, ReasonCHAPReflected},
		{"challenge of no bytes", chapLogin{extra: func(string) string { return "CHAP_I=1 CHAP_C=0x" }}, 0x0201, ReasonCHAPMalformed},
		{"identifier 256", chapLogin{extra: func(string) string { return "CHAP_I=256 CHAP_C=0x00112233445566778899aabbccddeeff" }}, 0x0201, ReasonCHAPMalformed},
		{"identifier alone", chapLogin{extra: func(string) string { return "CHAP_I=1" }}, 0x0201, ReasonCHAPMalformed},
		{"challenge alone", chapLogin{extra: func(string) string { return "CHAP_C=0x00112233445566778899aabbccddeeff" }}, 0x0201, ReasonCHAPMalformed},
		{"algorithms again", chapLogin{extra: func(string) string { return "CHAP_A=5" }}, 0x0200, Reason(keyDuplicate)},
		{"None only", chapLogin{methods: "None"}, 0x0201, ReasonLoginAuthMethod},
	} {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				withCHAP(r, &Auth{TargetUser: "target", TargetSecret: testTargetPW})
				i := r.connect()
				a, text := c.login.run(i)
				require.Equal(t, c.status, a.Status)
				require.Empty(t, text, "nothing that helps the next attempt")
				i.Closed()
				r.requireSaw(c.reason)
				require.Empty(t, r.srv.Sessions())
				require.Empty(t, r.srv.challenges.set)
			})
		})
	}
}

// Each of these skips or repeats a step of the exchange.
func TestCHAPSequence(t *testing.T) {
	for _, c := range []struct {
		name   string
		steps  []string
		status pdu.LoginStatus
		reason Reason
	}{
		{"response before challenge", []string{names + " AuthMethod=CHAP", "CHAP_N=alice CHAP_R=0x00"}, 0x0200, ReasonCHAPSequence},
		{"name alone", []string{names + " AuthMethod=CHAP", "CHAP_A=5", "CHAP_N=alice"}, 0x0200, ReasonCHAPSequence},
		{"response alone", []string{names + " AuthMethod=CHAP", "CHAP_A=5", "CHAP_R=0x00"}, 0x0200, ReasonCHAPSequence},
		{"all at once", []string{names + " AuthMethod=CHAP CHAP_A=5 CHAP_N=alice CHAP_R=0x00"}, 0x0200, ReasonCHAPSequence},
		{"CHAP without method", []string{names, "CHAP_A=5"}, 0x0200, ReasonCHAPNotChosen},
		{"CHAP_A first", []string{names + " CHAP_A=5"}, 0x0200, ReasonCHAPNotChosen},
	} {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				withCHAP(r, &Auth{})
				i := r.connect()
				for n, s := range c.steps {
					a, _ := i.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false, s)
					if n == len(c.steps)-1 {
						require.Equal(t, c.status, a.Status)
					} else {
						require.Equal(t, pdu.LoginSuccess, a.Status)
					}
				}
				i.Closed()
				r.requireSaw(c.reason)
			})
		})
	}
}

func TestCHAPPolicy(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{Algorithms: []CHAPAlgorithm{CHAPSHA256, CHAPSHA3256}})
		a, _ := chapLogin{algorithms: "5,6"}.run(r.connect())
		require.Equal(t, pdu.LoginAuthenticationFailed, a.Status)
		a, _ = chapLogin{algorithms: "5,8"}.run(r.connect())
		require.Equal(t, pdu.LoginSuccess, a.Status)
		// We have nothing to prove ourselves with.
		a, _ = chapLogin{algorithms: "8", mutual: true}.run(r.connect())
		require.Equal(t, pdu.LoginAuthenticationFailed, a.Status)
		r.requireSaw(ReasonCHAPNoTargetSecret)
	})
}

// A challenge seen on one connection is refused on another. RFC 7143 §9.2.1.
func TestReflectionAcrossConnections(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{TargetUser: "target", TargetSecret: testTargetPW})
		victim := r.connect()
		_, text := victim.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false, names+" AuthMethod=CHAP CHAP_A=5")
		stolen, _ := text.Get("CHAP_C")
		i := r.connect()
		i.ISID[5]++
		a, _ := chapLogin{extra: func(string) string { return "CHAP_I=1 CHAP_C=" + stolen }}.run(i)
		require.Equal(t, pdu.LoginAuthenticationFailed, a.Status)
		r.requireSaw(ReasonCHAPReflected)
	})
}

// One secret for both directions would make our own answers valid. Such a
// configuration is refused; if it comes through, the login is.
func TestSameSecretBothWays(t *testing.T) {
	require.Error(t, CheckSecrets(testSecret, testSecret))
	require.Error(t, CheckSecrets("elevenbytes", ""))
	require.Error(t, CheckSecrets(testSecret, "elevenbytes"))
	require.Error(t, CheckSecrets(Secret(strings.Repeat("x", 256)), ""))
	require.NoError(t, CheckSecrets(testSecret, testTargetPW))
	require.NoError(t, CheckSecrets("twelve bytes", ""))
	inMemory(t, func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{TargetSecret: testSecret})
		a, _ := chapLogin{}.run(r.connect())
		require.Equal(t, pdu.LoginAuthenticationFailed, a.Status)
		r.requireSaw(ReasonCHAPReflected)
	})
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := Secret("do not print me")
	for _, verb := range []string{"%v", "%s", "%q", "%x", "%#v", "%+v", "%d"} {
		require.Equal(t, "***", fmt.Sprintf(verb, s))
		require.NotContains(t, fmt.Sprintf(verb, struct{ S Secret }{s}), "print me")
		require.NotContains(t, fmt.Sprintf(verb, &Auth{TargetSecret: s}), "print me")
	}
	b, err := s.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "***", string(b))
}

// Challenges do not repeat and every bit of them varies. An exchange recorded
// once is worth nothing later.
func TestChallenges(t *testing.T) {
	var sent challenges
	ones := make([]int, 8*16)
	const n = 20000
	for range n {
		c := chap{auth: &Auth{}, sent: &sent}
		_, _, err := c.begin("5")
		require.Nil(t, err)
		for bit := range ones {
			ones[bit] += int(c.challenge[bit/8] >> (bit % 8) & 1)
		}
	}
	require.Len(t, sent.set, n, "no challenge came twice")
	for bit, k := range ones {
		require.InDelta(t, n/2, k, n/20, "bit %d", bit) // ten standard deviations
	}
}

func TestDiscoveryWithCHAP(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.connect()
		a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, "InitiatorName=iqn.2026-11.test:host SessionType=Discovery")
		require.Equal(t, pdu.LoginAuthenticationFailed, a.Status)
		r.requireSaw(ReasonLoginAuthRequired)
		i = r.connect()
		_, text := i.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false, "InitiatorName=iqn.2026-11.test:host SessionType=Discovery AuthMethod=CHAP CHAP_A=7")
		i.Send(i.LoginRequest(pdu.SecurityNegotiation, pdu.FullFeaturePhase, true), chapLogin{}.answer(i, text).Append(nil))
		a, _ = i.LoginAnswer()
		require.Equal(t, pdu.LoginSuccess, a.Status)
		got, _ := exchange(i, "SendTargets=All")
		require.NotEmpty(t, got)
	}, func(o *Options) {
		o.Discovery = func(InitiatorInfo) (*Auth, *LoginError) {
			return &Auth{Secret: func(user string) (Secret, bool) { return testSecret, user == "alice" }}, nil
		}
	})
}

// Every connection of a session proves itself.
func TestJoiningConnectionAuthenticates(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{})
		i := r.connect()
		chapLogin{}.run(i)
		a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, "")
		more := r.connect()
		more.TSIH = a.TSIH
		b, _ := more.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginAuthenticationFailed, b.Status)
		more.Closed()
		ping(i)
		// Neither can anybody else end the session.
		other := r.connect()
		b, _ = other.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginAuthenticationFailed, b.Status)
		ping(i)
	})
}

// What somebody recorded of a login is worth nothing: not on the next
// connection, and not after a restart.
func TestRecordedLogin(t *testing.T) {
	var recorded [][]byte
	record := func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{})
		i := r.connect()
		send := func(csg, nsg pdu.Stage, transit bool, text pdu.Text) pdu.Text {
			b := i.Encode(i.LoginRequest(csg, nsg, transit), nil, text.Append(nil))
			recorded = append(recorded, b)
			i.SendRaw(b)
			a, answer := i.LoginAnswer()
			require.Equal(t, pdu.LoginSuccess, a.Status)
			return answer
		}
		challenge := send(0, 1, false, iscsitest.Text(names+" AuthMethod=CHAP CHAP_A=7"))
		send(0, 3, true, chapLogin{}.answer(i, challenge))
		ping(i)
	}
	replay := func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{})
		i := r.connect()
		i.SendRaw(recorded[0])
		a, _ := i.LoginAnswer()
		require.Equal(t, pdu.LoginSuccess, a.Status)
		i.SendRaw(recorded[1])
		a, _ = i.LoginAnswer()
		require.Equal(t, pdu.LoginAuthenticationFailed, a.Status)
		i.Closed()
	}
	inMemory(t, func(t *testing.T, r *rig) {
		record(t, r)
		replay(t, r)
	})
	inMemory(t, replay)
}
