package initiator

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// maxTextRounds bounds a target that never finishes its text.
const maxTextRounds = 4096

// Text sends key text in full feature phase and returns the complete answer,
// asking for the rest as often as the target wants. RFC 7143 §11.10, §11.11.
func (s *Session) Text(ctx context.Context, keys Keys) (Keys, error) {
	data, err := s.TextRaw(ctx, keys.Marshal())
	if err != nil {
		return nil, err
	}
	got, err := ParseKeys(data)
	if err != nil {
		s.log.add(0, RuleText, [bhsLen]byte{byte(OpTextResp)}, err.Error())
	}
	return got, err
}

// TextRaw is Text with the text as it is on the wire.
func (s *Session) TextRaw(ctx context.Context, text []byte) ([]byte, error) {
	var all []byte
	req := TextPDU{Final: true, TTT: NoTag, Data: text}
	var conn *Conn
	for range maxTextRounds {
		answer, x, err := s.textRound(ctx, conn, req)
		if err != nil {
			return nil, err
		}
		all = append(all, answer.Data...)
		if answer.Final() {
			return all, nil
		}
		conn = x.conn
		req = TextPDU{Final: true, LUN: answer.LUN(), TTT: answer.TTT()}
	}
	return nil, errors.New("initiator: text response does not end")
}

func (s *Session) textRound(ctx context.Context, conn *Conn, req TextPDU) (*PDU, *exchange, error) {
	var answer *PDU
	x := &exchange{request: OpTextReq}
	x.answer = func(p *PDU) bool {
		answer = p
		final, more := p.Final(), p.BHS[1]&0x40 != 0
		switch {
		case final && more:
			x.conn.report(RuleText, p, "F and C together")
		case final && p.TTT() != NoTag:
			x.conn.report(RuleText, p, fmt.Sprintf("F with TTT %#x", p.TTT()))
		case !final && p.TTT() == NoTag:
			x.conn.report(RuleText, p, "no F and no TTT")
		}
		return true
	}
	err := s.begin(ctx, conn, x, func() []*PDU {
		req.ITT = x.itt
		return []*PDU{req.PDU()}
	})
	if err != nil {
		return nil, x, err
	}
	err = s.wait(ctx, x)
	return answer, x, err
}

// TargetRecord is one target of a SendTargets answer.
type TargetRecord struct {
	Name      string
	Addresses []string // host:port,tpgt
}

// SendTargets asks for targets: "All", a name, or "" for the connected one.
// RFC 7143 appendix C.
func (s *Session) SendTargets(ctx context.Context, what string) ([]TargetRecord, error) {
	keys, err := s.Text(ctx, Keys{{"SendTargets", what}})
	if err != nil {
		return nil, err
	}
	var list []TargetRecord
	for _, k := range keys {
		switch k.Name {
		case "TargetName":
			list = append(list, TargetRecord{Name: k.Value})
		case "TargetAddress":
			if len(list) == 0 {
				return nil, fmt.Errorf("initiator: %v before any TargetName", k)
			}
			if !strings.Contains(k.Value, ",") {
				s.log.add(0, RuleText, [bhsLen]byte{byte(OpTextResp)}, fmt.Sprintf("%v without portal group tag", k))
			}
			last := &list[len(list)-1]
			last.Addresses = append(last.Addresses, k.Value)
		case "SendTargets":
			return nil, fmt.Errorf("initiator: target answered %v", k)
		}
	}
	return list, nil
}

// Discover logs in to a discovery session, asks for all targets and logs out.
func Discover(ctx context.Context, cfg Config) ([]TargetRecord, error) {
	cfg.Discovery = true
	s, err := Dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	list, err := s.SendTargets(ctx, "All")
	if err != nil {
		s.Close()
		return nil, err
	}
	return list, s.Logout(ctx)
}
