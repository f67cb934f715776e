package iscsi

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
)

func TestLoginInOneStep(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.connect()
		text := i.Login(testTarget, "HeaderDigest=None MaxRecvDataSegmentLength=65536 ImmediateData=Yes InitialR2T=No X-vendor=1")
		require.Equal(t, iscsitest.Text("TargetPortalGroupTag=1 HeaderDigest=None ImmediateData=Yes InitialR2T=No X-vendor=NotUnderstood MaxRecvDataSegmentLength=262144"), text)
		require.Equal(t, "iqn.2026-11.test:host,i,0x400000000001", r.nexuses[0].Initiator)
		require.Equal(t, testTarget+",t,0x0001", r.nexuses[0].Target)
		c := i.TestUnitReady()
		i.Send(c, nil)
		good(i, c)
	})
}

func TestLoginInThreeStages(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.connect()
		a, text := i.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, true,
			"InitiatorName="+i.Name+" SessionType=Normal TargetName="+testTarget+" AuthMethod=None")
		require.Equal(t, pdu.LoginSuccess, a.Status)
		require.True(t, a.Transit)
		require.Equal(t, pdu.OperationalNegotiation, a.NSG)
		require.Zero(t, a.TSIH, "only the final response carries it")
		require.Equal(t, iscsitest.Text("TargetPortalGroupTag=1 AuthMethod=None"), text)

		a, text = i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, false, "MaxBurstLength=65536")
		require.False(t, a.Transit)
		require.Zero(t, a.NSG)
		require.Equal(t, iscsitest.Text("MaxBurstLength=65536 MaxRecvDataSegmentLength=262144"), text)

		a, text = i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, "")
		require.True(t, a.Transit)
		require.NotZero(t, a.TSIH)
		require.Empty(t, text)
		require.Equal(t, i.CmdSN, a.ExpCmdSN)
		require.Equal(t, i.CmdSN+127, a.MaxCmdSN)
	})
}

// A key may span PDUs: the target answers each but the last with nothing.
func TestLoginTextOverSeveralPDUs(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.connect()
		text := iscsitest.Text("InitiatorName=" + i.Name + " SessionType=Normal TargetName=" + testTarget).Append(nil)
		for at := 0; at < len(text); at += 10 {
			end := min(at+10, len(text))
			q := i.LoginRequest(pdu.OperationalNegotiation, pdu.FullFeaturePhase, end == len(text))
			q.Continue = end < len(text)
			i.Send(q, text[at:end])
			a, answer := i.LoginAnswer()
			require.Equal(t, pdu.LoginSuccess, a.Status)
			require.Equal(t, q.Transit, a.Transit)
			if q.Continue {
				require.Empty(t, answer)
			}
		}
	})
}

const names = "InitiatorName=iqn.2026-11.test:host SessionType=Normal TargetName=" + testTarget

