package initiator

import (
	"context"
	"fmt"
)

// LogoutResponse is the answer to a logout. RFC 7143 §11.15.
type LogoutResponse struct {
	Code                   uint8  // 0 closed, 1 CID not found, 2 recovery not supported, 3 cleanup failed
	Time2Wait, Time2Retain uint16 // seconds
}

// LogoutWith sends a Logout Request over conn (nil: any connection) and returns
// the answer. Closing is the target's part; see Logout for the whole.
func (s *Session) LogoutWith(ctx context.Context, reason LogoutReason, cid uint16, conn *Conn) (LogoutResponse, error) {
	var resp LogoutResponse
	x := &exchange{request: OpLogoutReq}
	x.answer = func(p *PDU) bool {
		resp = LogoutResponse{Code: p.BHS[2], Time2Wait: p.Uint16(40), Time2Retain: p.Uint16(42)}
		if resp.Code > 3 {
			x.conn.report(RuleLogout, p, fmt.Sprintf("response %d", resp.Code))
		}
		if resp.Code == 0 && (reason == LogoutSession || cid == x.conn.cid) {
			x.conn.logoutSeen = true
		}
		return true
	}
	err := s.begin(ctx, conn, x, func() []*PDU {
		return []*PDU{LogoutPDU{Reason: reason, ITT: x.itt, CID: cid}.PDU()}
	})
	if err != nil {
		return resp, err
	}
	err = s.wait(ctx, x)
	return resp, err
}

// Logout closes the session in order and returns the violations unless
// Config.Tolerant is set. It does not wait for the target to close the
// connections; LogoutWith and Conn.Done show whether it does.
func (s *Session) Logout(ctx context.Context) error {
	resp, err := s.LogoutWith(ctx, LogoutSession, 0, nil)
	if err == nil && resp.Code != 0 {
		err = fmt.Errorf("initiator: logout response %d", resp.Code)
	}
	if bad := s.Close(); err == nil {
		err = bad
	}
	return err
}
