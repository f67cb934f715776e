package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/verify"
)

// broken is a behaviour that is wrong, and the cases that must find out.
type broken struct {
	behaviour string
	lie       lie
	cases     string // globs: every case that one of them matches must fail
	hook      func(*testing.T, initiator.Config) func(context.Context) error
}

// prOut changes PERSISTENT RESERVE OUT with a service action on its way.
func prOut(action int, change func(cdb, list []byte)) lie {
	return lie{request: func(_ *liar, p *initiator.PDU) {
		if is(p, 0x5f, action) && len(p.Data) >= 16 {
			change(p.BHS[32:48], p.Data)
		}
	}}
}

// idle makes a service action do nothing, and answer GOOD: the sender
// registers the key that it has.
func idle(action int) lie {
	return prOut(action, func(cdb, list []byte) {
		cdb[1], cdb[2] = byte(initiator.PRRegisterAndIgnore), 0
		copy(list[8:16], list[0:8])
		if len(list) > 17 && action == int(initiator.PRRegisterAndMove) {
			list[17] = 0
		}
	})
}

// ending changes how commands end.
func ending(match func(req *initiator.PDU) bool, change func(req, p *initiator.PDU, st initiator.Status)) lie {
	return lie{answer: func(_ *liar, req, p *initiator.PDU) {
		if st, ok := ends(p); ok && req != nil && match(req) {
			change(req, p, st)
		}
	}}
}

// opcodesOf matches operation codes.
func opcodesOf(ops ...byte) func(*initiator.PDU) bool {
	return func(p *initiator.PDU) bool { c := cdb(p); return c != nil && slices.Contains(ops, c[0]) }
}

func action(op byte, sa int) func(*initiator.PDU) bool {
	return func(p *initiator.PDU) bool { return is(p, op, sa) }
}

// instead turns one status into another.
func instead(of initiator.Status, say func(*initiator.PDU)) func(_, p *initiator.PDU, st initiator.Status) {
	return func(_, p *initiator.PDU, st initiator.Status) {
		if st == of {
			say(p)
		}
	}
}

// insteadOf turns one sense code into another end.
func insteadOf(code initiator.ASC, say func(*initiator.PDU)) func(_, p *initiator.PDU, st initiator.Status) {
	return func(_, p *initiator.PDU, _ initiator.Status) {
		if _, c, ok := senseOf(p); ok && c == code {
			say(p)
		}
	}
}

// data changes what a command reads, if it comes in one PDU.
func data(match func(*initiator.PDU) bool, change func(req *initiator.PDU, d []byte)) lie {
	return lie{answer: func(_ *liar, req, p *initiator.PDU) {
		if req != nil && p.Opcode() == initiator.OpDataIn && p.Uint32(40) == 0 && match(req) {
			change(req, p.Data)
		}
	}}
}

func illegalField(p *initiator.PDU) {
	sayCheck(p, initiator.IllegalRequest, initiator.ASCInvalidFieldInCDB)
}

// everything matches every command.
func everything(p *initiator.PDU) bool { return cdb(p) != nil }

func vpd(page byte) func(*initiator.PDU) bool {
	return func(p *initiator.PDU) bool { c := cdb(p); return is(p, 0x12, -1) && c[1] == 1 && c[2] == page }
}

// login changes Login Responses.
func login(change func(c *liar, req, p *initiator.PDU)) lie {
	return lie{answer: func(c *liar, req, p *initiator.PDU) {
		if p.Opcode() == initiator.OpLoginResp {
			change(c, req, p)
		}
	}}
}

// classThree blames the target for what the initiator did.
var classThree = login(func(_ *liar, _, p *initiator.PDU) {
	if p.BHS[36] == 2 {
		p.BHS[36] = 3
	}
})

// tmf says function complete and asks instead of acting. RFC 7144 §6.3.
func tmf(f initiator.TMF) lie {
	return lie{
		request: func(_ *liar, p *initiator.PDU) {
			if p.Opcode() == initiator.OpTMFRequest && p.BHS[1]&0x7f == byte(f) {
				p.BHS[1] = 0x80 | byte(initiator.TMFQueryTask)
			}
		},
		answer: func(_ *liar, req, p *initiator.PDU) {
			if p.Opcode() == initiator.OpTMFResponse && req != nil && req.BHS[1]&0x7f == byte(f) {
				p.BHS[2] = byte(initiator.TMFComplete)
			}
		},
	}
}

