package initiator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Login stages. RFC 7143 §11.12.3.
const (
	StageSecurity    uint8 = 0
	StageOperational uint8 = 1
	StageFullFeature uint8 = 3
)

// LoginStatus is class and detail of a Login Response. RFC 7143 §11.13.5.
type LoginStatus uint16

// Login statuses.
const (
	LoginSuccess          LoginStatus = 0x0000
	LoginMovedTemporarily LoginStatus = 0x0101
	LoginMovedPermanently LoginStatus = 0x0102
	LoginInitiatorError   LoginStatus = 0x0200
	LoginAuthFailure      LoginStatus = 0x0201
	LoginForbidden        LoginStatus = 0x0202
	LoginNotFound         LoginStatus = 0x0203
	LoginTargetRemoved    LoginStatus = 0x0204
	LoginBadVersion       LoginStatus = 0x0205
	LoginTooManyConns     LoginStatus = 0x0206
	LoginMissingParameter LoginStatus = 0x0207
	LoginCannotInclude    LoginStatus = 0x0208
	LoginBadSessionType   LoginStatus = 0x0209
	LoginNoSuchSession    LoginStatus = 0x020a
	LoginInvalidRequest   LoginStatus = 0x020b
	LoginTargetError      LoginStatus = 0x0300
	LoginUnavailable      LoginStatus = 0x0301
	LoginOutOfResources   LoginStatus = 0x0302
)

var loginStatusNames = map[LoginStatus]string{
	LoginSuccess: "success", LoginMovedTemporarily: "target moved temporarily",
	LoginMovedPermanently: "target moved permanently", LoginInitiatorError: "initiator error",
	LoginAuthFailure: "authentication failure", LoginForbidden: "authorization failure",
	LoginNotFound: "target not found", LoginTargetRemoved: "target removed",
	LoginBadVersion: "unsupported version", LoginTooManyConns: "too many connections",
	LoginMissingParameter: "missing parameter", LoginCannotInclude: "cannot include in session",
	LoginBadSessionType: "session type not supported", LoginNoSuchSession: "session does not exist",
	LoginInvalidRequest: "invalid request during login", LoginTargetError: "target error",
	LoginUnavailable: "service unavailable", LoginOutOfResources: "out of resources",
}

func (s LoginStatus) String() string {
	if n, ok := loginStatusNames[s]; ok {
		return fmt.Sprintf("%04x (%s)", uint16(s), n)
	}
	return fmt.Sprintf("%04x", uint16(s))
}

// LoginError is a login that the target refused.
type LoginError struct {
	Status        LoginStatus
	Addresses     []string // TargetAddress of a redirection (class 1)
	VersionActive uint8
}

func (e *LoginError) Error() string {
	if len(e.Addresses) > 0 {
		return fmt.Sprintf("initiator: login status %v: go to %s", e.Status, strings.Join(e.Addresses, ", "))
	}
	return fmt.Sprintf("initiator: login status %v", e.Status)
}

// Class returns the status class: 1 redirection, 2 initiator error, 3 target error.
func (e *LoginError) Class() uint8 { return uint8(e.Status >> 8) }

// Detail returns the status detail.
func (e *LoginError) Detail() uint8 { return uint8(e.Status) }

// LoginResponse is a decoded Login Response. RFC 7143 §11.13.
type LoginResponse struct {
	Transit, Continue         bool
	CSG, NSG                  uint8
	VersionMax, VersionActive uint8
	ISID                      [6]byte
	TSIH                      uint16
	ITT                       uint32
	Status                    LoginStatus
	Keys                      Keys
}

// DecodeLogin reads the fields of a Login Response.
func DecodeLogin(p *PDU) (LoginResponse, error) {
	l := LoginResponse{
		Transit: p.BHS[1]&0x80 != 0, Continue: p.BHS[1]&0x40 != 0,
		CSG: p.BHS[1] >> 2 & 3, NSG: p.BHS[1] & 3,
		VersionMax: p.BHS[2], VersionActive: p.BHS[3],
		ISID: [6]byte(p.BHS[offISID:]), TSIH: p.Uint16(offTSIH), ITT: p.ITT(),
		Status: LoginStatus(p.Uint16(offStatusCode)),
	}
	if p.Opcode() != OpLoginResp {
		return l, fmt.Errorf("initiator: %v is no Login Response", p.Opcode())
	}
	var err error
	if !l.Continue {
		l.Keys, err = ParseKeys(p.Data)
	}
	return l, err
}

// maxLoginRounds bounds a login with a target that never comes to the end.
const maxLoginRounds = 32

var errLoginRounds = errors.New("initiator: login did not end")

// loginRun lives for one login. The current line of run is the state.
type loginRun struct {
	r      *Raw
	ctx    context.Context
	cfg    Config
	neg    negotiation
	last   *PDU
	rounds int
	first  bool // no complete response seen yet
}

