package initiator

import (
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoginErrorCarriesClassAndDetail(t *testing.T) {
	for status := range loginStatusNames {
		if status == LoginSuccess {
			continue
		}
		f := newFake(t)
		f.status = status
		_, err := Dial(t.Context(), f.config())
		var le *LoginError
		require.ErrorAs(t, err, &le)
		require.Equal(t, status, le.Status)
		require.Equal(t, uint8(status>>8), le.Class())
		require.Equal(t, uint8(status), le.Detail())
		require.Contains(t, err.Error(), loginStatusNames[status])
	}
}

func TestRedirectionTellsTheAddress(t *testing.T) {
	f := newFake(t)
	f.status = LoginMovedTemporarily
	f.mangle = func(_ *fakeConn, p *PDU) []*PDU {
		p.Data = Keys{{"TargetAddress", "10.1.1.1:3261"}, {"TargetAddress", "[fe80::1]:3260"}}.Marshal()
		return nil
	}
	_, err := Dial(t.Context(), f.config())
	var le *LoginError
	require.ErrorAs(t, err, &le)
	require.Equal(t, []string{"10.1.1.1:3261", "[fe80::1]:3260"}, le.Addresses)
}

func TestConfigKeysReplaceRemoveAndAppend(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	cfg.Keys = Keys{
		{"MaxBurstLength", "4096"}, {"FirstBurstLength", "4096"}, {"ErrorRecoveryLevel", Omit},
		{"X-com.example.one", "1"}, {"DataDigest", "CRC32C,None"},
	}
	s := f.dial(cfg)
	p := s.Params()
	require.Equal(t, 4096, p.MaxBurstLength)
	require.True(t, p.DataDigest)
	require.False(t, p.HeaderDigest)
	require.Equal(t, 0, p.ErrorRecoveryLevel)
	_, offered := p.Offered.Get("ErrorRecoveryLevel")
	require.False(t, offered)
	v, _ := p.Received.Get("X-com.example.one")
	require.Equal(t, "NotUnderstood", v)
	require.EqualValues(t, 77, p.TSIH)
	require.Equal(t, 1, p.TargetPortalGroupTag)
	require.Equal(t, 65536, p.TargetMaxRecvDataSegment)
	require.Equal(t, 262144, p.MaxRecvDataSegmentLength)
	require.NoError(t, s.Close())
}

func TestKeysMayBeOfferedTwice(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	cfg.Keys = Keys{{"MaxBurstLength", "65536"}, {"MaxBurstLength", "131072"}}
	f.answers = Keys{{"MaxBurstLength", Omit}}
	s := f.dial(cfg)
	require.Equal(t, []string{"65536", "131072"}, s.Params().Offered.All("MaxBurstLength"))
}

func TestTargetProposalIsAnswered(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	cfg.Keys = Keys{{"MaxOutstandingR2T", Omit}, {"HeaderDigest", Omit}}
	proposed := false
	f.mangle = func(c *fakeConn, p *PDU) []*PDU {
		if p.Opcode() != OpLoginResp || proposed || p.BHS[1]&0x83 != 0x83 {
			return nil
		}
		proposed = true
		p.BHS[1] = 0x04 // stay in the operational stage
		p.SetUint16(offTSIH, 0)
		p.Data = append(p.Data, Keys{{"MaxOutstandingR2T", "8"}, {"HeaderDigest", "CRC32C,None"}, {"X-odd", "1"}}.Marshal()...)
		return nil
	}
	f.handle = func(c *fakeConn, p *PDU) bool { return false }
	s := f.dial(cfg)
	logins := f.requests(OpLoginReq)
	require.Equal(t, "MaxOutstandingR2T=8\x00HeaderDigest=None\x00X-odd=NotUnderstood\x00", string(logins[len(logins)-1].Data))
	require.Equal(t, 8, s.Params().MaxOutstandingR2T)
	require.False(t, s.Params().HeaderDigest)
}

// chapTarget makes the fake demand CHAP with algorithm alg; prove false makes it
// fail its own proof.
func chapTarget(f *fakeTarget, alg int, secret, mutual string, prove bool) {
	challenge := unhexOrDie("00112233445566778899aabbccddeeff")
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() != OpLoginReq || p.BHS[1]&0x0c != 0 {
			return false
		}
		keys, _ := ParseKeys(p.Data)
		r := reply(OpLoginResp, p)
		r.BHS[1] = 0
		copy(r.BHS[8:14], p.BHS[8:14])
		var out Keys
		switch {
		case has(keys, "AuthMethod"):
			out = Keys{{"TargetPortalGroupTag", "1"}, {"AuthMethod", "CHAP"}}
		case has(keys, "CHAP_A"):
			out = Keys{{"CHAP_A", strconv.Itoa(alg)}, {"CHAP_I", "0x2a"}, {"CHAP_C", "0x" + hex.EncodeToString(challenge)}}
		case has(keys, "CHAP_R"):
			v, _ := keys.Get("CHAP_R")
			got, err := parseBinary(v)
			if err != nil || string(got) != string(chapResponse(alg, 0x2a, secret, challenge)) {
				r.SetUint16(offStatusCode, uint16(LoginAuthFailure))
				break
			}
			r.BHS[1] = 0x81
			if i, ok := keys.Get("CHAP_I"); ok {
				id, _ := strconv.Atoi(i)
				v, _ := keys.Get("CHAP_C")
				theirs, _ := parseBinary(v)
				proof := chapResponse(alg, byte(id), mutual, theirs)
				if !prove {
					proof[0]++
				}
				out = Keys{{"CHAP_N", "target"}, {"CHAP_R", "0x" + hex.EncodeToString(proof)}}
			}
		}
		r.Data = out.Marshal()
		c.send(r)
		return true
	}
}

