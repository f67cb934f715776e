package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nas-target/internal/initiator"
)

func init() {
	c := func(id, title, clause, demand string, level Level, run func(*T)) Case {
		return Case{ID: "iscsi." + id, Title: title, Clause: clause, Demand: demand, Level: level, run: run}
	}
	define(
		c("login.normal", "Log in, talk, log out", "RFC 7143 §6.3, §11.13 to §11.15",
			"a login with common keys succeeds, commands are answered, a logout is confirmed", Required,
			func(t *T) {
				a := t.Nexus(0)
				a.Expect(initiator.TestUnitReady(), good)
				ctx, cancel := t.within()
				defer cancel()
				resp, err := a.S.LogoutWith(ctx, initiator.LogoutSession, 0, nil)
				if err != nil {
					a.noAnswer("Logout Request", err)
				}
				a.saw("Logout Response", fmt.Sprintf("response %d", resp.Code), "response 0")
			}),
		c("login.operational-first", "Log in without a security stage", "RFC 7143 §6.3",
			"an initiator that need not authenticate may begin with the operational stage", Required,
			func(t *T) {
				if t.r.path(0).Login.CHAP != nil {
					t.Absent("the target wants authentication")
				}
				t.accepted("begins with the operational stage", func(c *initiator.Config) { c.OperationalFirst = true })
			}),
		c("login.no-initiator-name", "A login without InitiatorName is refused", "RFC 7143 §6.3, §11.13.5",
			"the first request must carry InitiatorName; without, the login fails with an initiator error (0207, missing parameter)", Required,
			func(t *T) {
				t.refusedLogin("no InitiatorName", func(c *initiator.Config) {
					c.Keys = append(c.Keys, initiator.Key{Name: "InitiatorName", Value: initiator.Omit})
				})
			}),
		c("login.no-target-name", "A login to no target is refused", "RFC 7143 §6.3, §11.13.5",
			"a normal session's first request must carry TargetName; without, the login fails with an initiator error", Required,
			func(t *T) {
				t.refusedLogin("no TargetName", func(c *initiator.Config) {
					c.Keys = append(c.Keys, initiator.Key{Name: "TargetName", Value: initiator.Omit})
				})
			}),
		c("login.unknown-target", "A login to a target that does not exist is refused", "RFC 7143 §11.13.5",
			"the login fails with an initiator error (0203, not found)", Required,
			func(t *T) {
				t.refusedLogin("TargetName "+nobody, func(c *initiator.Config) { c.Target = nobody })
			}),
		c("login.unknown-session", "A connection of a session that does not exist is refused", "RFC 7143 §6.3.1, §11.13.5",
			"a leading login with a TSIH that was never handed out fails with an initiator error (020A, session does not exist)", Required,
			func(t *T) {
				t.refusedLogin("TSIH 65534", func(c *initiator.Config) { c.TSIH = 0xfffe })
			}),
		c("login.version", "A version that does not exist is refused", "RFC 7143 §11.12.4, §11.13.5",
			"a request whose Version-min is above 0 fails with an initiator error (0205, unsupported version)", Required, badVersion),
		c("login.first-pdu", "Nothing is served before a login", "RFC 7143 §6.3",
			"a connection whose first PDU is no Login Request is closed, or refused with a Login Response; the request is not answered", Required, notLogin),
		c("login.unknown-key", "An unknown key is answered NotUnderstood", "RFC 7143 §6.2",
			"a key that the target does not know is answered key=NotUnderstood, and the login goes on", Required,
			func(t *T) {
				const key = "X-com.example.verify"
				n := t.accepted("offers "+key+"=1", func(c *initiator.Config) { c.Keys = append(c.Keys, initiator.Key{Name: key, Value: "1"}) })
				v, _ := n.S.Params().Received.Get(key)
				n.saw("the answer to "+key, v, "NotUnderstood")
			}),
		c("login.reinstatement", "A login with an ISID in use replaces the session", "RFC 7143 §6.3.5",
			"a new login of the same initiator port to the same target port ends the old session, and the new one works", Required,
			func(t *T) {
				a := t.Nexus(0)
				a.Must(initiator.TestUnitReady())
				b := t.login(0, 0, nil)
				b.Expect(initiator.TestUnitReady(), good)
				ctx, cancel := context.WithTimeout(t.ctx, t.r.soon())
				defer cancel()
				got := "closed"
				for _, conn := range a.S.Conns() {
					select {
					case <-conn.Done():
					case <-ctx.Done():
						got = "open"
					}
				}
				a.saw("the old session's connection", got, "closed")
			}),
		c("login.chap-required", "Who does not authenticate is refused", "RFC 7143 §6.3.2, §11.13.5",
			"a login that offers AuthMethod=None to a target that wants CHAP fails with an initiator error (0201)", Required,
			func(t *T) {
				if t.r.path(0).Login.CHAP == nil {
					t.Absent("no user was given")
				}
				t.refusedLogin("AuthMethod=None", func(c *initiator.Config) { c.CHAP = nil })
			}),
		c("login.chap-wrong-secret", "A wrong secret is refused", "RFC 7143 §12.1.3, §11.13.5",
			"a CHAP response made with another secret fails the login with an initiator error (0201)", Required,
			func(t *T) {
				if t.r.path(0).Login.CHAP == nil {
					t.Absent("no user was given")
				}
				t.refusedLogin("a wrong CHAP secret", func(c *initiator.Config) {
					other := *c.CHAP
					other.Secret = strings.Repeat("x", 12) + other.Secret
					c.CHAP = &other
				})
			}),
		c("negotiate.results", "The results of the negotiation follow its rules", "RFC 7143 §13",
			"MIN, MAX, AND and OR of both offers: InitialR2T=Yes and ImmediateData=No stay so, a small MaxBurstLength is not exceeded", Required,
			func(t *T) {
				n := t.accepted("offers InitialR2T=Yes, ImmediateData=No, MaxBurstLength=4096", func(c *initiator.Config) {
					c.Keys = initiator.Keys{{Name: "InitialR2T", Value: "Yes"}, {Name: "ImmediateData", Value: "No"}, {Name: "MaxBurstLength", Value: "4096"},
						{Name: "FirstBurstLength", Value: "4096"}}
				})
				p := n.S.Params()
				n.saw("the result", fmt.Sprintf("InitialR2T=%v ImmediateData=%v MaxBurstLength≤4096=%v ErrorRecoveryLevel=%d", p.InitialR2T, p.ImmediateData, p.MaxBurstLength <= 4096, p.ErrorRecoveryLevel),
					"InitialR2T=true ImmediateData=false MaxBurstLength≤4096=true ErrorRecoveryLevel=0")
				for _, v := range n.S.Violations() {
					if v.Rule == initiator.RuleLoginKey {
						t.Wrong("%s", v.Detail)
					}
				}
			}),
		c("negotiate.small-segments", "A small MaxRecvDataSegmentLength is respected", "RFC 7143 §13.12, §13.13",
			"no Data-In is longer than the initiator's MaxRecvDataSegmentLength, no sequence longer than MaxBurstLength, and the data are the same", Required,
			func(t *T) {
				a := t.Nexus(0)
				blocks := min(int(t.r.blocks), (32<<10)/t.BlockSize())
				whole := a.Must(a.Read(0, blocks)).Data
				b := t.accepted("offers MaxRecvDataSegmentLength=512, MaxBurstLength=2048", func(c *initiator.Config) {
					c.ISID[5] += 0x40
					c.Keys = initiator.Keys{{Name: "MaxRecvDataSegmentLength", Value: "512"}, {Name: "MaxBurstLength", Value: "2048"}, {Name: "FirstBurstLength", Value: "512"}}
				})
				r := b.Expect(b.Read(0, blocks), good)
				if i := differs(whole, r.Data); i >= 0 {
					t.Fail("the data differ from byte %d on", i)
				}
				b.keptRules(initiator.RuleDataSegmentLength, initiator.RuleDataBurst, initiator.RuleDataSN, initiator.RuleDataOffset)
			}),
		c("digest.crc32c", "Header and data digests", "RFC 7143 §13.1, §11.2.3",
			"every target implements CRC32C: offered alone it is chosen, and all that comes carries it", Required,
			func(t *T) {
				n := t.accepted("offers HeaderDigest=CRC32C and DataDigest=CRC32C alone", func(c *initiator.Config) { c.HeaderDigest, c.DataDigest = "CRC32C", "CRC32C" })
				p := n.S.Params()
				n.saw("the result", fmt.Sprintf("HeaderDigest %v, DataDigest %v", p.HeaderDigest, p.DataDigest), "HeaderDigest true, DataDigest true")
				n.Expect(n.Read(0, min(int(t.r.blocks), 64)), good)
				n.keptRules(initiator.RuleHeaderDigest, initiator.RuleDataDigest)
			}),
		c("discovery.send-targets", "Discovery names the target", "RFC 7143 App. C",
			"a discovery session is served, and SendTargets=All names the target with the addresses of its portals", Required,
			func(t *T) {
				cfg := t.config(0, 0)
				cfg.Target, cfg.Discovery = "", true
				ctx, cancel := t.within()
				defer cancel()
				list, err := initiator.Discover(ctx, cfg)
				if err != nil {
					t.record(Step{Nexus: "A", Did: "discovers with SendTargets=All", Got: errText(err), Wrong: true})
					t.Fail("discovery: %s", errText(err))
				}
				var names []string
				for _, r := range list {
					names = append(names, r.Name)
				}
				t.record(Step{Nexus: "A", Did: "discovers with SendTargets=All", Got: strings.Join(names, ", ")})
				if own := t.r.path(0).Login.Target; !slices.Contains(names, own) {
					t.Fail("SendTargets=All does not name %s", own)
				}
			}),
		c("discovery.no-commands", "A discovery session carries no commands", "RFC 7143 §4.3",
			"a SCSI Command in a discovery session is rejected or costs the connection; it is not executed", Required, discoveryCommand),
	)
}

