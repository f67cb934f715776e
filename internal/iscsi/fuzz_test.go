package iscsi

import (
	"bytes"
	"encoding/hex"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// fuzzServer is a server in memory with little patience and small limits, so
// that hostile bytes meet them.
func fuzzServer(t *testing.T, auth *Auth) (*Server, *iscsitest.Listener, *iscsitest.Target) {
	l, target := iscsitest.NewListener("10.0.0.1:3260"), iscsitest.NewTarget()
	s := NewServer(Options{QueueDepth: 8, SessionBytes: 1 << 20, LoginRounds: 8, Limits: Limits{
		MaxRecvDataSegmentLength: 65536, MaxConnections: 2, MaxBurstLength: 262144, FirstBurstLength: 65536,
		MaxOutstandingR2T: 4, DefaultTime2Wait: 2, DefaultTime2Retain: 1, ProtocolLevel: 2, ImmediateData: true,
	}})
	n := &Node{
		Name: testTarget, Groups: []uint16{1},
		Authorize: func(InitiatorInfo) (*Auth, *LoginError) { return auth, nil },
		Attach:    func(scsi.Nexus, InitiatorInfo) (Target, error) { return target, nil },
	}
	s.SetNodes([]*Node{n, neighbour(n)})
	if err := s.AddPortal(Portal{TPGT: 1, Listener: l}); err != nil {
		t.Fatal(err)
	}
	s.Serve()
	return s, l, target
}

// play sends data to a connection while whatever comes back is thrown away,
// and waits until both sides are done with each other.
func play(nc net.Conn, data []byte) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b := make([]byte, 4096)
		for {
			if _, err := nc.Read(b); err != nil {
				return
			}
		}
	}()
	nc.SetWriteDeadline(time.Now().Add(5 * time.Minute))
	nc.Write(data)
	synctest.Wait()
	nc.Close()
	<-gone
}

// finish ends a server; what does not end is found by the bubble.
func finish(t *testing.T, s *Server) {
	s.Shutdown(done())
	time.Sleep(5 * time.Minute)
	if n := s.memory.Load(); n != 0 {
		t.Fatalf("%d bytes are not given back", n)
	}
}

// FuzzLogin feeds arbitrary bytes to the login of a target that asks for CHAP.
// Nobody gets in, nothing panics, nothing stays.
func FuzzLogin(f *testing.F) {
	i := &iscsitest.Initiator{ISID: pdu.ISID{0x40}, CmdSN: 1}
	for _, texts := range [][]string{
		{names}, {names + " AuthMethod=CHAP", "CHAP_A=5,7", "CHAP_N=alice CHAP_R=0x00112233445566778899aabbccddeeff"},
		{names + " AuthMethod=None"}, {names + " AuthMethod=CHAP CHAP_A=8", "CHAP_N=alice CHAP_R=0bAAAA CHAP_I=5 CHAP_C=0x00"},
		{"InitiatorName=iqn.2026-11.test:host SessionType=Discovery", "SendTargets=All"},
	} {
		var b []byte
		for _, s := range texts {
			b = append(b, i.Encode(i.LoginRequest(0, 1, len(b) > 0), nil, iscsitest.Text(s).Append(nil))...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) {
			s, l, target := fuzzServer(t, &Auth{Secret: func(string) (Secret, bool) { return testSecret, true }})
			nc, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			play(nc, data)
			if len(s.Sessions()) != 0 || len(target.Managed()) != 0 {
				t.Fatal("in without a secret")
			}
			finish(t, s)
		})
	})
}