func unhexOrDie(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func has(k Keys, name string) bool { _, ok := k.Get(name); return ok }

func TestCHAP(t *testing.T) {
	for alg, name := range map[int]string{5: "MD5", 6: "SHA1", 7: "SHA-256", 8: "SHA3-256"} {
		for _, base64 := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				f := newFake(t)
				chapTarget(f, alg, "secret-of-user", "secret-of-target", true)
				cfg := f.config()
				cfg.CHAP = &CHAP{
					User: "user", Secret: "secret-of-user", MutualUser: "target", MutualSecret: "secret-of-target",
					Algorithms: []int{8, 7, 6, 5}, Base64: base64,
				}
				s := f.dial(cfg)
				doTUR(t.Context(), s)
				require.NoError(t, s.Close())
			})
		}
	}
}

func TestCHAPWrongSecretIsRefused(t *testing.T) {
	f := newFake(t)
	chapTarget(f, 7, "secret-of-user", "", true)
	cfg := f.config()
	cfg.CHAP = &CHAP{User: "user", Secret: "something else"}
	_, err := Dial(t.Context(), cfg)
	var le *LoginError
	require.ErrorAs(t, err, &le)
	require.Equal(t, LoginAuthFailure, le.Status)
}

func TestTargetThatCannotProveItselfIsRefused(t *testing.T) {
	f := newFake(t)
	chapTarget(f, 7, "secret-of-user", "secret-of-target", false)
	cfg := f.config()
	cfg.CHAP = &CHAP{User: "user", Secret: "secret-of-user", MutualSecret: "secret-of-target"}
	_, err := Dial(t.Context(), cfg)
	require.ErrorIs(t, err, ErrTargetNotAuthentic)
}

func TestMutualAuthenticationCannotBeTalkedAway(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	f.answers = Keys{{"AuthMethod", "None"}}
	cfg.CHAP = &CHAP{User: "user", Secret: "s", MutualSecret: "m", AuthMethods: "CHAP,None"}
	_, err := Dial(t.Context(), cfg)
	require.ErrorIs(t, err, ErrTargetNotAuthentic)
}

func TestMalformedCHAPIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		alg   int
		spoil func(Keys) Keys
	}{
		"algorithm not offered": {6, nil},
		"no identifier":         {7, func(k Keys) Keys { return k[:1] }},
		"identifier over 255":   {7, func(k Keys) Keys { k[1].Value = "256"; return k }},
		"challenge not binary":  {7, func(k Keys) Keys { k[2].Value = "0xzz"; return k }},
		"challenge too long":    {7, func(k Keys) Keys { k[2].Value = "0x" + strings.Repeat("00", 1025); return k }},
		"challenge empty":       {7, func(k Keys) Keys { k[2].Value = "0x"; return k }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			chapTarget(f, c.alg, "s", "", true)
			f.mangle = func(_ *fakeConn, p *PDU) []*PDU {
				if keys, _ := ParseKeys(p.Data); has(keys, "CHAP_A") && c.spoil != nil {
					p.Data = c.spoil(keys).Marshal()
				}
				return nil
			}
			var seen []Rule
			cfg := f.config()
			cfg.CHAP = &CHAP{User: "u", Secret: "s"}
			cfg.OnViolation = func(v Violation) { seen = append(seen, v.Rule) }
			_, err := Dial(t.Context(), cfg)
			require.Error(t, err)
			require.Contains(t, seen, RuleCHAP)
		})
	}
}

func TestCHAPVector(t *testing.T) {
	// MD5 over 01 "secret" 00010203, computed with an independent tool.
	require.Equal(t, "e82cb2ed1efe04893c9cf73d4dd12e2d",
		hex.EncodeToString(chapResponse(5, 1, "secret", []byte{0, 1, 2, 3})))
}

func TestParseKeysIsStrict(t *testing.T) {
	good, err := ParseKeys([]byte("A=b\x00SendTargets=\x00X-com.x.y=a=b\x00"))
	require.NoError(t, err)
	require.Equal(t, Keys{{"A", "b"}, {"SendTargets", ""}, {"X-com.x.y", "a=b"}}, good)
	for _, bad := range []string{
		"A=b", "A\x00", "=b\x00", "\x00", "a=b\x00", "A b=c\x00", strings.Repeat("A", 64) + "=x\x00", "A=b\x00\x00",
	} {
		_, err := ParseKeys([]byte(bad))
		require.Error(t, err, "%q", bad)
	}
	_, err = ParseKeys([]byte(strings.Repeat("A", 63) + "=x\x00"))
	require.NoError(t, err)
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("A=b\x00SendTargets=\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKeys(b)
		if err == nil {
			require.Equal(t, string(b), string(k.Marshal()))
		}
	})
}

