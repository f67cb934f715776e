package initiator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// act is one thing an initiator does; errors are expected where the target is
// broken, only the violations count.
type act func(ctx context.Context, s *Session)

func doTUR(ctx context.Context, s *Session)   { s.Do(ctx, TestUnitReady()) }
func doSense(ctx context.Context, s *Session) { s.Do(ctx, RequestSense(false, 18)) }
func doRead(ctx context.Context, s *Session)  { s.Do(ctx, Read10(0, 64, fakeBlock, 0)) }
func doWrite(ctx context.Context, s *Session) {
	s.Do(ctx, Write10(0, make([]byte, 1<<20), fakeBlock, 0))
}
func doPing(ctx context.Context, s *Session)   { s.Ping(ctx, []byte("ping!")) }
func doText(ctx context.Context, s *Session)   { s.SendTargets(ctx, "") }
func doLogout(ctx context.Context, s *Session) { s.LogoutWith(ctx, LogoutSession, 0, nil) }
func doReset(ctx context.Context, s *Session)  { s.LUReset(ctx, 0) }

// every lists all of them, with answers at the right end of each.
var every = []act{doTUR, doSense, doRead, doWrite, doPing, doText, doReset, doLogout}

// spoil returns a mangle hook that changes the first PDU of one opcode.
func spoil(op Opcode, change func(c *fakeConn, p *PDU) []*PDU) func(*fakeTarget) {
	return func(f *fakeTarget) {
		done := false
		f.mangle = func(c *fakeConn, p *PDU) []*PDU {
			if done || !c.ffp || p.Opcode() != op {
				return nil
			}
			done = true
			return change(c, p)
		}
	}
}

// edit is spoil of the header.
func edit(op Opcode, change func(p *PDU)) func(*fakeTarget) {
	return spoil(op, func(_ *fakeConn, p *PDU) []*PDU { change(p); return []*PDU{p} })
}

// bytesOf is spoil of the encoded bytes.
func bytesOf(op Opcode, change func(b []byte) []byte) func(*fakeTarget) {
	return spoil(op, func(c *fakeConn, p *PDU) []*PDU { c.raw = change; return []*PDU{p} })
}

// before sends another PDU ahead of the first one of an opcode.
func before(op Opcode, make func(p *PDU) *PDU) func(*fakeTarget) {
	return spoil(op, func(c *fakeConn, p *PDU) []*PDU {
		extra := make(p)
		c.stat = p.StatSN() // the extra PDU comes first
		c.number(extra)
		c.number(p)
		return []*PDU{extra, p}
	})
}

func editLogin(change func(c *fakeConn, p *PDU)) func(*fakeTarget) {
	return func(f *fakeTarget) {
		f.mangle = func(c *fakeConn, p *PDU) []*PDU {
			if p.Opcode() == OpLoginResp {
				change(c, p)
			}
			return nil
		}
	}
}

func answering(k ...Key) func(*fakeTarget) { return func(f *fakeTarget) { f.answers = k } }

func digests(cfg *Config) { cfg.HeaderDigest, cfg.DataDigest = "CRC32C", "CRC32C" }