// Login negotiates and leaves the connection in full feature phase, with digests
// and limits in force and CmdSN, ExpStatSN and Params set.
func (r *Raw) Login(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	return r.login(ctx, cfg, cfg.InitialCmdSN)
}

func (r *Raw) login(ctx context.Context, cfg Config, cmdSN uint32) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.LoginTimeout)
	defer cancel()
	r.cid = cfg.CID
	r.CmdSN = cmdSN
	l := &loginRun{r: r, ctx: ctx, cfg: cfg, first: true, last: new(PDU)}
	l.neg.report = func(rule Rule, detail string) { r.report(rule, l.last, detail) }
	err := l.run()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("initiator: the target closed the connection during login: %w", err)
	}
	return err
}

func (l *loginRun) run() error {
	security := l.cfg.identity()
	auth := "None"
	if l.cfg.CHAP != nil {
		if auth = l.cfg.CHAP.AuthMethods; auth == "" {
			auth = "CHAP"
		}
	}
	if !l.cfg.OperationalFirst {
		security = append(security, Key{"AuthMethod", auth})
	}
	security, rest := security.override(l.cfg.Keys)
	operational, rest := l.cfg.operationalOffer().override(rest)
	operational = append(operational, rest.withoutOmit()...)

	if l.cfg.OperationalFirst {
		operational = append(security, operational...)
	} else if err := l.security(security); err != nil {
		return err
	}
	resp, err := l.stage(StageOperational, StageFullFeature, operational)
	if err != nil {
		return err
	}
	l.enterFullFeature(resp)
	return nil
}

// security runs stage 0.
func (l *loginRun) security(offer Keys) error {
	method, _ := offer.Get("AuthMethod")
	if l.cfg.CHAP == nil || !strings.Contains(method, "CHAP") {
		_, err := l.stage(StageSecurity, StageOperational, offer)
		return err
	}
	resp, err := l.round(StageSecurity, StageOperational, false, offer)
	if err != nil {
		return err
	}
	if v, _ := resp.Keys.Get("AuthMethod"); v != "CHAP" {
		if l.cfg.CHAP.MutualSecret != "" {
			return ErrTargetNotAuthentic
		}
		_, err := l.stage(StageSecurity, StageOperational, nil)
		return err
	}
	run := chapRun{c: l.cfg.CHAP, report: l.neg.report}
	if resp, err = l.round(StageSecurity, StageOperational, false, Keys{{"CHAP_A", run.c.offer()}}); err != nil {
		return err
	}
	answer, err := run.answer(resp.Keys)
	if err != nil {
		return err
	}
	if resp, err = l.stage(StageSecurity, StageOperational, answer); err != nil {
		return err
	}
	return run.verify(resp.Keys)
}

// stage sends keys with T=1 and repeats, with answers to what the target
// proposes, until the target moves on.
func (l *loginRun) stage(csg, nsg uint8, keys Keys) (LoginResponse, error) {
	var all Keys
	for {
		resp, err := l.round(csg, nsg, true, keys)
		if err != nil {
			return resp, err
		}
		all = append(all, resp.Keys...)
		if resp.Transit {
			resp.Keys = all
			if len(l.neg.pending) > 0 {
				l.neg.report(RuleLoginPDU, fmt.Sprintf("T=1 with keys that need an answer: %v", l.neg.pending))
			}
			return resp, nil
		}
		keys = l.neg.takePending()
	}
}

// round sends one text, in as many requests as it needs, and reads one text.
func (l *loginRun) round(csg, nsg uint8, transit bool, keys Keys) (LoginResponse, error) {
	for _, k := range keys {
		if !strings.HasPrefix(k.Name, "CHAP_") {
			l.neg.offered = append(l.neg.offered, k)
		}
	}
	text := keys.Marshal()
	req := LoginPDU{CSG: csg, ISID: l.cfg.ISID, TSIH: l.cfg.TSIH, CID: l.cfg.CID}
	for len(text) > maxLoginData {
		req.Continue, req.Data = true, text[:maxLoginData]
		text = text[maxLoginData:]
		if _, err := l.exchange(req); err != nil {
			return LoginResponse{}, err
		}
	}
	req.Continue, req.Data, req.Transit = false, text, transit
	if transit {
		req.NSG = nsg
	}
	resp, err := l.exchange(req)
	if err != nil {
		return resp, err
	}
	data := l.last.Data
	for resp.Continue {
		more := req
		more.Data, more.Transit, more.NSG = nil, false, 0
		if resp, err = l.exchange(more); err != nil {
			return resp, err
		}
		data = append(data, l.last.Data...)
	}
	if resp.Keys, err = ParseKeys(data); err != nil {
		l.neg.report(RuleText, err.Error())
	}
	if l.first {
		l.first = false
		_, told := resp.Keys.Get("TargetPortalGroupTag")
		if !told && l.cfg.Target != "" {
			l.neg.report(RuleLoginKeyMissing, "first response without TargetPortalGroupTag (RFC 7143 §13.9)")
		}
	}
	l.neg.receive(resp.Keys)
	return resp, nil
}