// loginRefusals holds what ends a login: requests, of which the last is
// refused.
var loginRefusals = []struct {
	name   string
	status pdu.LoginStatus // 0: the connection is closed without a word
	reason Reason
	steps  []loginRefusal
}{
	{"not a login", 0, ReasonLoginNotFirst, []loginRefusal{{pdu: &pdu.NOPOut{Immediate: true, ITT: 1, TTT: pdu.ReservedTag}}}},
	{"target opcode", 0, ReasonLoginNotFirst, []loginRefusal{{pdu: &pdu.R2T{}}}},
	{"other request in login", pdu.LoginInvalidRequest, ReasonLoginOtherRequest, []loginRefusal{
		{text: names}, {pdu: &pdu.NOPOut{Immediate: true, ITT: 1, TTT: pdu.ReservedTag}}}},
	{"version", pdu.LoginUnsupportedVersion, ReasonLoginVersion, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.VersionMin, q.VersionMax = 1, 1 }}}},
	{"C with T", pdu.LoginInitiatorError, ReasonLoginContinue, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.Continue, q.Transit = true, true }}}},
	{"stage 2", pdu.LoginInitiatorError, ReasonLoginStage, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.CSG = 2 }}}},
	{"stage 3", pdu.LoginInitiatorError, ReasonLoginStage, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.CSG = 3 }}}},
	{"to stage 2", pdu.LoginInitiatorError, ReasonLoginStage, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.Transit, q.NSG = true, 2 }}}},
	{"to the same stage", pdu.LoginInitiatorError, ReasonLoginStage, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.Transit, q.NSG = true, 1 }}}},
	{"back", pdu.LoginInitiatorError, ReasonLoginStage, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.Transit, q.NSG = true, 0 }}}},
	{"stage jumps", pdu.LoginInitiatorError, ReasonLoginStage, []loginRefusal{{text: names}, {change: func(q *pdu.LoginRequest) { q.CSG = 0 }}}},
	{"AHS", pdu.LoginInitiatorError, ReasonLoginAHS, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.TotalAHSLength = 1 }}}},
	{"segment over 8192", pdu.LoginInitiatorError, ReasonLoginTooLong, []loginRefusal{{change: func(q *pdu.LoginRequest) { q.DataSegmentLength = 8193 }}}},
	{"segment of 16 MiB", pdu.LoginInitiatorError, ReasonLoginTooLong, []loginRefusal{{change: func(q *pdu.LoginRequest) { q.DataSegmentLength = 1<<24 - 1 }}}},
	{"ITT changes", pdu.LoginInitiatorError, ReasonLoginChanged, []loginRefusal{{text: names}, {change: func(q *pdu.LoginRequest) { q.ITT++ }}}},
	{"ISID changes", pdu.LoginInitiatorError, ReasonLoginChanged, []loginRefusal{{text: names}, {change: func(q *pdu.LoginRequest) { q.ISID[5]++ }}}},
	{"TSIH changes", pdu.LoginInitiatorError, ReasonLoginChanged, []loginRefusal{{text: names}, {change: func(q *pdu.LoginRequest) { q.TSIH++ }}}},
	{"CID changes", pdu.LoginInitiatorError, ReasonLoginChanged, []loginRefusal{{text: names}, {change: func(q *pdu.LoginRequest) { q.CID++ }}}},
	{"version changes", pdu.LoginInitiatorError, ReasonLoginChanged, []loginRefusal{{text: names}, {change: func(q *pdu.LoginRequest) { q.VersionMax++ }}}},
	{"no initiator name", pdu.LoginMissingParameter, Reason(keyMissingName), []loginRefusal{{text: "SessionType=Normal TargetName=" + testTarget}}},
	{"no target name", pdu.LoginMissingParameter, Reason(keyMissingName), []loginRefusal{{text: "InitiatorName=iqn.2026-11.test:host"}}},
	{"no text", pdu.LoginMissingParameter, Reason(keyMissingName), []loginRefusal{{}}},
	{"bad initiator name", pdu.LoginInitiatorError, Reason(keyBadInitiator), []loginRefusal{{text: "InitiatorName=host SessionType=Discovery"}}},
	{"initiator name of 224 bytes", pdu.LoginInitiatorError, Reason(keyBadInitiator), []loginRefusal{{text: "InitiatorName=iqn." + strings.Repeat("a", 220) + " SessionType=Discovery"}}},
	{"bad target name", pdu.LoginTargetNotFound, Reason(keyBadTarget), []loginRefusal{{text: "InitiatorName=iqn.2026-11.test:host TargetName=disk"}}},
	{"target name of 224 bytes", pdu.LoginTargetNotFound, Reason(keyBadTarget), []loginRefusal{{text: "InitiatorName=iqn.2026-11.test:host TargetName=iqn." + strings.Repeat("a", 220)}}},
	{"unknown target", pdu.LoginTargetNotFound, ReasonLoginTargetNotFound, []loginRefusal{{text: "InitiatorName=iqn.2026-11.test:host TargetName=iqn.2026-11.test:other"}}},
	{"no equals", pdu.LoginInitiatorError, ReasonLoginText, []loginRefusal{{raw: []byte("InitiatorName\x00")}}},
	{"no NUL", pdu.LoginInitiatorError, ReasonLoginText, []loginRefusal{{raw: []byte("InitiatorName=iqn.2026-11.test:host")}}},
	{"empty key", pdu.LoginInitiatorError, ReasonLoginText, []loginRefusal{{raw: []byte("=x\x00")}}},
	{"key of 64 characters", pdu.LoginInitiatorError, ReasonLoginText, []loginRefusal{{text: "X" + strings.Repeat("k", 63) + "=v"}}},
	{"value over every limit", pdu.LoginInitiatorError, ReasonLoginText, []loginRefusal{{text: names + " X-v=" + strings.Repeat("v", maxCHAPText+1)}}},
	{"text over every limit", pdu.LoginInitiatorError, ReasonLoginTooLong, []loginRefusal{
		{raw: make([]byte, loginSegment), change: more}, {raw: make([]byte, loginSegment), change: more}, {raw: make([]byte, 1)}}},
	{"key twice", pdu.LoginInitiatorError, Reason(keyDuplicate), []loginRefusal{{text: names + " ImmediateData=No ImmediateData=No"}}},
	{"key again later", pdu.LoginInitiatorError, Reason(keyDuplicate), []loginRefusal{{text: names + " ImmediateData=No"}, {text: "ImmediateData=No"}}},
	{"offer of Reject", pdu.LoginInitiatorError, Reason(keyReservedValue), []loginRefusal{{text: names + " MaxConnections=Reject"}}},
	{"offer of Irrelevant", pdu.LoginInitiatorError, Reason(keyReservedValue), []loginRefusal{{text: names + " MaxConnections=Irrelevant"}}},
	{"offer of NotUnderstood", pdu.LoginInitiatorError, Reason(keyReservedValue), []loginRefusal{{text: names + " MaxConnections=NotUnderstood"}}},
	{"security key in stage 1", pdu.LoginInitiatorError, Reason(keyWrongStage), []loginRefusal{{text: names + " CHAP_A=5"}}},
	{"operational key in stage 0", pdu.LoginInitiatorError, Reason(keyWrongStage), []loginRefusal{{text: names + " MaxBurstLength=512", change: func(q *pdu.LoginRequest) { q.CSG = 0 }}}},
	{"unknown method", pdu.LoginAuthenticationFailed, ReasonLoginAuthMethod, []loginRefusal{{text: names + " AuthMethod=SRP,KRB5", change: func(q *pdu.LoginRequest) { q.CSG = 0 }}}},
	{"TSIH of no session", pdu.LoginNoSession, ReasonLoginNoSession, []loginRefusal{{text: names, change: func(q *pdu.LoginRequest) { q.TSIH, q.Transit, q.NSG = 77, true, 3 }}}},
	{"bad session type", pdu.LoginSessionTypeRefused, Reason(keyBadSessionType), []loginRefusal{{text: "InitiatorName=iqn.2026-11.test:host SessionType=Boot"}}},
}