// FuzzSession feeds arbitrary bytes to a session in full feature phase. The
// first byte picks digests and how the stream is cut. Nothing panics, hangs or
// stays, and another session goes on.
func FuzzSession(f *testing.F) {
	i := &iscsitest.Initiator{ISID: pdu.ISID{0x40}, CmdSN: 1000, ITT: 1}
	seed := func(ps ...any) {
		b := []byte{0}
		for n := 0; n < len(ps); n += 2 {
			data, _ := ps[n+1].([]byte)
			b = append(b, i.Encode(ps[n].(pdu.PDU), nil, data)...)
		}
		f.Add(b)
		i.CmdSN, i.ITT = 1000, 1
	}
	r2t := &pdu.R2T{ITT: 2, TTT: 1}
	seed(i.Read10(0, 8), nil, i.Write10(0, 8), make([]byte, 4096), i.TestUnitReady(), nil)
	seed(i.Write10(0, 16), nil, i.DataOut(r2t, 0, 0, false), make([]byte, 4096), i.DataOut(r2t, 1, 4096, true), make([]byte, 4096))
	w := i.Write10(0, 16)
	w.Final = false
	seed(w, make([]byte, 512), i.Unsolicited(2, 0, 512, true), make([]byte, 7680))
	seed(i.Write10(0, 16), nil, i.TMF(pdu.TMFLogicalUnitReset, 0), nil, i.DataOut(r2t, 0, 0, true), make([]byte, 8192), i.TMF(pdu.TMFAbortTask, 0), nil)
	seed(&pdu.NOPOut{Immediate: true, ITT: 5, TTT: pdu.ReservedTag}, []byte("ping"), &pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: 1}, nil)
	seed(&pdu.TextRequest{Immediate: true, Final: true, ITT: 5, TTT: pdu.ReservedTag}, []byte("SendTargets=All\x00"))
	seed(&pdu.TextRequest{Immediate: true, Continue: true, ITT: 5, TTT: pdu.ReservedTag}, []byte("MaxRecv"), &pdu.TextRequest{Immediate: true, Final: true, ITT: 5, TTT: 1}, []byte("DataSegmentLength=512\x00"))
	seed(&pdu.LogoutRequest{Immediate: true, ITT: 5}, nil, i.Read10(0, 1), nil)
	seed(&pdu.SNACKRequest{ITT: 1, TTT: 1}, nil, i.LoginRequest(1, 3, true), []byte(names))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			s, l, _ := fuzzServer(t, nil)
			other := iscsitest.Connect(t, l)
			other.ISID[5] = 99
			other.Login(neighbourTarget, "")
			in := iscsitest.Connect(t, l)
			keys := "InitialR2T=No MaxOutstandingR2T=4 iSCSIProtocolLevel=2 MaxConnections=2"
			if data[0]&1 != 0 {
				keys += " DataDigest=CRC32C"
			}
			in.Login(testTarget, keys)
			play(in.Conn, data[1:])
			ping(other)
			other.Conn.Close()
			finish(t, s)
		})
	})
}

// script is a connection whose peer says what the test wants it to, when it is
// listened to.
type script struct {
	loginWalker
	next func(answer pdu.Text) []byte // nil: the peer is gone
	said pdu.Text
	left []byte
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		if s.left = s.next(s.said); s.left == nil {
			return 0, io.EOF
		}
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.last.Decode((*pdu.BHS)(p))
	s.said, _ = pdu.ParseText(p[pdu.BHSLen:pdu.BHSLen+int(s.last.DataSegmentLength)], pdu.TextLimits{ValueLen: 4096})
	return len(p), nil
}