// exchange sends one request, reads one response and checks it against the request.
func (l *loginRun) exchange(req LoginPDU) (LoginResponse, error) {
	if l.rounds++; l.rounds > maxLoginRounds {
		return LoginResponse{}, errLoginRounds
	}
	leading := l.rounds == 1
	if err := l.r.Send(req.PDU()); err != nil {
		return LoginResponse{}, err
	}
	p, err := l.recv(leading)
	if err != nil {
		return LoginResponse{}, err
	}
	l.last = p
	resp, err := DecodeLogin(p)
	if err != nil && p.Opcode() != OpLoginResp {
		return resp, err
	}
	if resp.Status != LoginSuccess {
		if p.BHS[1] != 0 {
			l.neg.report(RuleReserved, "T, C, CSG, NSG with a status class other than 0")
		}
		return resp, &LoginError{
			Status: resp.Status, VersionActive: resp.VersionActive,
			Addresses: resp.Keys.All("TargetAddress"),
		}
	}
	l.check(req, resp)
	return resp, nil
}

// recv reads a response; the target chooses the first StatSN of a connection.
func (l *loginRun) recv(leading bool) (*PDU, error) {
	if leading {
		stop := l.r.watch(l.ctx)
		header, err := l.r.in.r.Peek(bhsLen)
		stop()
		if err == nil && header[0]&0x3f == byte(OpLoginResp) {
			l.r.ExpStatSN = (&PDU{BHS: [bhsLen]byte(header)}).StatSN()
		}
	}
	return l.r.Recv(l.ctx)
}

// check compares a successful response with its request. RFC 7143 §11.13.
func (l *loginRun) check(req LoginPDU, resp LoginResponse) {
	bad := func(format string, args ...any) { l.neg.report(RuleLoginPDU, fmt.Sprintf(format, args...)) }
	final := resp.Transit && resp.NSG == StageFullFeature
	if resp.VersionActive != 0 {
		bad("Version-active %d", resp.VersionActive)
	}
	if resp.ISID != req.ISID {
		bad("ISID %x, sent %x", resp.ISID, req.ISID)
	}
	if resp.ITT != req.ITT {
		bad("ITT %#x, sent %#x", resp.ITT, req.ITT)
	}
	if resp.CSG != req.CSG {
		bad("CSG %d, sent %d", resp.CSG, req.CSG)
	}
	switch {
	case resp.Transit && !req.Transit:
		bad("T=1 without being asked")
	case resp.Transit && resp.Continue:
		bad("T=1 and C=1")
	case resp.Transit && (resp.NSG > req.NSG || resp.NSG <= resp.CSG || resp.NSG == 2):
		bad("NSG %d, asked for %d", resp.NSG, req.NSG)
	case !resp.Transit && resp.NSG != 0:
		l.neg.report(RuleReserved, fmt.Sprintf("NSG %d with T=0", resp.NSG))
	}
	switch {
	case req.TSIH != 0 && resp.TSIH != req.TSIH:
		bad("TSIH %#x, sent %#x", resp.TSIH, req.TSIH)
	case req.TSIH == 0 && final && resp.TSIH == 0:
		bad("final response with TSIH 0")
	case req.TSIH == 0 && !final && resp.TSIH != 0:
		bad("TSIH %#x before the final response", resp.TSIH)
	}
	if req.Continue && (l.last.DataLen() != 0 || resp.Transit) {
		bad("answer to C=1 is not empty")
	}
	if exp := l.last.ExpCmdSN(); l.cfg.TSIH == 0 && exp != l.r.CmdSN {
		l.neg.report(RuleExpCmdSN, fmt.Sprintf("ExpCmdSN %#x, the leading login has CmdSN %#x", exp, l.r.CmdSN))
	}
	if snLess(l.last.MaxCmdSN(), l.last.ExpCmdSN()-1) {
		l.neg.report(RuleMaxCmdSN, fmt.Sprintf("MaxCmdSN %#x below ExpCmdSN %#x - 1", l.last.MaxCmdSN(), l.last.ExpCmdSN()))
	}
}

// enterFullFeature puts the negotiated values in force.
func (l *loginRun) enterFullFeature(resp LoginResponse) {
	r := l.r
	r.Params = l.neg.finish()
	r.Params.TSIH = resp.TSIH
	r.SetDigests(r.Params.HeaderDigest, r.Params.DataDigest)
	r.SetMaxRecv(r.Params.MaxRecvDataSegmentLength)
	r.window = window{exp: l.last.ExpCmdSN(), max: l.last.MaxCmdSN()}
}