// violationCases breaks one rule each.
var violationCases = []struct {
	name   string
	rule   Rule
	spoil  func(*fakeTarget)
	do     act
	config func(*Config)
}{
	{"target sends an initiator opcode", RuleOpcode, edit(OpSCSIResponse, func(p *PDU) { p.BHS[0] = 0x01 }), doTUR, nil},
	{"unknown opcode", RuleOpcode, edit(OpSCSIResponse, func(p *PDU) { p.BHS[0] = 0x2f }), doTUR, nil},
	{"bit 7 of byte 0", RuleReserved, edit(OpSCSIResponse, func(p *PDU) { p.BHS[0] |= 0x80 }), doTUR, nil},
	{"I bit of a response", RuleReserved, edit(OpSCSIResponse, func(p *PDU) { p.BHS[0] |= 0x40 }), doTUR, nil},
	{"reserved byte of a response", RuleReserved, edit(OpSCSIResponse, func(p *PDU) { p.BHS[12] = 1 }), doTUR, nil},
	{"reserved byte of R2T", RuleReserved, edit(OpR2T, func(p *PDU) { p.BHS[2] = 1 }), doWrite, nil},
	{"reserved byte of TMF response", RuleReserved, edit(OpTMFResponse, func(p *PDU) { p.BHS[47] = 1 }), doReset, nil},
	{"response information at level 1", RuleReserved, edit(OpTMFResponse, func(p *PDU) { p.BHS[8] = 1 }), doReset, nil},
	{"status qualifier at level 1", RuleReserved, edit(OpSCSIResponse, func(p *PDU) { p.BHS[9] = 1 }), doTUR, nil},
	{"SNACK tag without SNACK", RuleReserved, edit(OpSCSIResponse, func(p *PDU) { p.BHS[20] = 1 }), doTUR, nil},
	{"status without S", RuleReserved, edit(OpDataIn, func(p *PDU) { p.BHS[3] = 2 }), doRead, nil},
	{"residual flag without S", RuleReserved, edit(OpDataIn, func(p *PDU) { p.BHS[1] |= 2 }), doRead, nil},
	{"TTT without A", RuleReserved, edit(OpDataIn, func(p *PDU) { p.SetUint32(20, 5) }), doRead, nil},
	{"other LUN without A", RuleReserved, edit(OpDataIn, func(p *PDU) { p.SetLUN(FlatLUN(9)) }), doRead, nil},
	{"bit 7 of byte 1", RuleFixedBits, edit(OpSCSIResponse, func(p *PDU) { p.BHS[1] = 0 }), doTUR, nil},
	{"AHS", RuleAHS, edit(OpSCSIResponse, func(p *PDU) { p.AHS = make([]byte, 4) }), doTUR, nil},
	{"data on R2T", RuleDataSegmentLength, edit(OpR2T, func(p *PDU) { p.Data = make([]byte, 4) }), doWrite, nil},
	{"data over our limit", RuleDataSegmentLength, edit(OpDataIn, func(p *PDU) { p.Data = make([]byte, 262145) }), doRead, nil},
	{"padding", RulePadding, bytesOf(OpNOPIn, func(b []byte) []byte { b[len(b)-1] = 1; return b }), doPing, nil},
	{"header digest", RuleHeaderDigest, bytesOf(OpSCSIResponse, func(b []byte) []byte { b[48] ^= 1; return b }), doTUR, digests},
	{"header bit flip", RuleHeaderDigest, bytesOf(OpSCSIResponse, func(b []byte) []byte { b[3] ^= 0x10; return b }), doTUR, digests},
	{"data digest", RuleDataDigest, bytesOf(OpDataIn, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), doRead, digests},
	{"data bit flip", RuleDataDigest, bytesOf(OpDataIn, func(b []byte) []byte { b[100] ^= 1; return b }), doRead, digests},
	{"StatSN skipped", RuleStatSN, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(24, p.StatSN()+1) }), doTUR, nil},
	{"StatSN of R2T", RuleStatSN, edit(OpR2T, func(p *PDU) { p.SetUint32(24, p.StatSN()-1) }), doWrite, nil},
	{"ExpCmdSN backwards", RuleExpCmdSN, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(28, p.ExpCmdSN()-2) }), doTUR, nil},
	{"ExpCmdSN ahead", RuleExpCmdSN, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(28, p.ExpCmdSN()+1) }), doTUR, nil},
	{"ExpCmdSN of the leading login", RuleExpCmdSN, editLogin(func(_ *fakeConn, p *PDU) { p.SetUint32(28, 99); p.SetUint32(32, 120) }), doTUR, nil},
	{"MaxCmdSN backwards", RuleMaxCmdSN, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(32, p.MaxCmdSN()-5) }), doTUR, nil},
	{"MaxCmdSN below ExpCmdSN-1", RuleMaxCmdSN, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(32, p.ExpCmdSN()-2) }), doTUR, nil},
	{"answer before acknowledgement", RuleResponseUnacked, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(28, p.ExpCmdSN()-1) }), doTUR, nil},
	{"unknown ITT", RuleUnknownITT, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(16, 0xdead) }), doTUR, nil},
	{"second response", RuleUnknownITT, spoil(OpSCSIResponse, func(c *fakeConn, p *PDU) []*PDU {
		again := *p
		c.number(&again)
		return []*PDU{p, &again}
	}), func(ctx context.Context, s *Session) { doTUR(ctx, s); doPing(ctx, s) }, nil},
	{"Text Response to a command", RuleWrongOpcode, edit(OpSCSIResponse, func(p *PDU) { p.BHS[0] = 0x24; p.SetUint32(20, NoTag) }), doTUR, nil},
	{"Data-In for a write", RuleDataInDirection, before(OpR2T, func(p *PDU) *PDU {
		d := reply(OpDataIn, p)
		d.SetUint32(20, NoTag)
		return d
	}), doWrite, nil},
	{"DataSN skipped", RuleDataSN, edit(OpDataIn, func(p *PDU) { p.SetUint32(36, 1) }), doRead, nil},
	{"offset gap", RuleDataOffset, edit(OpDataIn, func(p *PDU) { p.SetUint32(40, 512) }), doRead, nil},
	{"overlap with free order", RuleDataOffset, func(f *fakeTarget) {
		f.mangle = func(_ *fakeConn, p *PDU) []*PDU {
			if p.Opcode() == OpDataIn {
				p.SetUint32(40, 0)
			}
			return nil
		}
	}, doRead, func(c *Config) { c.Keys = Keys{{"DataPDUInOrder", "No"}, {"DataSequenceInOrder", "No"}} }},
	{"data beyond EDTL", RuleDataBeyondEDTL, edit(OpDataIn, func(p *PDU) { p.SetUint32(40, 30000) }), doRead, nil},
	{"burst without F", RuleDataBurst, func(f *fakeTarget) {
		f.mangle = func(_ *fakeConn, p *PDU) []*PDU {
			if p.Opcode() == OpDataIn {
				p.BHS[1] = 0
			}
			return nil
		}
	}, func(ctx context.Context, s *Session) { s.Do(ctx, Read10(0, 1024, fakeBlock, 0)) }, nil},
	{"end without F", RuleDataBurst, func(f *fakeTarget) {
		f.mangle = func(_ *fakeConn, p *PDU) []*PDU {
			if p.Opcode() == OpDataIn {
				p.BHS[1] = 0
			}
			return nil
		}
	}, doRead, nil},
	{"A bit at level 0", RuleDataAck, edit(OpDataIn, func(p *PDU) { p.BHS[1] |= 0x40; p.SetUint32(20, 7) }), doRead, nil},
	{"S without F", RuleStatusInData, edit(OpDataIn, func(p *PDU) { p.BHS[1] = 1 }), doRead, nil},
	{"CHECK CONDITION in Data-In", RuleStatusInData, edit(OpDataIn, func(p *PDU) { p.BHS[1], p.BHS[3] = 0x81, 2 }), doRead, nil},
	{"ExpDataSN", RuleExpDataSN, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(36, 3) }), doRead, nil},
	{"ExpDataSN with target failure", RuleExpDataSN, edit(OpSCSIResponse, func(p *PDU) { p.BHS[2] = 1 }), doRead, nil},
	{"O and U", RuleResidual, edit(OpSCSIResponse, func(p *PDU) { p.BHS[1] |= 6 }), doTUR, nil},
	{"bidirectional flags", RuleResidual, edit(OpSCSIResponse, func(p *PDU) { p.BHS[1] |= 0x08 }), doTUR, nil},
	{"flags with target failure", RuleResidual, edit(OpSCSIResponse, func(p *PDU) { p.BHS[2] = 1; p.BHS[1] |= 2 }), doTUR, nil},
	{"underflow beyond EDTL", RuleResidual, edit(OpSCSIResponse, func(p *PDU) { p.BHS[1] |= 2; p.SetUint32(44, 1<<20) }), doRead, nil},
	{"missing bytes, no underflow", RuleResidual, edit(OpDataIn, func(p *PDU) { p.Data = p.Data[:512] }), doRead, nil},
	{"write GOOD without asking for all", RuleResidual, spoil(OpR2T, func(_ *fakeConn, p *PDU) []*PDU {
		r := reply(OpSCSIResponse, p)
		copy(r.BHS[24:36], p.BHS[24:36])
		return []*PDU{r}
	}), doWrite, nil},
	{"count without flag", RuleResidualUnused, edit(OpSCSIResponse, func(p *PDU) { p.SetUint32(44, 4) }), doTUR, nil},
	{"reserved response", RuleResponseCode, edit(OpSCSIResponse, func(p *PDU) { p.BHS[2] = 0x20 }), doTUR, nil},
	{"no such status", RuleStatus, edit(OpSCSIResponse, func(p *PDU) { p.BHS[3] = 0x0c }), doTUR, nil},
	{"SenseLength over 252", RuleSenseLength, edit(OpSCSIResponse, func(p *PDU) {
		p.Data = append([]byte{0, 253}, make([]byte, 253)...)
		p.Data[2], p.Data[9] = 0x70, 245
	}), doSense, nil},
	{"SenseLength beyond the segment", RuleSenseLength, edit(OpSCSIResponse, func(p *PDU) { p.Data[1] = 200 }), doSense, nil},
	{"segment of one byte", RuleSenseLength, edit(OpSCSIResponse, func(p *PDU) { p.Data = p.Data[:1] }), doSense, nil},
	{"no sense", RuleSenseMissing, edit(OpSCSIResponse, func(p *PDU) { p.Data = nil }), doSense, nil},
	{"empty sense", RuleSenseMissing, edit(OpSCSIResponse, func(p *PDU) { p.Data = []byte{0, 0} }), doSense, nil},
	{"sense with GOOD", RuleSenseUnexpected, edit(OpSCSIResponse, func(p *PDU) { p.BHS[3] = 0 }), doSense, nil},
	{"sense response code", RuleSenseFormat, edit(OpSCSIResponse, func(p *PDU) { p.Data[2] = 0x11 }), doSense, nil},
	{"additional sense length", RuleSenseFormat, edit(OpSCSIResponse, func(p *PDU) { p.Data[9] = 11 }), doSense, nil},
	{"R2T for a read", RuleR2TDirection, before(OpDataIn, func(p *PDU) *PDU {
		r := reply(OpR2T, p)
		r.SetUint32(44, 512)
		return r
	}), doRead, nil},
	{"R2TSN skipped", RuleR2TSN, edit(OpR2T, func(p *PDU) { p.SetUint32(36, 4) }), doWrite, nil},
	{"R2T of length 0", RuleR2TRange, edit(OpR2T, func(p *PDU) { p.SetUint32(44, 0) }), doWrite, nil},
	{"R2T over MaxBurstLength", RuleR2TRange, edit(OpR2T, func(p *PDU) { p.SetUint32(44, 262145) }), doWrite, nil},
	{"R2T beyond EDTL", RuleR2TRange, edit(OpR2T, func(p *PDU) { p.SetUint32(40, 1<<20) }), doWrite, nil},
	{"R2T gap", RuleR2TOffset, edit(OpR2T, func(p *PDU) { p.SetUint32(40, 131072) }), doWrite, nil},
	{"R2T with the reserved tag", RuleR2TTag, edit(OpR2T, func(p *PDU) { p.SetUint32(20, NoTag) }), doWrite, nil},
	{"R2T with another LUN", RuleR2TTag, edit(OpR2T, func(p *PDU) { p.SetLUN(FlatLUN(3)) }), doWrite, nil},
	{"two R2Ts where one is allowed", RuleR2TOutstanding, spoil(OpR2T, func(_ *fakeConn, p *PDU) []*PDU {
		again := *p
		again.SetUint32(36, 1)
		again.SetUint32(20, 0x2000)
		again.SetUint32(40, p.Uint32(40)+262144)
		return []*PDU{p, &again}
	}), heldWrite, nil},
	{"TTT in use", RuleR2TTag, spoil(OpR2T, func(_ *fakeConn, p *PDU) []*PDU {
		again := *p
		again.SetUint32(36, 1)
		again.SetUint32(40, p.Uint32(40)+262144)
		return []*PDU{p, &again}
	}), heldWrite, nil},
	{"response while data is missing", RuleResponseBeforeData, spoil(OpR2T, func(c *fakeConn, p *PDU) []*PDU {
		r := reply(OpSCSIResponse, p)
		r.BHS[3] = byte(ReservationConflict)
		c.number(r)
		return []*PDU{p, r}
	}), heldWrite, nil},
	{"TMF response value", RuleTMFResponse, edit(OpTMFResponse, func(p *PDU) { p.BHS[2] = 9 }), doReset, nil},
	{"NOP-In with both tags", RuleNOPIn, edit(OpNOPIn, func(p *PDU) { p.SetUint32(20, 4) }), doPing, nil},
	{"unsolicited NOP-In with data", RuleNOPIn, before(OpSCSIResponse, func(*PDU) *PDU {
		n := newPDU(OpNOPIn, false, 0x80)
		n.SetUint32(16, NoTag)
		n.SetUint32(20, NoTag)
		n.Data = []byte("surprise")
		return n
	}), doTUR, nil},
	{"ping not echoed", RuleNOPEcho, edit(OpNOPIn, func(p *PDU) { p.Data = []byte("pong!") }), doPing, nil},
	{"F and C", RuleText, edit(OpTextResp, func(p *PDU) { p.BHS[1] |= 0x40 }), doText, nil},
	{"F with TTT", RuleText, edit(OpTextResp, func(p *PDU) { p.SetUint32(20, 1) }), doText, nil},
	{"text without NUL", RuleText, edit(OpTextResp, func(p *PDU) { p.Data = []byte("TargetName=x") }), doText, nil},
	{"TargetAddress without tag", RuleText, edit(OpTextResp, func(p *PDU) { p.Data = []byte("TargetName=x\x00TargetAddress=1.2.3.4:3260\x00") }), doText, nil},
	{"logout response value", RuleLogout, edit(OpLogoutResp, func(p *PDU) { p.BHS[2] = 4 }), doLogout, nil},
	{"PDU after logout", RulePDUAfterLogout, spoil(OpLogoutResp, func(c *fakeConn, p *PDU) []*PDU {
		n := newPDU(OpNOPIn, false, 0x80)
		n.SetUint32(16, NoTag)
		n.SetUint32(20, NoTag)
		c.number(n)
		return []*PDU{p, n}
	}), func(ctx context.Context, s *Session) { doLogout(ctx, s); <-waitConn(s) }, nil},
	{"Reject without a header", RuleReject, edit(OpSCSIResponse, func(p *PDU) {
		p.BHS[0], p.BHS[2] = 0x3f, 4
		p.SetUint32(16, NoTag)
	}), doTUR, nil},
	{"Reject with unknown reason", RuleReject, edit(OpSCSIResponse, func(p *PDU) {
		p.BHS[0], p.BHS[2] = 0x3f, 0x0b
		p.SetUint32(16, NoTag)
		p.Data = make([]byte, 48)
	}), doTUR, nil},
	{"Reject with an ITT", RuleReject, edit(OpSCSIResponse, func(p *PDU) {
		p.BHS[0], p.BHS[2] = 0x3f, 4
		p.Data = make([]byte, 48)
	}), doTUR, nil},
	{"async event value", RuleAsync, before(OpSCSIResponse, func(*PDU) *PDU { return asyncPDU(77, nil) }), doTUR, nil},
	{"async SCSI event without sense", RuleAsync, before(OpSCSIResponse, func(*PDU) *PDU { return asyncPDU(0, nil) }), doTUR, nil},
	{"async ITT", RuleAsync, before(OpSCSIResponse, func(*PDU) *PDU {
		p := asyncPDU(2, nil)
		p.SetUint32(16, 1)
		return p
	}), doTUR, nil},
	{"connection closed inside a PDU", RuleTruncated, spoil(OpDataIn, func(c *fakeConn, p *PDU) []*PDU {
		c.nc.Write(c.enc.Append(nil, p)[:1000])
		c.nc.Close()
		return []*PDU{p}
	}), doRead, nil},

	{"version", RuleLoginPDU, editLogin(func(_ *fakeConn, p *PDU) { p.BHS[3] = 1 }), doTUR, nil},
	{"ISID", RuleLoginPDU, editLogin(func(_ *fakeConn, p *PDU) { p.BHS[9]++ }), doTUR, nil},
	{"ITT in login", RuleLoginPDU, editLogin(func(_ *fakeConn, p *PDU) { p.BHS[19]++ }), doTUR, nil},
	{"TSIH early", RuleLoginPDU, editLogin(func(_ *fakeConn, p *PDU) { p.BHS[15] = 7 }), doTUR, nil},
	{"TSIH never", RuleLoginPDU, editLogin(func(_ *fakeConn, p *PDU) { p.BHS[14], p.BHS[15] = 0, 0 }), doTUR, nil},
	{"reserved login byte", RuleReserved, editLogin(func(_ *fakeConn, p *PDU) { p.BHS[40] = 1 }), doTUR, nil},
	{"minimum exceeded", RuleLoginKey, answering(Key{"MaxBurstLength", "1048576"}), doTUR, nil},
	{"maximum undercut", RuleLoginKey, answering(Key{"DefaultTime2Wait", "1"}), doTUR, nil},
	{"OR ignored", RuleLoginKey, answering(Key{"DataPDUInOrder", "No"}), doTUR, nil},
	{"AND ignored", RuleLoginKey, answering(Key{"ImmediateData", "Yes"}), doTUR, func(c *Config) { c.Keys = Keys{{"ImmediateData", "No"}} }},
	{"not a boolean", RuleLoginKey, answering(Key{"InitialR2T", "yes"}), doTUR, nil},
	{"not in the list", RuleLoginKey, answering(Key{"HeaderDigest", "CRC32C"}), doTUR, nil},
	{"not a number", RuleLoginKey, answering(Key{"MaxConnections", "one"}), doTUR, nil},
	{"out of range", RuleLoginKey, answering(Key{"MaxOutstandingR2T", "0"}), doTUR, nil},
	{"declaration out of range", RuleLoginKey, answering(Key{"MaxRecvDataSegmentLength", "100"}), doTUR, nil},
	{"key sent twice", RuleLoginKey, answering(Key{"MaxBurstLength", "262144"}, Key{"MaxBurstLength", "1024"}), doTUR, nil},
	{"NotUnderstood for a key of the standard", RuleLoginKey, answering(Key{"ErrorRecoveryLevel", "NotUnderstood"}), doTUR, nil},
	{"FirstBurstLength over MaxBurstLength", RuleLoginKey, answering(Key{"MaxBurstLength", "1024"}), doTUR, nil},
	{"key not answered", RuleLoginKeyMissing, answering(Key{"ErrorRecoveryLevel", Omit}), doTUR, nil},
	{"no portal group tag", RuleLoginKeyMissing, answering(Key{"TargetPortalGroupTag", Omit}), doTUR, nil},
	{"login text without '='", RuleText, editLogin(func(_ *fakeConn, p *PDU) { p.Data = append(p.Data, "Oops\x00"...) }), doTUR, nil},
}