// FuzzCHAP feeds arbitrary values to the keys of CHAP; $R in a response stands
// for the right one. Only that lets anybody in, and only alice.
func FuzzCHAP(f *testing.F) {
	f.Add("5", "alice", "0x$R", "", "")
	f.Add("8,7", "alice", "0x$R", "42", "0x00112233445566778899aabbccddeeff")
	f.Add("7", "bob", "0x$R", "256", "0b")
	f.Add("6", "0xalice", "0b$R", "0x100", "0bAAAA====")
	f.Add("", "", "0x", "-1", "0x0")
	f.Add("5,5,5,56", "alice", "$R", "0b1", "0xg")
	s := NewServer(Options{})
	target := iscsitest.NewTarget()
	s.SetNodes([]*Node{{
		Name: testTarget, Groups: []uint16{1},
		Authorize: func(InitiatorInfo) (*Auth, *LoginError) {
			return &Auth{
				Secret:     func(user string) (Secret, bool) { return testSecret, user == "alice" },
				TargetUser: "target", TargetSecret: testTargetPW,
			}, nil
		},
		Attach: func(scsi.Nexus, InitiatorInfo) (Target, error) { return target, nil },
	}})
	s.Serve()
	f.Fuzz(func(t *testing.T, algorithms, user, response, id, challenge string) {
		var right []byte
		n := 0
		w := &script{next: func(answer pdu.Text) []byte {
			n++
			text := iscsitest.Text(names + " AuthMethod=CHAP")
			switch n {
			case 1:
				text.Add("CHAP_A", algorithms)
			case 2:
				a, _ := answer.Get("CHAP_A")
				i, _ := answer.Get("CHAP_I")
				c, _ := answer.Get("CHAP_C")
				alg, err := strconv.Atoi(a)
				if err != nil {
					return nil
				}
				tag, _ := strconv.Atoi(i)
				sent, err := hex.DecodeString(strings.TrimPrefix(c, "0x"))
				if err != nil || len(sent) < 16 {
					t.Fatalf("challenge %q", c)
				}
				right = CHAPAlgorithm(alg).respond(byte(tag), testSecret, sent)
				text = nil
				text.Add("CHAP_N", user)
				text.Add("CHAP_R", strings.ReplaceAll(response, "$R", hex.EncodeToString(right)))
				if id != "" || challenge != "" {
					text.Add("CHAP_I", id)
					text.Add("CHAP_C", challenge)
				}
			default:
				return nil
			}
			q := pdu.LoginRequest{Immediate: true, Transit: n == 2, NSG: pdu.FullFeaturePhase, ISID: pdu.ISID{0x40}, CmdSN: 1}
			b := text.Append(nil)
			q.DataSegmentLength = uint32(min(len(b), loginSegment))
			var h pdu.BHS
			q.Encode(&h)
			return pdu.AppendFrame(nil, &h, nil, b[:q.DataSegmentLength], pdu.Digests{})
		}}
		c, _, err := s.login(w, ConnInfo{TPGT: 1})
		if len(s.challenges.set) != 0 {
			t.Fatal("a challenge outlives its login")
		}
		if err != nil {
			return
		}
		c.stillborn(ReasonLogout)
		given := strings.ReplaceAll(response, "$R", hex.EncodeToString(right))
		b, perr := pdu.ParseBinary(given, maxCHAPBinary)
		if perr != nil || !bytes.Equal(b, right) || user != "alice" {
			t.Fatalf("in as %q with %q", user, given)
		}
	})
}

// FuzzFullFeatureText feeds arbitrary text to a session and to a discovery
// session, in one PDU and in two. Whatever it says, it is answered or rejected
// and the session goes on.
func FuzzFullFeatureText(f *testing.F) {
	for _, s := range []string{
		"SendTargets=All\x00", "SendTargets=\x00", "SendTargets=iqn.2026-11.test:disk\x00X-a=1\x00",
		"MaxRecvDataSegmentLength=512\x00InitiatorAlias=x\x00", "MaxBurstLength=512\x00", "A=1\x00A=2\x00", "=", "\x00\x00", "SendTargets=Alle",
	} {
		f.Add([]byte(s), uint16(len(s)/2), byte(0))
		f.Add([]byte(s), uint16(3), byte(0x17))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, how byte) {
		data = data[:min(len(data), 60000)]
		synctest.Test(t, func(t *testing.T) {
			s, l, _ := fuzzServer(t, nil)
			i := iscsitest.Connect(t, l)
			i.Login(map[bool]string{true: testTarget}[how&1 == 0], "")
			q := &pdu.TextRequest{Immediate: how&2 == 0, Final: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}
			n := min(int(cut), len(data))
			answered := func() (ttt uint32, more bool) {
				p, _, err := i.Read()
				if err != nil {
					t.Fatalf("no answer: %v", err)
				}
				a, ok := p.(*pdu.TextResponse)
				if !ok {
					if _, ok = p.(*pdu.Reject); !ok {
						t.Fatalf("%v", p)
					}
					return 0, false
				}
				if !q.Immediate {
					i.CmdSN++
				}
				return a.TTT, !a.Final
			}
			say := func(part []byte, last bool) (uint32, bool) {
				q.Continue, q.Final, q.CmdSN, q.DataSegmentLength = !last, last && how&4 == 0, i.CmdSN, 0
				i.Send(q, part)
				return answered()
			}
			ttt, more := uint32(pdu.ReservedTag), true
			if n > 0 {
				ttt, more = say(data[:n], false)
			}
			if more {
				q.TTT = ttt
				if how&16 != 0 {
					q.TTT ^= uint32(how)
				}
				for ttt, more = say(data[n:], true); more && how&8 == 0; {
					q.TTT = ttt
					ttt, more = say(nil, true)
					if how&4 != 0 {
						break
					}
				}
			}
			ping(i)
			i.Conn.Close()
			finish(t, s)
		})
	})
}