// tmfSays changes the response.
func tmfSays(s initiator.TMFStatus) lie {
	return lie{answer: func(_ *liar, _, p *initiator.PDU) {
		if p.Opcode() == initiator.OpTMFResponse {
			p.BHS[2] = byte(s)
		}
	}}
}

// forgetful gives an initiator port that comes back another name, as targets do
// that tie registrations to sessions.
func forgetful() lie {
	var mu sync.Mutex
	seen := map[[6]byte]int{}
	return lie{
		request: func(c *liar, p *initiator.PDU) {
			if p.Opcode() != initiator.OpLoginReq {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.isid == ([6]byte{}) {
				c.isid = [6]byte(p.BHS[8:14])
				seen[c.isid]++
			}
			p.BHS[12] = byte(seen[c.isid])
		},
		answer: func(c *liar, _, p *initiator.PDU) {
			if p.Opcode() == initiator.OpLoginResp {
				c.mu.Lock()
				copy(p.BHS[8:14], c.isid[:])
				c.mu.Unlock()
			}
		},
	}
}

// atRestart does something behind the target's back when it is "restarted".
func atRestart(do func(context.Context, *initiator.Unit) error) func(*testing.T, initiator.Config) func(context.Context) error {
	return func(t *testing.T, conf initiator.Config) func(context.Context) error {
		return func(ctx context.Context) error {
			s, err := initiator.Dial(ctx, conf)
			if err != nil {
				return err
			}
			defer s.Close()
			u := s.Unit(1)
			if _, err := u.DrainUA(ctx); err != nil {
				return err
			}
			if _, err := u.LoadCapacity(ctx); err != nil {
				return err
			}
			return do(ctx, u)
		}
	}
}

func forgetRegistrations(ctx context.Context, u *initiator.Unit) error {
	if err := u.RegisterAndIgnore(ctx, 0x77, false); err != nil {
		return err
	}
	return u.Clear(ctx, 0x77)
}

func forgetData(ctx context.Context, u *initiator.Unit) error {
	for at := uint64(0); at < 2048; at += 128 {
		if err := u.Write(ctx, 14336+at, make([]byte, 128*512)); err != nil {
			return err
		}
	}
	return nil
}

// restoreFenced gives back what was given up or taken away.
func restoreFenced(ctx context.Context, u *initiator.Unit) error {
	k, err := u.ReadKeys(ctx)
	if err != nil || len(k.Keys) == 0 {
		return err
	}
	return u.Register(ctx, 0, k.Keys[0]+7)
}

// lies holds a mistake in each part of the standards that the suites ask
// about. A case that no row matches has never been seen to fail.
var lies = []broken{
	// Reservations: what is asked for is not done.
	{behaviour: "PREEMPT AND ABORT does nothing", lie: idle(5), cases: "pr.preempt-and-abort pr.preempt-and-abort.no-reservation pr.preempt-and-abort.several pr.preempt-and-abort.nobody pr.preempt-and-abort.zero pr.preempt-and-abort.bad-type pr.preempt-and-abort.type-change pr.preempt-and-abort.own-key.* pr.preempt-and-abort.holder.* pr.preempt-and-abort.all.* pr.preempt-and-abort.one.* " +
		"fencing.withheld.preempt-and-abort fencing.withheld.preempt-and-abort.registrant fencing.withheld.partial fencing.withheld.compare-and-write fencing.race.preempt-and-abort fencing.late.attention fence-scsi.off fence-scsi.monitor"},
	{behaviour: "PREEMPT does nothing", lie: idle(4), cases: "pr.preempt pr.preempt.no-reservation pr.preempt.several pr.preempt.nobody pr.preempt.zero pr.preempt.bad-type pr.preempt.type-change pr.preempt.own-key.* pr.preempt.holder.* pr.preempt.all.* pr.preempt.one.* " +
		"fencing.withheld.preempt fencing.race.preempt fencing.race.mutual fencing.late.same-port windows-cluster.reservation windows-cluster.arbitration windows-cluster.arbitration.busy windows-cluster.multiple-arbitration windows-cluster.failover fence-scsi.rejoin mpathpersist.dead-path mpathpersist.preempt durability.aptpl-1.fenced", hook: atRestart(func(context.Context, *initiator.Unit) error { return nil })},
	{behaviour: "PREEMPT AND ABORT aborts everybody's commands", lie: lie{request: func(_ *liar, p *initiator.PDU) {
		if p.Opcode() == initiator.OpDataOut { // the third nexus' data come too late
			p.BHS[20] ^= 0x80
		}
	}}, cases: "fencing.withheld.others"},
	{behaviour: "CLEAR does nothing", lie: idle(3), cases: "pr.clear"},
	{behaviour: "RESERVE does nothing", lie: idle(1), cases: "pr.reserve.again pr.reserve.other pr.reserve.all-registrants pr.reserve.scope-type pr.release.not-holder pr.kept.lu-reset fencing.race.reserve fence-scsi.unfence mpathpersist.paths windows-cluster.shared-volume pr.in.reads-change-nothing pr.register.others-reservation"},
	{behaviour: "RELEASE does nothing", lie: idle(2), cases: "pr.release.holder pr.release.wrong-type pr.release.unit-attention.* durability.aptpl-1.released", hook: atRestart(func(context.Context, *initiator.Unit) error { return nil })},
	{behaviour: "REGISTER AND MOVE does nothing", lie: idle(7), cases: "pr.move"},
	{behaviour: "REGISTER AND MOVE does not unregister", lie: prOut(7, func(_, list []byte) { list[17] &^= 2 }), cases: "pr.move.unregister"},
	{behaviour: "REGISTER does not unregister", lie: prOut(0, func(_, list []byte) {
		if binary.BigEndian.Uint64(list[8:]) == 0 {
			copy(list[8:16], list[:8])
		}
	}), cases: "pr.register.unregister pr.unregister.holder.*"},
	{behaviour: "REGISTER keeps the old key", lie: prOut(0, func(_, list []byte) {
		if binary.BigEndian.Uint64(list) != 0 && binary.BigEndian.Uint64(list[8:]) != 0 {
			copy(list[8:16], list[:8])
		}
	}), cases: "pr.register.change"},
	{behaviour: "REGISTER AND IGNORE EXISTING KEY does not ignore it", lie: prOut(6, func(cdb, _ []byte) { cdb[1] = 0 }), cases: "pr.register.ignore"},
	{behaviour: "keys are not compared", lie: ending(action(0x5f, -1), instead(initiator.ReservationConflict, sayGood)), cases: "pr.register.unregistered-key pr.register.key-mismatch pr.register.isid pr.out.unregistered pr.out.key-mismatch pr.move.not-holder pr.move.all-registrants pr.move.key-mismatch"},
	{behaviour: "what is allowed conflicts", lie: ending(action(0x5f, 0), func(req, p *initiator.PDU, _ initiator.Status) { sayConflict(p) }), cases: "pr.register.new pr.register.nothing"},
	{behaviour: "a key is registered once only", lie: ending(action(0x5f, 0), func() func(req, p *initiator.PDU, st initiator.Status) {
		var n atomic.Int32
		return func(_, p *initiator.PDU, _ initiator.Status) {
			if n.Add(1) > 1 {
				sayConflict(p)
			}
		}
	}()), cases: "pr.register.again"},
	{behaviour: "no two nexuses may share a key", lie: ending(action(0x5f, 0), func() func(req, p *initiator.PDU, st initiator.Status) {
		var n atomic.Int32
		return func(_, p *initiator.PDU, _ initiator.Status) {
			if n.Add(1) > 1 {
				sayConflict(p)
			}
		}
	}()), cases: "pr.register.shared-key"},
	{behaviour: "registrations belong to sessions", lie: forgetful(), cases: "pr.register.relogin pr.register.drop"},
	{behaviour: "parameter errors are called otherwise", lie: lie{answer: func(_ *liar, req, p *initiator.PDU) {
		if key, c, ok := senseOf(p); ok && key == initiator.IllegalRequest && is(req, 0x5f, -1) {
			switch c {
			case initiator.ASCParameterListLength, initiator.ASCInvalidFieldInCDB, initiator.ASCInvalidFieldInParameter, initiator.ASCInvalidRelease:
				sayCheck(p, initiator.IllegalRequest, initiator.ASCInvalidOpcode)
			}
		}
	}}, cases: "pr.register.list-length pr.out.service-action pr.move.no-reservation pr.move.key-zero pr.move.self pr.move.truncated pr.spec-i-pt.registered pr.spec-i-pt.registered-sender pr.spec-i-pt.truncated pr.spec-i-pt.elsewhere pr.replace-lost"},
	{behaviour: "REGISTER AND MOVE to who is registered keeps its key", lie: prOut(7, func(_, list []byte) { binary.BigEndian.PutUint64(list[8:], binary.BigEndian.Uint64(list[8:])-1) }), cases: "pr.move.registered"},
	{behaviour: "SPEC_I_PT is ignored", lie: lie{request: func(_ *liar, p *initiator.PDU) {
		if is(p, 0x5f, 0) && len(p.Data) > 24 {
			p.Data = p.Data[:24]
			p.Data[20] &^= 8
			p.SetUint32(20, 24)
			binary.BigEndian.PutUint32(p.BHS[32+5:], 24)
		}
	}}, cases: "pr.spec-i-pt"},
	{behaviour: "ALL_TG_PT is ignored", lie: prOut(0, func(_, list []byte) { list[20] &^= 4 }), cases: "pr.all-tg-pt pr.all-tg-pt.other-port"},
	{behaviour: "every registration is for all target ports", lie: prOut(0, func(_, list []byte) { list[20] |= 4 }), cases: "pr.one-port"},
	{behaviour: "APTPL is ignored", lie: prOut(-1, func(_, list []byte) { list[20] &^= 1 }), cases: "pr.aptpl"},
	{behaviour: "nothing persists, and REPORT CAPABILITIES says so", lie: data(action(0x5e, 2), func(_ *initiator.PDU, d []byte) { d[2] &^= 1 }), cases: "pr.aptpl.capable"},

	// Reservations: what is told is not true.
	{behaviour: "READ KEYS leaves keys out", lie: data(action(0x5e, 0), func(_ *initiator.PDU, d []byte) {
		for i := 8; i+8 <= len(d); i += 8 {
			d[i+7] ^= 0x40
		}
	}), cases: "pr.release.nothing"},
	{behaviour: "READ KEYS has a length that is no multiple of eight", lie: data(action(0x5e, 0), func(_ *initiator.PDU, d []byte) { d[7] |= 4 }), cases: "pr.in.read-keys"},
	{behaviour: "PRGENERATION stands still", lie: data(action(0x5e, 0), func(_ *initiator.PDU, d []byte) { copy(d, []byte{0, 0, 0, 0}) }), cases: "pr.generation"},
	{behaviour: "READ RESERVATION has a wrong length", lie: data(action(0x5e, 1), func(_ *initiator.PDU, d []byte) { d[7] ^= 8 }), cases: "pr.in.read-reservation"},
	{behaviour: "REPORT CAPABILITIES sets reserved bits", lie: data(action(0x5e, 2), func(_ *initiator.PDU, d []byte) { d[5] |= 0x80 }), cases: "pr.in.capabilities"},
	{behaviour: "the type mask promises less than there is", lie: data(action(0x5e, 2), func(_ *initiator.PDU, d []byte) { d[4] &^= 0x20 }), cases: "pr.in.capabilities.types"},
	{behaviour: "reserved service actions are accepted", lie: ending(action(0x5e, -1), instead(initiator.CheckCondition, sayGood)), cases: "pr.in.service-action"},
	{behaviour: "a short allocation length is an error", lie: ending(action(0x5e, -1), func(req, p *initiator.PDU, _ initiator.Status) {
		if binary.BigEndian.Uint16(cdb(req)[7:]) < 8 {
			illegalField(p)
		}
	}), cases: "pr.in.allocation"},
	{behaviour: "READ FULL STATUS names no holder", lie: data(action(0x5e, 3), func(_ *initiator.PDU, d []byte) {
		for i := 8; i+24 <= len(d); i += 24 + int(binary.BigEndian.Uint32(d[i+20:])) {
			d[i+12] &^= 1
		}
	}), cases: "pr.in.full-status pr.in.full-status.all-registrants"},

	// Access.
	{behaviour: "what writes is let through", lie: ending(func(p *initiator.PDU) bool { return everything(p) && !is(p, 0x5f, -1) && !is(p, 0x5e, -1) }, instead(initiator.ReservationConflict, sayGood)),
		cases: "fencing.late.other-port pr.access.*.unregistered pr.access.we.registered pr.access.ea.registered pr.legacy.excludes pr.legacy.registered pr.legacy.logout pr.legacy.lu-reset"},
	{behaviour: "the holder is kept out", lie: ending(opcodesOf(0x93), instead(initiator.Good, sayConflict)), cases: "pr.access.*.holder pr.access.wero.registered pr.access.earo.registered pr.access.wear.registered pr.access.eaar.registered"},
	{behaviour: "RESERVE (6) of a registrant conflicts in spite of CRH", lie: lie{answer: func() func(*liar, *initiator.PDU, *initiator.PDU) {
		var n atomic.Int32
		return func(_ *liar, req, p *initiator.PDU) {
			if _, ok := ends(p); ok && is(req, 0x16, -1) {
				if n.Add(1) > 1 {
					sayConflict(p)
				}
			}
		}
	}()}, cases: "pr.legacy.holder"},

	// iSCSI.
	{behaviour: "a logout fails", lie: lie{answer: func(_ *liar, _, p *initiator.PDU) {
		if p.Opcode() == initiator.OpLogoutResp {
			p.BHS[2] = 3
		}
	}}, cases: "iscsi.login.normal"},
	{behaviour: "the target takes the blame", lie: classThree, cases: "iscsi.login.no-initiator-name iscsi.login.no-target-name iscsi.login.unknown-target iscsi.login.unknown-session iscsi.login.version"},
	{behaviour: "the operational stage is refused", lie: lie{request: func(_ *liar, p *initiator.PDU) {
		if p.Opcode() == initiator.OpLoginReq && p.BHS[1]&0x0c == 4 && bytes.Contains(p.Data, []byte("InitiatorName")) {
			p.BHS[1] |= 0x0c
		}
	}}, cases: "iscsi.login.operational-first"},
	{behaviour: "pings are answered before any login", lie: lie{answer: func(_ *liar, req, p *initiator.PDU) {
		if p.Opcode() == initiator.OpLoginResp && req.Opcode() == initiator.OpNOPOut {
			*p = *initiator.NOPOutPDU{ITT: req.ITT(), TTT: initiator.NoTag}.PDU()
			p.BHS[0] = byte(initiator.OpNOPIn)
		}
	}, request: func(_ *liar, p *initiator.PDU) {
		if p.Opcode() == initiator.OpNOPOut { // to be answered at all
			*p = *initiator.LoginPDU{ITT: p.ITT(), CSG: 0, Transit: true, NSG: 1, Data: initiator.Keys{{Name: "InitiatorName", Value: "iqn.a:b"}}.Marshal()}.PDU()
		}
	}}, cases: "iscsi.login.first-pdu"},
	{behaviour: "unknown keys are passed over", lie: login(func(_ *liar, _, p *initiator.PDU) {
		p.Data = bytes.ReplaceAll(p.Data, []byte("X-com.example.verify=NotUnderstood\x00"), nil)
	}), cases: "iscsi.login.unknown-key"},
	{behaviour: "a session is not replaced", lie: forgetful(), cases: "iscsi.login.reinstatement"},
	{behaviour: "the target's own values win", lie: login(func(_ *liar, _, p *initiator.PDU) {
		p.Data = bytes.ReplaceAll(p.Data, []byte("ImmediateData=No"), []byte("ImmediateData=Yes"))
	}), cases: "iscsi.negotiate.results"},
	{behaviour: "MaxRecvDataSegmentLength is not respected", lie: lie{request: func(_ *liar, p *initiator.PDU) {
		if p.Opcode() == initiator.OpLoginReq {
			p.Data = bytes.ReplaceAll(p.Data, []byte("MaxRecvDataSegmentLength=512"), []byte("MaxRecvDataSegmentLength=8192"))
		}
	}}, cases: "iscsi.negotiate.small-segments"},
	{behaviour: "there are no digests", lie: lie{request: func(_ *liar, p *initiator.PDU) {
		if p.Opcode() == initiator.OpLoginReq {
			p.Data = bytes.ReplaceAll(p.Data, []byte("Digest=CRC32C"), []byte("Digest=None"))
		}
	}}, cases: "iscsi.digest.crc32c"},
	{behaviour: "another target is named", lie: lie{answer: func(_ *liar, _, p *initiator.PDU) {
		if p.Opcode() == initiator.OpTextResp {
			p.Data = bytes.ReplaceAll(p.Data, []byte("verify:disks"), []byte("verify:tapes"))
		}
	}}, cases: "iscsi.discovery.send-targets iscsi.text.send-targets"},
	{behaviour: "commands are served in a discovery session", lie: lie{answer: func(_ *liar, req, p *initiator.PDU) {
		if p.Opcode() == initiator.OpReject {
			stat, exp, most := p.StatSN(), p.ExpCmdSN(), p.MaxCmdSN()
			itt := binary.BigEndian.Uint32(p.Data[16:])
			*p = initiator.PDU{}
			p.BHS[0], p.BHS[1] = byte(initiator.OpSCSIResponse), 0x82
			p.SetUint32(16, itt)
			p.SetUint32(24, stat)
			p.SetUint32(28, exp+1)
			p.SetUint32(32, most+1)
			p.SetUint32(44, 96)
		}
	}}, cases: "iscsi.discovery.no-commands"},
	{behaviour: "pings come back changed", lie: lie{answer: func(_ *liar, _, p *initiator.PDU) {
		if p.Opcode() == initiator.OpNOPIn && len(p.Data) > 0 {
			p.Data[0] ^= 1
		}
	}}, cases: "iscsi.nop.echo"},
	{behaviour: "gaps in CmdSN are not waited for", lie: lie{request: func(c *liar, p *initiator.PDU) {
		if cdb(p) != nil {
			if c.cmdSN != 0 && p.Uint32(24) > c.cmdSN+1 {
				p.BHS[0] |= 0x40 // immediate: it goes around the queue
			}
			c.cmdSN = p.Uint32(24)
		}
	}}, cases: "iscsi.cmdsn.order"},
	{behaviour: "a CmdSN of the past is executed", lie: lie{request: func(_ *liar, p *initiator.PDU) {
		if p.ITT() == 0x5e5e5e5e {
			p.BHS[0] |= 0x40
		}
	}}, cases: "iscsi.cmdsn.old"},
	{behaviour: "residuals are not told", lie: lie{answer: func(_ *liar, _, p *initiator.PDU) {
		if _, ok := ends(p); ok {
			p.BHS[1] &^= 6
			p.SetUint32(44, 0)
		}
	}}, cases: "iscsi.residual.*"},
	{behaviour: "every function is complete", lie: tmfSays(initiator.TMFComplete), cases: "iscsi.tmf.no-task iscsi.tmf.no-unit"},
	{behaviour: "ABORT TASK aborts nothing", lie: tmf(initiator.TMFAbortTask), cases: "iscsi.tmf.abort-task"},
	{behaviour: "ABORT TASK SET aborts nothing", lie: tmf(initiator.TMFAbortTaskSet), cases: "iscsi.tmf.abort-task-set"},
	{behaviour: "LOGICAL UNIT RESET does nothing", lie: tmf(initiator.TMFLUReset), cases: "iscsi.tmf.lu-reset scsi.attention.untouched"},
	{behaviour: "bursts are longer than agreed", lie: lie{request: func(_ *liar, p *initiator.PDU) {
		if p.Opcode() == initiator.OpLoginReq {
			p.Data = bytes.ReplaceAll(p.Data, []byte("MaxBurstLength=8192"), []byte("MaxBurstLength=65536"))
		}
	}, answer: func(_ *liar, _, p *initiator.PDU) {
		if p.Opcode() == initiator.OpLoginResp {
			p.Data = bytes.ReplaceAll(p.Data, []byte("MaxBurstLength=65536"), []byte("MaxBurstLength=8192"))
		}
	}}, cases: "iscsi.write.solicited"},
	{behaviour: "reserved bits are set", lie: lie{answer: func(_ *liar, _, p *initiator.PDU) {
		if p.Opcode() == initiator.OpSCSIResponse {
			p.BHS[10] = 1
		}
	}}, cases: "iscsi.pdu.rules"},

	// SCSI.
	{behaviour: "INQUIRY has an old format", lie: data(action(0x12, 0), func(_ *initiator.PDU, d []byte) {
		if len(d) > 3 {
			d[3] &^= 0x0f
		}
	}), cases: "scsi.inquiry.standard"},
	{behaviour: "INQUIRY refuses small allocation lengths", lie: ending(action(0x12, 0), func(req, p *initiator.PDU, _ initiator.Status) {
		if binary.BigEndian.Uint16(cdb(req)[3:]) < 36 {
			illegalField(p)
		}
	}), cases: "scsi.inquiry.allocation"},
	{behaviour: "wrong fields of INQUIRY are passed over", lie: ending(opcodesOf(0x12), instead(initiator.CheckCondition, sayGood)), cases: "scsi.inquiry.page-without-evpd scsi.vpd.unknown"},
	{behaviour: "the list of pages is not sorted", lie: data(vpd(0), func(_ *initiator.PDU, d []byte) { slices.Reverse(d[4:]) }), cases: "scsi.vpd.list"},
	{behaviour: "the unit has no name", lie: data(vpd(0x83), func(_ *initiator.PDU, d []byte) {
		for i := 4; i+4 <= len(d); i += 4 + int(d[i+3]) {
			if d[i+1]&0x30 == 0 {
				d[i+1] = d[i+1]&0xf0 | 0x0b
			}
		}
	}), cases: "scsi.vpd.identification scsi.vpd.identification.global windows-cluster.vital-product-data esxi.name"},
	{behaviour: "each session sees another name", lie: lie{answer: func() func(*liar, *initiator.PDU, *initiator.PDU) {
		var n atomic.Int32
		return func(_ *liar, req, p *initiator.PDU) {
			if p.Opcode() == initiator.OpDataIn && req != nil && vpd(0x83)(req) && len(p.Data) > 16 {
				p.Data[10] = byte(n.Add(1))
			}
		}
	}()}, cases: "scsi.vpd.identification.paths durability.identity", hook: atRestart(func(context.Context, *initiator.Unit) error { return nil })},
	{behaviour: "the serial number is empty", lie: data(vpd(0x80), func(_ *initiator.PDU, d []byte) {
		for i := 4; i < len(d); i++ {
			d[i] = ' '
		}
	}), cases: "scsi.vpd.serial"},
	{behaviour: "UNMAP is announced and limited to nothing", lie: data(vpd(0xb0), func(_ *initiator.PDU, d []byte) { copy(d[20:24], []byte{0, 0, 0, 0}) }), cases: "scsi.vpd.block-limits"},
	{behaviour: "LBPME is 0 for a thin unit", lie: data(action(0x9e, 0x10), func(_ *initiator.PDU, d []byte) {
		if len(d) > 14 {
			d[14] &^= 0x80
		}
	}), cases: "scsi.provisioning.agrees"},
	{behaviour: "READ CAPACITY (10) counts blocks instead of naming the last", lie: data(opcodesOf(0x25), func(_ *initiator.PDU, d []byte) { binary.BigEndian.PutUint32(d, binary.BigEndian.Uint32(d)+1) }), cases: "scsi.capacity.agrees"},
	{behaviour: "READ CAPACITY (16) refuses small allocation lengths", lie: ending(action(0x9e, 0x10), func(req, p *initiator.PDU, _ initiator.Status) {
		if binary.BigEndian.Uint32(cdb(req)[10:]) < 12 {
			illegalField(p)
		}
	}), cases: "scsi.capacity.allocation"},
	{behaviour: "REPORT LUNS lists others", lie: data(opcodesOf(0xa0), func(_ *initiator.PDU, d []byte) {
		if len(d) >= 16 {
			d[9] = 99
		}
	}), cases: "scsi.report-luns"},
	{behaviour: "a LUN that does not exist answers", lie: lie{request: func(_ *liar, p *initiator.PDU) {
		if cdb(p) != nil && p.BHS[9] >= 200 {
			p.BHS[9] = 1
		}
	}}, cases: "scsi.missing-unit"},
	{behaviour: "what is not known is done", lie: ending(everything, insteadOf(initiator.ASCInvalidOpcode, sayGood)), cases: "scsi.opcode.unknown"},
	{behaviour: "REQUEST SENSE has old sense data", lie: data(opcodesOf(0x03), func(_ *initiator.PDU, d []byte) { d[2] = 5 }), cases: "scsi.request-sense"},
	{behaviour: "the list of commands lies", lie: data(action(0xa3, 0x0c), func(req *initiator.PDU, d []byte) {
		if cdb(req)[2]&7 != 0 {
			d[1] = d[1]&^7 | 1
		}
	}), cases: "scsi.opcodes.true"},
	{behaviour: "mode pages are not sorted", lie: data(opcodesOf(0x1a), func(req *initiator.PDU, d []byte) {
		if cdb(req)[2]&0x3f == 0x3f && len(d) > 12 {
			d[4+int(d[3])] |= 0x3e
		}
	}), cases: "scsi.mode.pages"},
	{behaviour: "there is no caching page", lie: ending(opcodesOf(0x1a), func(req, p *initiator.PDU, _ initiator.Status) {
		if cdb(req)[2] == 8 {
			illegalField(p)
		}
	}), cases: "scsi.mode.caching"},
	{behaviour: "port groups have no ports", lie: data(action(0xa3, 0x0a), func(_ *initiator.PDU, d []byte) {
		if len(d) > 11 {
			d[11] = 0
		}
	}), cases: "scsi.port-groups"},
	{behaviour: "ranges are not checked", lie: ending(everything, insteadOf(initiator.ASCLBAOutOfRange, sayGood)), cases: "scsi.range.read scsi.range.write scsi.sync"},
	{behaviour: "reads return something else", lie: data(opcodesOf(0x08, 0x28, 0xa8, 0x88), func(_ *initiator.PDU, d []byte) { d[3] ^= 0x10 }), cases: "scsi.write.read-back scsi.compare-and-write scsi.compare-and-write.atomic scsi.unmap scsi.write-same esxi.block-zero esxi.lock"},
	{behaviour: "protection that does not exist is accepted", lie: ending(opcodesOf(0x28), instead(initiator.CheckCondition, sayGood)), cases: "scsi.protection"},
	{behaviour: "DPOFUA promises what is refused", lie: ending(opcodesOf(0x28), func(req, p *initiator.PDU, _ initiator.Status) {
		if cdb(req)[1]&0x18 != 0 {
			illegalField(p)
		}
	}), cases: "scsi.fua.read"},
	{behaviour: "VERIFY compares nothing", lie: ending(opcodesOf(0x2f), instead(initiator.CheckCondition, sayGood)), cases: "scsi.verify"},
	{behaviour: "COMPARE AND WRITE is not announced", lie: data(vpd(0xb0), func(_ *initiator.PDU, d []byte) { d[5] = 0 }), cases: "scsi.compare-and-write.announced"},
	{behaviour: "COMPARE AND WRITE fails now and then", lie: lie{answer: func() func(*liar, *initiator.PDU, *initiator.PDU) {
		var n atomic.Int32
		return func(_ *liar, req, p *initiator.PDU) {
			if _, ok := ends(p); ok && is(req, 0x89, -1) {
				if n.Add(1) == 3 {
					sayCheck(p, initiator.Miscompare, initiator.ASCMiscompare)
				}
			}
		}
	}()}, cases: "esxi.heartbeat"},
	{behaviour: "there are no all-registrants types", lie: ending(action(0x5f, 1), func(req, p *initiator.PDU, _ initiator.Status) {
		if cdb(req)[2] > 6 {
			illegalField(p)
		}
	}), cases: "esxi.windows-guests"},

	// Durability.
	{behaviour: "a restart forgets registrations", cases: "durability.aptpl-1 durability.aptpl-1.all-registrants", hook: atRestart(forgetRegistrations)},
	{behaviour: "a restart brings a registration too many", cases: "durability.aptpl-0", hook: atRestart(restoreFenced)},
	{behaviour: "a restart forgets data", cases: "durability.write.flushed durability.write.fua", hook: atRestart(forgetData)},
}

// unseen are the cases that no lie here can make fail.
var unseen = map[string]string{
	"iscsi.login.chap-required":     "TestChap",
	"iscsi.login.chap-wrong-secret": "TestChap",
	"durability.write.uncached":     "the test's disk has a write cache; it differs from write.flushed in one command",
}

// Every case fails where what it asks about is broken.
func TestLiesAreFoundOut(t *testing.T) {
	paths := own(t)
	for _, b := range lies {
		t.Run(b.behaviour, func(t *testing.T) {
			opt := verify.Options{Cases: matching(t, b.cases), Destructive: true, Offset: -1, Range: 64 << 10, Rounds: 2, Nodes: 4, Patience: 2 * time.Second}
			for _, p := range paths {
				p.Login = b.lie.through(p.Login)
				opt.Paths = append(opt.Paths, p)
			}
			if b.hook != nil {
				opt.RestartHook = b.hook(t, paths[0].Login)
			}
			report, err := verify.Run(t.Context(), opt)
			require.NoError(t, err)
			for _, c := range report.Cases {
				if c.Verdict != verify.Fail {
					t.Errorf("%s: %s %s", c.ID, c.Verdict, c.Reason)
				}
			}
			cleared(t, paths[0].Login)
		})
	}
}

// cleared makes sure that the next lie finds an empty unit.
func cleared(t *testing.T, conf initiator.Config) {
	require.NoError(t, atRestart(forgetRegistrations)(t, conf)(t.Context()))
}

func matching(t *testing.T, globs string) []verify.Case {
	t.Helper()
	cases, err := verify.Select(verify.Suites(), verify.Profiles(), strings.Fields(globs))
	require.NoError(t, err)
	return cases
}

// No case is left that has never been seen to fail.
func TestEveryCaseCanFail(t *testing.T) {
	var globs []string
	for _, b := range lies {
		globs = append(globs, strings.Fields(b.cases)...)
	}
	for _, c := range verify.Cases() {
		seen := slices.ContainsFunc(globs, func(g string) bool { ok, err := path.Match(g, c.ID); return ok && err == nil })
		require.NotEqual(t, seen, unseen[c.ID] != "", c.ID)
	}
}