const nobody = "iqn.2026-11.local.nas-target:verify-nobody"

// accepted logs in in a way that a target must take.
func (t *T) accepted(how string, change func(*initiator.Config)) *Nexus {
	n, err := t.tryLogin(0, 0, change)
	if err != nil {
		t.Fail("the login that %s: %s", how, errText(err))
	}
	t.Note("that was the login that %s", how)
	return n
}

// refusedLogin logs in in a way that a target must refuse with status class 2.
func (t *T) refusedLogin(how string, change func(*initiator.Config)) {
	n, err := t.tryLogin(0, 0, change)
	var refusal *initiator.LoginError
	switch {
	case err == nil:
		n.leave(t.ctx)
		t.Fail("a login with %s succeeded", how)
	case !errors.As(err, &refusal):
		t.Fail("a login with %s: %s; must be a Login Response with status class 2", how, errText(err))
	case refusal.Class() != 2:
		t.Fail("a login with %s: status %v; must be of class 2, initiator error", how, refusal.Status)
	}
}

// keptRules fails the case if the session broke one of the rules.
func (n *Nexus) keptRules(rules ...initiator.Rule) {
	for _, v := range n.S.Violations() {
		if slices.Contains(rules, v.Rule) {
			n.t.Wrong("%s (%s): %s", v.Rule, v.Clause, v.Detail)
		}
	}
}