func heldWrite(ctx context.Context, s *Session) {
	cmd := Write10(0, make([]byte, 1<<20), fakeBlock, 0)
	cmd.HoldData = true
	t, err := s.Start(ctx, cmd)
	if err != nil {
		return
	}
	t.AwaitR2T(ctx)
	s.Ping(ctx, nil) // what followed the R2T has been handled when this returns
}

func waitConn(s *Session) <-chan struct{} {
	for _, c := range s.Conns() {
		return c.Done()
	}
	done := make(chan struct{})
	close(done)
	return done
}

func asyncPDU(event byte, data []byte) *PDU {
	p := newPDU(OpAsync, false, 0x80)
	p.SetUint32(16, NoTag)
	p.BHS[36] = event
	p.Data = data
	return p
}

func rulesOf(list []Violation) map[Rule]int {
	m := map[Rule]int{}
	for _, v := range list {
		m[v.Rule]++
	}
	return m
}

func TestEachViolationIsFound(t *testing.T) {
	seen := map[Rule]bool{}
	for _, c := range violationCases {
		seen[c.rule] = true
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			c.spoil(f)
			cfg := f.config()
			if c.config != nil {
				c.config(&cfg)
			}
			// A broken answer may leave the command without an end: stop
			// waiting as soon as the violation is there.
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			cfg.OnViolation = func(v Violation) {
				if v.Rule == c.rule && v.Opcode != OpLoginResp {
					cancel()
				}
			}
			s, err := Dial(ctx, cfg)
			require.NoError(t, err)
			c.do(ctx, s)
			err = s.Close()
			require.Contains(t, rulesOf(s.Violations()), c.rule)
			var ve *ViolationsError
			require.ErrorAs(t, err, &ve, "Close must tell")
		})
	}
	// Rules that need more than one spoilt PDU have tests of their own.
	for _, r := range []Rule{RuleWrongConnection, RuleAfterAbort, RuleCHAP} {
		seen[r] = true
	}
	for _, r := range Rules() {
		require.True(t, seen[r], "no case breaks rule %s", r)
		require.NotEmpty(t, r.Clause())
	}
}

