package initiator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeTarget is a test fixture: a well-behaved target of a few commands, over
// net.Pipe, whose every outgoing PDU passes a hook that may spoil it.
type fakeTarget struct {
	t  *testing.T
	wg sync.WaitGroup

	// answers replace or add login keys by name.
	answers Keys
	status  LoginStatus
	// mangle returns what goes out instead of p; nil leaves all as it is.
	mangle func(c *fakeConn, p *PDU) []*PDU
	// handle may take a request over; true means it did.
	handle func(c *fakeConn, req *PDU) bool
	window uint32 // MaxCmdSN - ExpCmdSN + 1

	mu    sync.Mutex
	exp   uint32 // ExpCmdSN of the session
	disk  []byte
	seen  []*PDU // requests in order of arrival
	conns []*fakeConn
}

type fakeConn struct {
	f      *fakeTarget
	nc     net.Conn
	in     framer
	enc    Encoding
	mu     sync.Mutex // guards sending
	stat   uint32
	raw    func([]byte) []byte // changes the encoded bytes of the next PDU
	ffp    bool
	text   []byte // of requests with C=1
	params map[string]string
	writes map[uint32]*fakeWrite // by ITT
	logout bool
}

type fakeWrite struct {
	cmd  *PDU
	data []byte
	got  int
	r2t  uint32
}

const (
	fakeTarget1 = "iqn.2026-11.test:fake"
	fakeBlock   = 512
)

