package iscsitest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/pdu"
)

// Initiator is one end of one connection.
type Initiator struct {
	T       testing.TB
	Conn    net.Conn
	Digests pdu.Digests // in force from the next PDU on

	Name      string     // InitiatorName
	ISID      pdu.ISID   // of the login
	TSIH      uint16     // of the login; after it, the session's
	CID       uint16     // of the login
	CmdSN     pdu.Serial // of the next numbered request
	ExpStatSN pdu.Serial // of the next request; follows the responses
	ExpCmdSN  pdu.Serial // as last heard
	MaxCmdSN  pdu.Serial // as last heard
	ITT       uint32     // of the next request that wants one
}

// Wait is how long a read waits for the target before the test fails.
const Wait = 60 * time.Second

// Connect dials a listener.
func Connect(t testing.TB, l *Listener) *Initiator {
	t.Helper()
	nc, err := l.Dial()
	require.NoError(t, err)
	return New(t, nc)
}

// New takes over a connection. It is closed at the end of the test.
func New(t testing.TB, nc net.Conn) *Initiator {
	t.Cleanup(func() { nc.Close() })
	return &Initiator{
		T: t, Conn: nc, Name: "iqn.2026-11.test:host", ISID: pdu.ISID{0x40, 0, 0, 0, 0, 1},
		CID: 0, CmdSN: 1000, ITT: 1,
	}
}

// NextITT returns a fresh initiator task tag.
func (i *Initiator) NextITT() uint32 {
	i.ITT++
	return i.ITT
}

// Numbered returns the CmdSN of the next request and counts on.
func (i *Initiator) Numbered() pdu.Serial {
	i.CmdSN++
	return i.CmdSN - 1
}

// Send sends a PDU with its data segment. DataSegmentLength is filled in if it
// is zero; nothing else is touched.
func (i *Initiator) Send(p pdu.PDU, data []byte) {
	i.T.Helper()
	i.SendAHS(p, nil, data)
}

// SendAHS sends a PDU with additional header segments.
func (i *Initiator) SendAHS(p pdu.PDU, ahs, data []byte) {
	i.T.Helper()
	i.SendRaw(i.Encode(p, ahs, data))
}

// Encode returns a PDU as it goes over the wire.
func (i *Initiator) Encode(p pdu.PDU, ahs, data []byte) []byte {
	var h pdu.BHS
	p.Encode(&h)
	if h.AHSLength() == 0 {
		h[4] = byte(len(ahs) / 4)
	}
	if h.DataSegmentLength() == 0 {
		h[5], h[6], h[7] = byte(len(data)>>16), byte(len(data)>>8), byte(len(data))
	}
	return pdu.AppendFrame(nil, &h, ahs, data, i.Digests)
}

// SendRaw sends bytes.
func (i *Initiator) SendRaw(b []byte) {
	i.T.Helper()
	i.Conn.SetWriteDeadline(time.Now().Add(Wait))
	_, err := i.Conn.Write(b)
	require.NoError(i.T, err)
}

// Read reads the next PDU, whatever it is.
func (i *Initiator) Read() (pdu.PDU, []byte, error) {
	i.Conn.SetReadDeadline(time.Now().Add(Wait))
	return i.read()
}

func (i *Initiator) read() (pdu.PDU, []byte, error) {
	b := make([]byte, pdu.BHSLen)
	if _, err := io.ReadFull(i.Conn, b); err != nil {
		return nil, nil, err
	}
	h := pdu.BHS(b)
	b = append(b, make([]byte, h.Len(i.Digests)-len(b))...)
	if _, err := io.ReadFull(i.Conn, b[pdu.BHSLen:]); err != nil {
		return nil, nil, err
	}
	f, _, err := pdu.SplitFrame(b, i.Digests)
	if err == nil {
		err = f.Verify()
	}
	if err != nil {
		return nil, nil, err
	}
	p := pdu.New(h.Opcode())
	if p == nil {
		return nil, nil, fmt.Errorf("the target sent %v", h.Opcode())
	}
	p.Decode(&h)
	i.note(p, &h)
	return p, f.Data, nil
}