// raw opens a connection below any session.
func (t *T) raw() *initiator.Raw {
	ctx, cancel := t.within()
	defer cancel()
	cfg := t.config(0, 0)
	dial := initiator.DialRaw
	if cfg.Dial != nil {
		dial = func(ctx context.Context, addr string) (*initiator.Raw, error) {
			nc, err := cfg.Dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			return initiator.NewRaw(nc), nil
		}
	}
	r, err := dial(ctx, cfg.Addr)
	if err != nil {
		t.Broken("connecting to %s: %s", cfg.Addr, errText(err))
	}
	t.Cleanup(func(context.Context) { r.Close() })
	return r
}

// rawAnswer sends a PDU and tells what came back, nil for a closed connection.
func (t *T) rawAnswer(r *initiator.Raw, p *initiator.PDU, did string) *initiator.PDU {
	ctx, cancel := t.within()
	defer cancel()
	if err := r.Send(p); err != nil {
		t.Broken("%s: %s", did, errText(err))
	}
	got, err := r.Recv(ctx)
	switch {
	case err == nil:
		t.record(Step{Nexus: "A", Did: did, Got: got.Opcode().String()})
	case ctx.Err() != nil:
		t.record(Step{Nexus: "A", Did: did, Got: "neither an answer nor the end of the connection"})
		t.Fail("%s: neither an answer nor the end of the connection", did)
	default:
		t.record(Step{Nexus: "A", Did: did, Got: "the target closed the connection"})
	}
	return got
}