func TestWellBehavedTargetHasNoViolations(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"plain":        func(*Config) {},
		"digests":      digests,
		"initial R2T":  func(c *Config) { c.Keys = Keys{{"InitialR2T", "Yes"}} },
		"no immediate": func(c *Config) { c.Keys = Keys{{"ImmediateData", "No"}} },
		"tiny bursts": func(c *Config) {
			c.Keys = Keys{{"MaxBurstLength", "8192"}, {"FirstBurstLength", "1024"}}
		},
		"one stage":   func(c *Config) { c.OperationalFirst = true },
		"vendor key":  func(c *Config) { c.Keys = Keys{{"X-com.example.key", "1"}} },
		"long values": func(c *Config) { c.Keys = manyKeys(40) },
		"CmdSN wraps": func(c *Config) { c.InitialCmdSN = 0xfffffffd },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			cfg := f.config()
			change(&cfg)
			s := f.dial(cfg)
			for _, do := range every {
				do(t.Context(), s)
			}
			require.NoError(t, s.Close())
		})
	}
}

// manyKeys is more text than one login PDU holds.
func manyKeys(n int) Keys {
	var k Keys
	for i := range n {
		k = append(k, Key{fmt.Sprintf("X-com.example.k%d", i), strings.Repeat("v", 240)})
	}
	return k
}

