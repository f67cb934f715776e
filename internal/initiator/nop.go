package initiator

import (
	"bytes"
	"context"
	"fmt"
)

// Ping is a NOP-Out that asks for an answer. RFC 7143 §11.18.
type Ping struct {
	Data   []byte
	LUN    LUN
	Queued bool // not immediate: takes a CmdSN
	Conn   *Conn
}

// Ping sends a NOP-Out with data and checks the echo.
func (s *Session) Ping(ctx context.Context, data []byte) error {
	_, err := s.PingWith(ctx, Ping{Data: data})
	return err
}

// PingWith sends a NOP-Out and returns the data of the NOP-In.
func (s *Session) PingWith(ctx context.Context, ping Ping) ([]byte, error) {
	var echo []byte
	x := &exchange{request: OpNOPOut, immediate: !ping.Queued, lun: ping.LUN}
	x.answer = func(p *PDU) bool {
		echo = p.Data
		want := ping.Data[:min(len(ping.Data), x.conn.raw.Params.MaxRecvDataSegmentLength)]
		if !bytes.Equal(echo, want) {
			x.conn.report(RuleNOPEcho, p, fmt.Sprintf("%d bytes sent, %d other bytes came back", len(want), len(echo)))
		}
		return true
	}
	err := s.begin(ctx, ping.Conn, x, func() []*PDU {
		return []*PDU{NOPOutPDU{Immediate: !ping.Queued, LUN: ping.LUN, ITT: x.itt, TTT: NoTag, Data: ping.Data}.PDU()}
	})
	if err != nil {
		return nil, err
	}
	return echo, s.wait(ctx, x)
}

// receiveNOPIn handles what the target sends on its own; an answer to a ping of
// ours is left to dispatch. RFC 7143 §11.19.
func (s *Session) receiveNOPIn(c *Conn, p *PDU) (handled bool) {
	if p.ITT() != NoTag {
		if p.TTT() != NoTag {
			c.report(RuleNOPIn, p, fmt.Sprintf("both tags valid: ITT %#x TTT %#x", p.ITT(), p.TTT()))
		}
		return false
	}
	if len(p.Data) > 0 {
		c.report(RuleNOPIn, p, fmt.Sprintf("%d bytes of data without an ITT", len(p.Data)))
	}
	if p.TTT() != NoTag && s.answerNOP.Load() {
		answer := NOPOutPDU{Immediate: true, LUN: p.LUN(), ITT: NoTag, TTT: p.TTT()}.PDU()
		answer.SetUint32(offCmdSN, s.cmdSN)
		c.out.put(outItem{p: answer})
	}
	return true
}