func badVersion(t *T) {
	r := t.raw()
	cfg := t.config(0, 0)
	keys := initiator.Keys{{Name: "InitiatorName", Value: cfg.InitiatorName}, {Name: "SessionType", Value: "Normal"},
		{Name: "TargetName", Value: cfg.Target}, {Name: "AuthMethod", Value: "None"}}
	p := t.rawAnswer(r, initiator.LoginPDU{Transit: true, NSG: initiator.StageOperational, VersionMax: 1, VersionMin: 1, ISID: cfg.ISID, Data: keys.Marshal()}.PDU(),
		"Login Request with Version-min 1")
	if p == nil {
		t.Fail("the target closed the connection; must answer with status 0205")
	}
	resp, err := initiator.DecodeLogin(p)
	if err != nil {
		t.Fail("%s", errText(err))
	}
	if resp.Status>>8 != 2 {
		t.Fail("Login Response with status %v, must be of class 2 (0205, unsupported version)", resp.Status)
	}
}

func notLogin(t *T) {
	r := t.raw()
	p := t.rawAnswer(r, initiator.NOPOutPDU{Immediate: true, ITT: 1, TTT: initiator.NoTag, Data: []byte("hello")}.PDU(), "NOP-Out as the first PDU")
	switch {
	case p == nil:
	case p.Opcode() != initiator.OpLoginResp:
		t.Fail("the target answered with a %v before any login", p.Opcode())
	default:
		if resp, _ := initiator.DecodeLogin(p); resp.Status == initiator.LoginSuccess {
			t.Fail("Login Response with status %v to what is no login", resp.Status)
		}
	}
}

func discoveryCommand(t *T) {
	cfg := t.config(0, 0)
	cfg.Target, cfg.Discovery = "", true
	ctx, cancel := t.within()
	defer cancel()
	s, err := initiator.Dial(ctx, cfg)
	if err != nil {
		t.Broken("the discovery session, which another case judges: %s", errText(err))
	}
	t.r.watch(s)
	r, err := s.Unit(t.r.path(0).LUN).Do(ctx, initiator.Inquiry(96))
	var rejected *initiator.RejectError
	switch {
	case err == nil && r.Good():
		t.record(Step{Nexus: "A", Did: "INQUIRY in a discovery session", Got: answer(r), Wrong: true})
		t.Fail("INQUIRY in a discovery session: %s", answer(r))
	case err == nil:
		t.record(Step{Nexus: "A", Did: "INQUIRY in a discovery session", Got: answer(r)})
	case errors.As(err, &rejected), errors.Is(err, initiator.ErrClosed):
		t.record(Step{Nexus: "A", Did: "INQUIRY in a discovery session", Got: errText(err)})
	default:
		t.Fail("INQUIRY in a discovery session: %s; must be rejected", errText(err))
	}
}