// The result function of every kind of key, and what counts as a violation.
func TestNegotiationResults(t *testing.T) {
	for _, c := range []struct {
		name         string
		offer, reply Keys
		rule         Rule
		check        func(Params) bool
	}{
		{"minimum", Keys{{"MaxBurstLength", "65536"}}, Keys{{"MaxBurstLength", "0x1000"}}, "", func(p Params) bool { return p.MaxBurstLength == 4096 }},
		{"maximum", Keys{{"DefaultTime2Wait", "2"}}, Keys{{"DefaultTime2Wait", "30"}}, "", func(p Params) bool { return p.DefaultTime2Wait == 30 }},
		{"AND", Keys{{"ImmediateData", "Yes"}}, Keys{{"ImmediateData", "No"}}, "", func(p Params) bool { return !p.ImmediateData }},
		{"OR", Keys{{"InitialR2T", "No"}}, Keys{{"InitialR2T", "No"}}, "", func(p Params) bool { return !p.InitialR2T }},
		{"silence after a deciding offer", Keys{{"InitialR2T", "Yes"}}, nil, "", func(p Params) bool { return p.InitialR2T }},
		{"silence otherwise", Keys{{"InitialR2T", "No"}}, nil, RuleLoginKeyMissing, nil},
		{"list", Keys{{"HeaderDigest", "CRC32C,None"}}, Keys{{"HeaderDigest", "None"}}, "", func(p Params) bool { return !p.HeaderDigest }},
		{"irrelevant", Keys{{"MaxConnections", "4"}}, Keys{{"MaxConnections", "Irrelevant"}}, "", func(p Params) bool { return p.MaxConnections == 1 }},
		{"irrelevant burst", Keys{{"MaxBurstLength", "4096"}, {"FirstBurstLength", "4096"}}, Keys{{"MaxBurstLength", "4096"}, {"FirstBurstLength", "Irrelevant"}}, "", func(p Params) bool {
			return p.FirstBurstLength == 4096
		}},
		{"reject keeps the default", Keys{{"MaxBurstLength", "512"}}, Keys{{"MaxBurstLength", "Reject"}}, "", func(p Params) bool { return p.MaxBurstLength == 262144 }},
		{"defaults", nil, nil, "", func(p Params) bool {
			return p.InitialR2T && p.ImmediateData && p.DataPDUInOrder && p.FirstBurstLength == 65536 &&
				p.TargetMaxRecvDataSegment == 8192 && p.MaxRecvDataSegmentLength == 8192 && p.ProtocolLevel == 1
		}},
		{"declarations", Keys{{"MaxRecvDataSegmentLength", "1048576"}}, Keys{{"MaxRecvDataSegmentLength", "512"}}, "", func(p Params) bool {
			return p.TargetMaxRecvDataSegment == 512 && p.MaxRecvDataSegmentLength == 1048576
		}},
		{"protocol level may be unknown", Keys{{"iSCSIProtocolLevel", "2"}}, Keys{{"iSCSIProtocolLevel", "NotUnderstood"}}, "", func(p Params) bool { return p.ProtocolLevel == 1 }},
		{"answer without offer", nil, Keys{{"MaxConnections", "Irrelevant"}}, RuleLoginKey, nil},
		{"sign", Keys{{"MaxConnections", "4"}}, Keys{{"MaxConnections", "+1"}}, RuleLoginKey, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen []Rule
			n := negotiation{offered: c.offer, report: func(r Rule, _ string) { seen = append(seen, r) }}
			n.receive(c.reply)
			p := n.finish()
			if c.rule != "" {
				require.Equal(t, []Rule{c.rule}, seen)
				return
			}
			require.Empty(t, seen)
			require.True(t, c.check(p), "%+v", p)
		})
	}
}

// A refusal has no StatSN to speak of. RFC 7143 §11.13.4.
func TestStatSNOfARefusalIsNotJudged(t *testing.T) {
	for class, wrong := range map[byte]int{0: 1, 2: 0} {
		p := newPDU(OpLoginResp, false, 0)
		p.BHS[offStatusCode] = class
		seen := 0
		checkStatSN(p, 7, func(Rule, *PDU, string) { seen++ })
		require.Equal(t, wrong, seen, "status class %d", class)
	}
}

func TestRawLoginThenOnesOwnPDUs(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	digests(&cfg)
	r, err := DialLogin(t.Context(), cfg)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, r.Send(NOPOutPDU{Immediate: true, ITT: 0xabc, TTT: NoTag, Data: []byte("x")}.PDU()))
	p, err := r.Recv(t.Context())
	require.NoError(t, err)
	require.Equal(t, OpNOPIn, p.Opcode())
	require.Equal(t, []byte("x"), p.Data)
	require.Empty(t, r.Violations())
}

// The cut falls in the middle of a PDU, or right behind one.
func TestCutConnectionStopsAtTheByte(t *testing.T) {
	for _, at := range []int64{60, 96} {
		f := newFake(t)
		r, err := DialLogin(t.Context(), f.config())
		require.NoError(t, err)
		r.NetConn().CutAfter(at)
		ping := func() error { return r.Send(NOPOutPDU{Immediate: true, ITT: NoTag, TTT: NoTag}.PDU()) }
		require.NoError(t, ping())
		require.Error(t, ping())
		_, err = r.Recv(t.Context())
		require.Error(t, err)
		f.wg.Wait()
		require.Len(t, f.requests(OpNOPOut), int(at/bhsLen))
	}
}