func newFake(t *testing.T) *fakeTarget {
	f := &fakeTarget{t: t, window: 32, disk: make([]byte, 4<<20)}
	t.Cleanup(func() {
		f.mu.Lock()
		for _, c := range f.conns {
			c.nc.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

// config dials the fake.
func (f *fakeTarget) config() Config {
	return Config{
		Target: fakeTarget1, ISID: [6]byte{0x80, 1, 2, 3, 4, 5}, LoginTimeout: 5 * time.Second,
		Dial: func(context.Context, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			c := &fakeConn{f: f, nc: theirs, stat: 100, params: map[string]string{}, writes: map[uint32]*fakeWrite{}}
			c.in = framer{r: bufio.NewReader(theirs), maxData: 1 << 24, soft: func(Rule, *PDU, string) {}}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			f.wg.Go(c.serve)
			return ours, nil
		},
	}
}

// dial logs in and closes the session at the end of the test.
func (f *fakeTarget) dial(cfg Config) *Session {
	f.t.Helper()
	s, err := Dial(f.t.Context(), cfg)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { s.Close() })
	return s
}

func (f *fakeTarget) requests(op Opcode) []*PDU {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*PDU
	for _, p := range f.seen {
		if p.Opcode() == op {
			list = append(list, p)
		}
	}
	return list
}

func (c *fakeConn) serve() {
	defer c.nc.Close()
	for !c.logout {
		p := new(PDU)
		if c.in.read(p, nil) != nil {
			return
		}
		f := c.f
		f.mu.Lock()
		f.seen = append(f.seen, p)
		switch op := p.Opcode(); {
		case op == OpLoginReq && len(f.conns) == 1:
			f.exp = p.Uint32(offCmdSN)
		case !p.Immediate() && op != OpDataOut && op != OpSNACK && p.Uint32(offCmdSN) == f.exp:
			f.exp++
		}
		f.mu.Unlock()
		if f.handle != nil && f.handle(c, p) {
			continue
		}
		c.answer(p)
	}
}

func (c *fakeConn) answer(p *PDU) {
	switch p.Opcode() {
	case OpLoginReq:
		c.login(p)
	case OpSCSICommand:
		c.command(p)
	case OpDataOut:
		c.dataOut(p)
	case OpNOPOut:
		if p.ITT() != NoTag {
			r := reply(OpNOPIn, p)
			r.SetUint32(offTTT, NoTag)
			r.Data = p.Data
			c.send(r)
		}
	case OpTMFRequest:
		c.send(reply(OpTMFResponse, p))
	case OpTextReq:
		r := reply(OpTextResp, p)
		r.SetUint32(offTTT, NoTag)
		r.Data = Keys{{"TargetName", fakeTarget1}, {"TargetAddress", "10.0.0.1:3260,1"}}.Marshal()
		c.send(r)
	case OpLogoutReq:
		c.send(reply(OpLogoutResp, p))
		c.logout = true
	}
}

// reply starts an answer to a request.
func reply(op Opcode, req *PDU) *PDU {
	p := newPDU(op, false, 0x80)
	p.SetUint32(offITT, req.ITT())
	return p
}

// send numbers a PDU, lets the hook spoil it, and writes it.
func (c *fakeConn) send(p *PDU) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number(p)
	list := []*PDU{p}
	if c.f.mangle != nil {
		if m := c.f.mangle(c, p); m != nil {
			list = m
		}
	}
	for _, p := range list {
		c.write(p)
	}
}

func (c *fakeConn) number(p *PDU) {
	if p.Opcode() != OpDataIn || carriesStatus(p) {
		p.SetUint32(offStatSN, c.stat)
	}
	if carriesStatus(p) {
		c.stat++
	}
	c.f.mu.Lock()
	exp := c.f.exp
	c.f.mu.Unlock()
	p.SetUint32(offExpCmdSN, exp)
	p.SetUint32(offMaxCmdSN, exp+c.f.window-1)
}

func (c *fakeConn) write(p *PDU) {
	b := c.enc.Append(nil, p)
	if c.raw != nil {
		b, c.raw = c.raw(b), nil
	}
	c.nc.Write(b)
}

// login answers every key as the standard says and moves on when asked to.
func (c *fakeConn) login(p *PDU) {
	r := reply(OpLoginResp, p)
	r.BHS[1] = p.BHS[1] & 0x8f
	if p.BHS[1]&0x80 == 0 {
		r.BHS[1] &= 0x0c
	}
	copy(r.BHS[8:14], p.BHS[8:14])
	r.SetUint16(offTSIH, p.Uint16(offTSIH))
	if p.BHS[1]&0x83 == 0x83 && p.Uint16(offTSIH) == 0 {
		r.SetUint16(offTSIH, 77)
	}
	if c.f.status != 0 {
		r.BHS[1] = 0
		r.SetUint16(offStatusCode, uint16(c.f.status))
	}
	c.text = append(c.text, p.Data...)
	if p.BHS[1]&0x40 != 0 {
		r.BHS[1] &= 0x0c
		c.send(r)
		return
	}
	offer, err := ParseKeys(c.text)
	require.NoError(c.f.t, err)
	c.text = nil
	var out Keys
	if !c.ffp && len(offer) > 0 && offer[0].Name == "InitiatorName" {
		out = Keys{{"TargetPortalGroupTag", "1"}}
	}
	for _, k := range offer {
		rule, known := keyRules[k.Name]
		switch {
		case !known && !strings.HasPrefix(k.Name, "CHAP"):
			out = append(out, Key{k.Name, "NotUnderstood"})
		case k.Name == "MaxRecvDataSegmentLength":
			out = append(out, Key{k.Name, "65536"})
		case rule.kind == kindList && known:
			first, _, _ := strings.Cut(k.Value, ",")
			out = append(out, Key{k.Name, first})
		case rule.kind != kindDeclared && known:
			out = append(out, k)
		}
	}
	out, extra := out.override(c.f.answers)
	if c.f.status == 0 && len(offer) > 0 {
		out = append(out, extra.withoutOmit()...)
		for _, k := range out {
			c.params[k.Name] = k.Value
		}
		r.Data = out.Marshal()
	}
	final := r.BHS[1]&0x83 == 0x83
	c.send(r)
	if final {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ffp = true
		c.enc = Encoding{HeaderDigest: c.params["HeaderDigest"] == "CRC32C", DataDigest: c.params["DataDigest"] == "CRC32C"}
		c.in.headerDigest, c.in.dataDigest = c.enc.HeaderDigest, c.enc.DataDigest
	}
}

func (c *fakeConn) number32(key string, otherwise int) int {
	if v, err := strconv.Atoi(c.params[key]); err == nil {
		return v
	}
	return otherwise
}

// command executes TEST UNIT READY, REQUEST SENSE (as a failing command), READ
// (10) and WRITE (10).
func (c *fakeConn) command(p *PDU) {
	cdb := p.BHS[32:]
	lba, n := int(binary.BigEndian.Uint32(cdb[2:]))*fakeBlock, int(binary.BigEndian.Uint16(cdb[7:]))*fakeBlock
	switch cdb[0] {
	case 0x28:
		c.read(p, c.f.disk[lba:lba+n])
	case 0x2a:
		w := &fakeWrite{cmd: p, data: make([]byte, n)}
		w.got = copy(w.data, p.Data)
		c.writes[p.ITT()] = w
		if p.Final() {
			c.more(w)
		}
	case 0x03:
		r := reply(OpSCSIResponse, p)
		r.BHS[3] = byte(CheckCondition)
		r.Data = append([]byte{0, 18}, fixedSense(IllegalRequest, ASCInvalidFieldInCDB)...)
		c.send(r)
	default:
		c.send(reply(OpSCSIResponse, p))
	}
}

func fixedSense(k SenseKey, asc ASC) []byte {
	b := make([]byte, 18)
	b[0], b[2], b[7] = 0x70, byte(k), 10
	binary.BigEndian.PutUint16(b[12:], uint16(asc))
	return b
}

// read sends data in PDUs of 8 KiB, then a response.
func (c *fakeConn) read(req *PDU, data []byte) {
	edtl := int(req.Uint32(offEDTL))
	full := len(data)
	data = data[:min(full, edtl)]
	burst, sn := 0, uint32(0)
	limit := c.number32("MaxBurstLength", 262144)
	for off := 0; off < len(data); sn++ {
		end := min(off+8192, off+limit, len(data))
		p := reply(OpDataIn, req)
		p.SetUint32(offTTT, NoTag)
		p.SetUint32(offDataSN, sn)
		p.SetUint32(offBufferOff, uint32(off))
		p.Data = bytes.Clone(data[off:end])
		burst += end - off
		p.BHS[1] = 0
		if end == len(data) || burst == limit {
			p.BHS[1], burst = 0x80, 0
		}
		off = end
		c.send(p)
	}
	r := reply(OpSCSIResponse, req)
	r.SetUint32(offDataSN, sn)
	switch {
	case full > edtl:
		r.BHS[1] |= 0x04
		r.SetUint32(offResidual, uint32(full-edtl))
	case full < edtl:
		r.BHS[1] |= 0x02
		r.SetUint32(offResidual, uint32(edtl-full))
	}
	c.send(r)
}

func (c *fakeConn) dataOut(p *PDU) {
	w := c.writes[p.ITT()]
	if w == nil {
		return
	}
	w.got += copy(w.data[p.Uint32(offBufferOff):], p.Data)
	if p.Final() {
		c.more(w)
	}
}

// more asks for the next burst of a write or ends it.
func (c *fakeConn) more(w *fakeWrite) {
	if w.got < len(w.data) {
		p := reply(OpR2T, w.cmd)
		p.SetLUN(w.cmd.LUN())
		p.SetUint32(offTTT, 0x1000+w.r2t)
		p.SetUint32(offDataSN, w.r2t)
		p.SetUint32(offBufferOff, uint32(w.got))
		p.SetUint32(offResidual, uint32(min(len(w.data)-w.got, c.number32("MaxBurstLength", 262144))))
		w.r2t++
		c.send(p)
		return
	}
	delete(c.writes, w.cmd.ITT())
	lba := int(binary.BigEndian.Uint32(w.cmd.BHS[34:])) * fakeBlock
	copy(c.f.disk[lba:], w.data)
	c.send(reply(OpSCSIResponse, w.cmd))
}