// note follows the target's numbers, and checks them where every PDU must be
// right. RFC 7143 §4.2.2.
func (i *Initiator) note(p pdu.PDU, h *pdu.BHS) {
	exp := pdu.Serial(uint32(h[28])<<24 | uint32(h[29])<<16 | uint32(h[30])<<8 | uint32(h[31]))
	max := pdu.Serial(uint32(h[32])<<24 | uint32(h[33])<<16 | uint32(h[34])<<8 | uint32(h[35]))
	stat := h.CmdSN()
	counts := true
	switch q := p.(type) {
	case *pdu.LoginResponse:
		i.ExpStatSN = q.StatSN + 1
		if q.Status == 0 {
			i.ExpCmdSN, i.MaxCmdSN = exp, max
		}
		return
	case *pdu.R2T:
		counts = false
	case *pdu.DataIn:
		if !q.HasStatus {
			stat, counts = i.ExpStatSN, false
		}
	case *pdu.NOPIn:
		counts = q.ITT != pdu.ReservedTag
	}
	require.Equal(i.T, i.ExpStatSN, stat, "StatSN of %v", p)
	if counts {
		i.ExpStatSN++
	}
	require.False(i.T, exp.Before(i.ExpCmdSN), "ExpCmdSN moved back: %v", p)
	require.False(i.T, max.Before(i.MaxCmdSN), "MaxCmdSN moved back: %v", p)
	require.False(i.T, max.Before(exp.Add(-1)), "MaxCmdSN below ExpCmdSN-1: %v", p)
	i.ExpCmdSN, i.MaxCmdSN = exp, max
}

// Expect reads the next PDU, which must be a P.
func Expect[P pdu.PDU](i *Initiator) (P, []byte) {
	i.T.Helper()
	p, data, err := i.Read()
	require.NoError(i.T, err, "waiting for %v", reflect.TypeFor[P]())
	q, ok := p.(P)
	require.True(i.T, ok, "want %v, got %v", reflect.TypeFor[P](), p)
	return q, data
}

// Silent checks that the target sends nothing for d.
func (i *Initiator) Silent(d time.Duration) {
	i.T.Helper()
	i.Conn.SetReadDeadline(time.Now().Add(d))
	p, _, err := i.read()
	require.ErrorIs(i.T, err, os.ErrDeadlineExceeded, "the target sent %v", p)
}

// Closed checks that the target closes the connection, after at most the PDUs
// that were on their way.
func (i *Initiator) Closed() {
	i.T.Helper()
	for {
		_, _, err := i.Read()
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe) && !strings.Contains(err.Error(), "reset") {
			require.Fail(i.T, "connection is not closed", err)
		}
		return
	}
}

// Text parses "A=b C=d".
func Text(s string) pdu.Text {
	var t pdu.Text
	for _, f := range strings.Fields(s) {
		k, v, _ := strings.Cut(f, "=")
		t.Add(k, v)
	}
	return t
}

// LoginRequest returns a request of the connection's login.
func (i *Initiator) LoginRequest(csg, nsg pdu.Stage, transit bool) *pdu.LoginRequest {
	return &pdu.LoginRequest{
		Immediate: true, Transit: transit, CSG: csg, NSG: nsg,
		ISID: i.ISID, TSIH: i.TSIH, ITT: 0, CID: i.CID, CmdSN: i.CmdSN, ExpStatSN: i.ExpStatSN,
	}
}

// LoginStep sends one login request and returns the answer.
func (i *Initiator) LoginStep(csg, nsg pdu.Stage, transit bool, text string) (*pdu.LoginResponse, pdu.Text) {
	i.T.Helper()
	i.Send(i.LoginRequest(csg, nsg, transit), Text(text).Append(nil))
	return i.LoginAnswer()
}

// LoginAnswer reads a login response.
func (i *Initiator) LoginAnswer() (*pdu.LoginResponse, pdu.Text) {
	i.T.Helper()
	r, data := Expect[*pdu.LoginResponse](i)
	text, err := pdu.ParseText(data, pdu.TextLimits{ValueLen: 4096})
	require.NoError(i.T, err)
	return r, text
}

// Login logs in to a target in one step, without authentication, and expects
// success. Further keys, "A=b C=d", are offered as they are.
func (i *Initiator) Login(target, keys string) pdu.Text {
	i.T.Helper()
	session := "SessionType=Normal TargetName=" + target
	if target == "" {
		session = "SessionType=Discovery"
	}
	r, text := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true,
		"InitiatorName="+i.Name+" "+session+" "+keys)
	require.Equal(i.T, pdu.LoginSuccess, r.Status)
	require.True(i.T, r.Transit)
	require.Equal(i.T, pdu.FullFeaturePhase, r.NSG)
	require.NotZero(i.T, r.TSIH)
	i.TSIH = r.TSIH
	if v, _ := text.Get("HeaderDigest"); v == "CRC32C" {
		i.Digests.Header = true
	}
	if v, _ := text.Get("DataDigest"); v == "CRC32C" {
		i.Digests.Data = true
	}
	return text
}