// loginRefusal is one request: text or raw in a login request that change may
// spoil, or another PDU.
type loginRefusal struct {
	text   string
	raw    []byte
	change func(*pdu.LoginRequest)
	pdu    pdu.PDU
}

// more says that the text of a request is not complete.
func more(q *pdu.LoginRequest) { q.Continue = true }

func TestLoginRefusals(t *testing.T) {
	for _, c := range loginRefusals {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				i := r.connect()
				for n, s := range c.steps {
					if s.pdu != nil {
						i.Send(s.pdu, nil)
					} else {
						q := i.LoginRequest(pdu.OperationalNegotiation, pdu.FullFeaturePhase, false)
						if s.change != nil {
							s.change(q)
						}
						data := s.raw
						if data == nil {
							data = iscsitest.Text(s.text).Append(nil)
						}
						if q.DataSegmentLength > 0 {
							data = nil // what it announces never comes
						}
						i.Send(q, data)
					}
					if n == len(c.steps)-1 {
						break
					}
					a, _ := i.LoginAnswer()
					require.Equal(t, pdu.LoginSuccess, a.Status)
				}
				if c.status != 0 {
					a, _ := i.LoginAnswer()
					require.Equal(t, c.status, a.Status)
					require.False(t, a.Transit)
					require.Zero(t, a.CSG)
					require.Zero(t, a.NSG)
					require.Zero(t, a.VersionActive)
				}
				i.Closed()
				r.requireSaw(c.reason)
				require.Empty(t, r.srv.Sessions())
			})
		})
	}
}

