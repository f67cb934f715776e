package verify

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"nas-target/internal/initiator"
)

// lie is a behaviour of a target that is wrong: what goes to an honest one and
// what comes back is changed on the way.
type lie struct {
	// request may change a PDU of the initiator's.
	request func(c *liar, p *initiator.PDU)
	// answer may change a PDU of the target's; req is what it answers, as the
	// initiator sent it, nil for what answers nothing that is known.
	answer func(c *liar, req, p *initiator.PDU)
}

// through makes the connections of a login configuration lie.
func (l lie) through(conf initiator.Config) initiator.Config {
	conf.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return &liar{Conn: nc, lie: l, asked: map[uint32]*initiator.PDU{}}, nil
	}
	return conf
}

// liar is a connection whose PDUs are changed. It knows no digests.
type liar struct {
	net.Conn
	lie lie

	unsent []byte // of the initiator, less than a PDU; writer only
	unread []byte // for the initiator; reader only

	mu    sync.Mutex
	asked map[uint32]*initiator.PDU // by ITT, as sent
	isid  [6]byte                   // of the login, as sent
	cmdSN uint32                    // of the last command; writer only
}

// Write takes PDUs apart as they become whole.
func (c *liar) Write(b []byte) (int, error) {
	c.unsent = append(c.unsent, b...)
	var out []byte
	for {
		n, ok := wholePDU(c.unsent)
		if !ok {
			break
		}
		p := decodePDU(c.unsent[:n])
		c.unsent = c.unsent[n:]
		if p.Opcode() != initiator.OpDataOut {
			sent := *p
			sent.Data = append([]byte(nil), p.Data...)
			c.mu.Lock()
			c.asked[p.ITT()] = &sent
			c.mu.Unlock()
		}
		if c.lie.request != nil {
			c.lie.request(c, p)
		}
		out = initiator.Encoding{}.Append(out, p)
	}
	if len(out) > 0 {
		if _, err := c.Conn.Write(out); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// Read hands on one PDU after the other.
func (c *liar) Read(b []byte) (int, error) {
	if len(c.unread) == 0 {
		var head [48]byte
		if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
			return 0, err
		}
		raw := make([]byte, pduLen(head[:]))
		copy(raw, head[:])
		if _, err := io.ReadFull(c.Conn, raw[48:]); err != nil {
			return 0, err
		}
		p := decodePDU(raw)
		c.mu.Lock()
		req := c.asked[p.ITT()]
		c.mu.Unlock()
		if c.lie.answer != nil {
			c.lie.answer(c, req, p)
		}
		c.unread = initiator.Encoding{}.Append(nil, p)
	}
	n := copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

func pduLen(head []byte) int {
	data := int(head[5])<<16 | int(head[6])<<8 | int(head[7])
	return 48 + 4*int(head[4]) + (data+3)&^3
}

func wholePDU(b []byte) (int, bool) {
	if len(b) < 48 {
		return 0, false
	}
	n := pduLen(b)
	return n, len(b) >= n
}

func decodePDU(b []byte) *initiator.PDU {
	p := &initiator.PDU{BHS: [48]byte(b[:48])}
	rest := b[48:]
	p.AHS = append([]byte(nil), rest[:p.AHSLen()]...)
	p.Data = append([]byte(nil), rest[p.AHSLen():][:p.DataLen()]...)
	return p
}

// What lies are made of.

// cdb is the CDB of a SCSI command, nil for anything else.
func cdb(p *initiator.PDU) []byte {
	if p == nil || p.Opcode() != initiator.OpSCSICommand {
		return nil
	}
	return p.BHS[32:48]
}

// is tells a command by its operation code and, unless negative, service action.
func is(p *initiator.PDU, op byte, action int) bool {
	c := cdb(p)
	return c != nil && c[0] == op && (action < 0 || int(c[1]&0x1f) == action)
}

// ends tells a PDU that carries a status, and which.
func ends(p *initiator.PDU) (initiator.Status, bool) {
	switch p.Opcode() {
	case initiator.OpSCSIResponse:
		return initiator.Status(p.BHS[3]), true
	case initiator.OpDataIn:
		return initiator.Status(p.BHS[3]), p.BHS[1]&1 != 0
	}
	return 0, false
}

// sayGood turns the end of a command into GOOD.
func sayGood(p *initiator.PDU) {
	p.BHS[1], p.BHS[3], p.Data = 0x80, 0, nil
	p.SetUint32(44, 0)
}

// sayConflict turns it into RESERVATION CONFLICT; what was read is lost.
func sayConflict(p *initiator.PDU) {
	asResponse(p)
	p.BHS[3], p.Data = byte(initiator.ReservationConflict), nil
}

// sayCheck turns it into CHECK CONDITION.
func sayCheck(p *initiator.PDU, key initiator.SenseKey, code initiator.ASC) {
	asResponse(p)
	p.BHS[3] = byte(initiator.CheckCondition)
	p.Data = make([]byte, 20)
	p.Data[1], p.Data[2], p.Data[4], p.Data[9] = 18, 0x70, byte(key), 10
	binary.BigEndian.PutUint16(p.Data[14:], uint16(code))
}

// asResponse makes a SCSI Response of the last Data-In.
func asResponse(p *initiator.PDU) {
	if p.Opcode() == initiator.OpDataIn {
		p.BHS[0] = byte(initiator.OpSCSIResponse)
		for i := 8; i < 16; i++ {
			p.BHS[i] = 0
		}
		p.SetUint32(20, 0)
		p.SetUint32(40, 0)
		p.SetUint32(36, 0)
	}
	p.BHS[1] = 0x80
	p.SetUint32(44, 0)
}

// senseOf is key and code of a CHECK CONDITION.
func senseOf(p *initiator.PDU) (initiator.SenseKey, initiator.ASC, bool) {
	if st, ok := ends(p); !ok || st != initiator.CheckCondition || len(p.Data) < 16 {
		return 0, 0, false
	}
	s, _ := initiator.ParseSense(p.Data[2:])
	return s.Key, s.ASC, true
}