// After a gap the target's own numbering is followed: one mistake, one report.
func TestOneMistakeIsReportedOnce(t *testing.T) {
	f := newFake(t)
	skipped := false
	f.mangle = func(c *fakeConn, p *PDU) []*PDU {
		if p.Opcode() == OpSCSIResponse && !skipped {
			skipped = true
			c.stat++
			p.SetUint32(offStatSN, p.StatSN()+1)
		}
		return nil
	}
	s := f.dial(f.config())
	for range 5 {
		doTUR(t.Context(), s)
	}
	require.Equal(t, map[Rule]int{RuleStatSN: 1}, rulesOf(s.Violations()))
}

func TestShiftedNumbersAreReportedOncePerTask(t *testing.T) {
	for op, c := range map[Opcode]struct {
		do   act
		rule Rule
	}{OpR2T: {doWrite, RuleR2TSN}, OpDataIn: {doRead, RuleDataSN}} {
		f := newFake(t)
		f.mangle = func(_ *fakeConn, p *PDU) []*PDU {
			if p.Opcode() == op {
				p.SetUint32(offDataSN, p.Uint32(offDataSN)+4)
			}
			return nil
		}
		s := f.dial(f.config())
		c.do(t.Context(), s)
		require.Equal(t, 1, rulesOf(s.Violations())[c.rule])
	}
}

func TestTolerantSessionClosesQuietly(t *testing.T) {
	f := newFake(t)
	edit(OpSCSIResponse, func(p *PDU) { p.BHS[12] = 1 })(f)
	var told []Violation
	cfg := f.config()
	cfg.Tolerant = true
	cfg.OnViolation = func(v Violation) { told = append(told, v) }
	s := f.dial(cfg)
	doTUR(t.Context(), s)
	require.NoError(t, s.Close())
	require.Len(t, s.Violations(), 1)
	require.Equal(t, s.Violations(), told)
	require.Equal(t, RuleReserved, told[0].Rule)
	require.False(t, told[0].Should)
}