// A number that is none, or out of range, is answered Reject; the default holds
// and the login goes on. RFC 7143 §6.2.
func TestLoginGoesOnAfterBadNumbers(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		for _, bad := range []string{"511", "16777216", "4294967808", "0", "-1", "+512", "", "0x", "many", "512.0", "0512"} {
			i := r.connect()
			text := i.Login(testTarget, "MaxBurstLength="+bad+" DefaultTime2Retain=0")
			v, _ := text.Get("MaxBurstLength")
			require.Equal(t, pdu.ValueReject, v, bad)
			require.EqualValues(t, 262144, r.srv.Sessions()[0].Params.MaxBurstLength)
			ping(i)
			i.Conn.Close()
			synctest.Wait()
		}
	})
}

// Keys and values around every length at which others broke. The answer fits
// into a PDU, and repeats no key that is none.
func TestLengthsOfLoginText(t *testing.T) {
	for _, n := range []int{0, 1, 62, 63, 64, 65, 222, 223, 224, 225, 254, 255, 256, 257, 1022, 1023, 1024, 1025, 2048, 2049, 2050, 8100, 8188, 8189, 8190, 8191, 8192} {
		long := strings.Repeat("k", n)
		for what, text := range map[string]string{
			"key":       "X" + long + "=v\x00",
			"no equals": "X" + long,
			"value":     "X-v=" + long + "\x00",
			"name":      "InitiatorName=iqn." + long + "\x00",
			"CHAP_A":    "CHAP_A=" + strings.Repeat("5,", n/2) + "\x00",
			"CHAP_R":    "CHAP_N=" + long[:min(n, 200)] + "\x00CHAP_R=0x" + strings.Repeat("a", n) + "\x00",
			"base64":    "CHAP_N=a\x00CHAP_R=0b" + strings.Repeat("A", n) + "=\x00",
			"padding":   strings.Repeat("\x00", n),
		} {
			inMemory(t, func(t *testing.T, r *rig) {
				withCHAP(r, &Auth{})
				i := r.connect()
				first := names + " AuthMethod=CHAP"
				if strings.HasPrefix(text, "CHAP_N") {
					first += " CHAP_A=5"
				}
				if what == "name" {
					first = "SessionType=Discovery"
				}
				i.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false, first)
				if what == "name" {
					i = r.connect()
					text = "SessionType=Normal\x00TargetName=" + testTarget + "\x00" + text
				}
				if len(text) > loginSegment {
					text = text[:loginSegment]
				}
				i.Send(i.LoginRequest(pdu.SecurityNegotiation, pdu.FullFeaturePhase, true), []byte(text))
				p, data, err := i.Read()
				require.NoError(t, err, "%s of %d: no answer", what, n)
				a := p.(*pdu.LoginResponse)
				require.False(t, a.Status == 0 && a.Transit, "%s of %d: in", what, n)
				require.LessOrEqual(t, len(data), loginSegment)
				if n > 62 && what == "key" {
					require.NotContains(t, string(data), long[:63])
				}
				require.Empty(t, r.srv.Sessions())
			})
		}
	}
}
