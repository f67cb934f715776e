package iscsi

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// Every way through the login: each request has one of the 64 headers that
// (CSG, NSG, T, C) make, and one of several texts. What is to come out says
// loginModel, which knows nothing of the implementation. A way is not followed
// beyond the request that ended it.

// loginMove is one request.
type loginMove struct {
	csg, nsg pdu.Stage
	t, c     bool
	text     loginSaying
}

// loginSaying is what a request says beside the names.
type loginSaying byte

const (
	sayNothing loginSaying = '-'
	sayNext    loginSaying = 'n' // the next of what an honest initiator says: method, algorithms, response
	sayForged  loginSaying = 'x' // a response without the secret
	sayNone    loginSaying = '0' // AuthMethod=None
)

func (m loginMove) String() string {
	s := fmt.Sprintf("%d>%d%c", m.csg, m.nsg, m.text)
	if m.t {
		s += "T"
	}
	if m.c {
		s += "C"
	}
	return s
}

// loginPolicy is what the target asks for and the initiator can do.
type loginPolicy byte

const (
	policyNone   loginPolicy = iota // no proof asked for
	policyCHAP                      // of the initiator
	policyMutual                    // the initiator asks the target for one, too
)

// loginEnd is where a way leads.
type loginEnd byte

const (
	loginOpen loginEnd = iota // the target waits for more
	loginClosed
	loginIn // full feature phase
)

// loginModel is the oracle: RFC 7143 §6.3 and §12.1, as far as these texts go.
type loginModel struct {
	policy loginPolicy
	begun  bool
	stage  pdu.Stage
	said   []string // keys of the request under way, all its PDUs together
	ever   map[string]bool
	method string
	asked  bool // challenged
	right  bool // the response
	proven bool
}

// after says where move leads, whose text has these keys.
func (m *loginModel) after(move loginMove, keys []string, right bool) loginEnd {
	if !m.begun {
		m.begun, m.stage, m.ever = true, move.csg, map[string]bool{}
	}
	if move.csg > 1 || move.csg != m.stage || move.t && move.c {
		return loginClosed
	}
	if move.t && (move.nsg <= move.csg || move.nsg == 2) {
		return loginClosed
	}
	m.said = append(m.said, keys...)
	m.right = m.right || right
	if move.c {
		return loginOpen
	}
	said := map[string]bool{}
	for _, k := range m.said {
		if m.ever[k] { // once in a login
			return loginClosed
		}
		m.ever[k], said[k[:min(len(k), 6)]] = true, true
	}
	m.said = nil
	if len(said) > 0 && m.stage != pdu.SecurityNegotiation {
		return loginClosed
	}
	if said["AuthMe"] {
		want := "AuthMethod=CHAP"
		if m.policy == policyNone {
			want = "AuthMethod=None"
		}
		if !m.ever[want] || m.ever["AuthMethod=CHAP"] && m.ever["AuthMethod=None"] {
			return loginClosed
		}
		m.method = want
	}
	if (said["CHAP_A"] || said["CHAP_N"]) && m.method != "AuthMethod=CHAP" {
		return loginClosed
	}
	switch {
	case said["CHAP_A"] && said["CHAP_N"], said["CHAP_N"] && !m.asked:
		return loginClosed
	case said["CHAP_A"]:
		m.asked = true
	case said["CHAP_N"]:
		if !m.right {
			return loginClosed
		}
		m.proven = true
	}
	enough := m.policy == policyNone || m.proven
	if !enough && (m.stage != pdu.SecurityNegotiation || move.t && m.method == "") {
		return loginClosed
	}
	if move.t && enough {
		m.stage = move.nsg
	}
	if m.stage == pdu.FullFeaturePhase {
		return loginIn
	}
	return loginOpen
}

// loginWalker plays one way: it is the initiator's end, as a net.Conn that
// makes each request when the target reads it.
type loginWalker struct {
	way    []loginMove
	policy loginPolicy
	at     int
	out    []byte // what is left of the request
	saying byte   // how far the honest initiator has come
	id     byte
	nonce  []byte // of the target's last challenge
	answer []byte // to the initiator's challenge
	last   pdu.LoginResponse
	model  loginModel
	want   loginEnd
	waits  bool // the target read on after the last request
}

func (w *loginWalker) Read(p []byte) (int, error) {
	if len(w.out) == 0 {
		if w.at == len(w.way) {
			w.waits = true
			return 0, io.EOF
		}
		w.request(w.way[w.at])
		w.at++
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

// request makes the bytes of a request, and asks the model about it.
func (w *loginWalker) request(m loginMove) {
	var text pdu.Text
	if w.at == 0 {
		text = iscsitest.Text(names)
	}
	named := len(text)
	right := false
	respond := func(s Secret) {
		text.Add("CHAP_N", "alice")
		text.Add("CHAP_R", pdu.FormatHex(CHAPSHA256.respond(w.id, s, w.nonce)))
		if w.policy == policyMutual {
			text.Add("CHAP_I", "7")
			text.Add("CHAP_C", pdu.FormatHex(pattern(32, 5)))
		}
	}
	switch {
	case m.text == sayForged:
		respond("not the secret, is it?")
	case m.text == sayNone, m.text == sayNext && w.policy == policyNone && w.saying == 0:
		text.Add("AuthMethod", "None")
		w.saying = 3
	case m.text == sayNext && w.saying == 0:
		text.Add("AuthMethod", "CHAP")
		w.saying++
	case m.text == sayNext && w.saying == 1:
		text.Add("CHAP_A", "7")
		w.saying++
	case m.text == sayNext && w.saying == 2:
		respond(testSecret)
		right = w.nonce != nil
		w.saying++
	}
	var keys []string
	for _, p := range text[named:] {
		switch p.Key {
		case "AuthMethod":
			keys = append(keys, "AuthMethod", "AuthMethod="+p.Value)
		default:
			keys = append(keys, p.Key)
		}
	}
	w.want = w.model.after(m, keys, right)
	q := pdu.LoginRequest{
		Immediate: true, Transit: m.t, Continue: m.c, CSG: m.csg, NSG: m.nsg,
		ISID: pdu.ISID{0x40}, CmdSN: 1,
	}
	b := text.Append(nil)
	q.DataSegmentLength = uint32(len(b))
	var h pdu.BHS
	q.Encode(&h)
	w.out = pdu.AppendFrame(w.out[:0], &h, nil, b, pdu.Digests{})
}

// Write takes an answer.
func (w *loginWalker) Write(p []byte) (int, error) {
	w.last.Decode((*pdu.BHS)(p))
	text, err := pdu.ParseText(p[pdu.BHSLen:pdu.BHSLen+int(w.last.DataSegmentLength)], pdu.TextLimits{ValueLen: 4096})
	if err != nil {
		return 0, err
	}
	if c, ok := text.Get("CHAP_C"); ok {
		w.nonce, _ = pdu.ParseBinary(c, 1024)
		id, _ := text.Get("CHAP_I")
		n, _ := strconv.Atoi(id)
		w.id = byte(n)
	}
	if r, ok := text.Get("CHAP_R"); ok {
		w.answer, _ = pdu.ParseBinary(r, 1024)
	}
	return len(p), nil
}

func (w *loginWalker) Close() error                     { return nil }
func (w *loginWalker) LocalAddr() net.Addr              { return nil }
func (w *loginWalker) RemoteAddr() net.Addr             { return nil }
func (w *loginWalker) SetDeadline(time.Time) error      { return nil }
func (w *loginWalker) SetReadDeadline(time.Time) error  { return nil }
func (w *loginWalker) SetWriteDeadline(time.Time) error { return nil }

// Full feature phase is reached when the stages were gone through as they
// should be and the proof was given, and never else.
func TestEveryLoginSequence(t *testing.T) {
	honest, any := 6, 3
	if raceDetector { // a single goroutine, ten times slower
		honest, any = 5, 2
	}
	if v := os.Getenv("LOGIN_DEPTH"); v != "" { // 5 takes minutes
		any, _ = strconv.Atoi(v)
	}
	t.Run("honest", func(t *testing.T) { walkLogins(t, honest, sayNext) })
	t.Run("any text", func(t *testing.T) { walkLogins(t, any, sayNext, sayNothing, sayForged, sayNone) })
}

func walkLogins(t *testing.T, depth int, texts ...loginSaying) {
	var moves []loginMove
	for _, text := range texts {
		for n := range 64 {
			moves = append(moves, loginMove{pdu.Stage(n & 3), pdu.Stage(n >> 2 & 3), n&16 != 0, n&32 != 0, text})
		}
	}
	for policy, name := range []string{"none", "CHAP", "mutual"} {
		t.Run(name, func(t *testing.T) {
			target := iscsitest.NewTarget()
			s := NewServer(Options{})
			var auth *Auth
			if loginPolicy(policy) != policyNone {
				auth = &Auth{
					Secret:     func(user string) (Secret, bool) { return testSecret, user == "alice" },
					TargetUser: "target", TargetSecret: testTargetPW,
				}
			}
			s.SetNodes([]*Node{{
				Name: testTarget, Groups: []uint16{1},
				Authorize: func(InitiatorInfo) (*Auth, *LoginError) { return auth, nil },
				Attach:    func(scsi.Nexus, InitiatorInfo) (Target, error) { return target, nil },
			}})
			s.Serve()
			count := map[loginEnd]int{}
			play := func(way []loginMove) loginEnd {
				w := &loginWalker{way: way, policy: loginPolicy(policy), model: loginModel{policy: loginPolicy(policy)}}
				c, _, err := s.login(w, ConnInfo{TPGT: 1})
				got := loginClosed
				switch {
				case err == nil:
					got = loginIn
					c.stillborn(ReasonLogout)
				case w.waits:
					got = loginOpen
				}
				if got != w.want {
					t.Fatalf("%v: want %d, got %d: %v", way, w.want, got, err)
				}
				told := w.last.Transit && w.last.NSG == pdu.FullFeaturePhase && w.last.TSIH != 0
				if told != (got == loginIn) {
					t.Fatalf("%v: told %+v", way, w.last)
				}
				if got == loginIn && loginPolicy(policy) == policyMutual {
					require.Equal(t, CHAPSHA256.respond(7, testTargetPW, pattern(32, 5)), w.answer)
				}
				count[got]++
				return got
			}
			var walk func(way []loginMove)
			walk = func(way []loginMove) {
				for _, m := range moves {
					longer := append(way, m)
					if play(longer) != loginOpen || len(longer) == depth {
						continue
					}
					if !m.t && m.nsg != 0 {
						continue // reserved without T, and just seen to change nothing
					}
					walk(longer)
				}
			}
			walk(make([]loginMove, 0, depth))
			t.Logf("%d requests deep: %d ways in, %d refused, %d open", depth, count[loginIn], count[loginClosed], count[loginOpen])
			require.Empty(t, s.Sessions())
			require.Equal(t, depth > 2 || loginPolicy(policy) == policyNone, count[loginIn] > 0)
		})
	}
}
