package iscsi

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// rejected holds PDUs that are answered with a Reject, and leave everything as
// it was. Their CmdSN is not received: the request that follows has it.
var rejected = []struct {
	name   string
	code   pdu.RejectReason
	reason Reason
	send   func(i *iscsitest.Initiator)
}{
	{"login again", pdu.RejectProtocolError, ReasonLoginAgain, func(i *iscsitest.Initiator) {
		i.Send(i.LoginRequest(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true), iscsitest.Text(names).Append(nil))
	}},
	{"SNACK", pdu.RejectNotSupported, ReasonSNACK, func(i *iscsitest.Initiator) {
		i.Send(&pdu.SNACKRequest{Type: pdu.SNACKStatus, ITT: pdu.ReservedTag, TTT: pdu.ReservedTag}, nil)
	}},
	{"SNACK with data", pdu.RejectInvalidField, ReasonUnexpectedData, func(i *iscsitest.Initiator) {
		i.Send(&pdu.SNACKRequest{ITT: pdu.ReservedTag, TTT: pdu.ReservedTag}, make([]byte, 5))
	}},
	{"unknown opcode", pdu.RejectNotSupported, ReasonUnknownOpcode, func(i *iscsitest.Initiator) {
		raw(i, func(h *pdu.BHS) { h[0] = 0x47 })
	}},
	{"vendor opcode with data", pdu.RejectNotSupported, ReasonUnknownOpcode, func(i *iscsitest.Initiator) {
		i.SendRaw(append(header(func(h *pdu.BHS) { h[0], h[7] = 0x1c, 8 }), make([]byte, 8)...))
	}},
	{"AHS on NOP", pdu.RejectInvalidField, ReasonUnexpectedAHS, func(i *iscsitest.Initiator) {
		i.SendAHS(&pdu.NOPOut{Immediate: true, ITT: 9, TTT: pdu.ReservedTag}, make([]byte, 8), nil)
	}},
	{"AHS on logout", pdu.RejectInvalidField, ReasonUnexpectedAHS, func(i *iscsitest.Initiator) {
		i.SendAHS(&pdu.LogoutRequest{CmdSN: i.CmdSN, ITT: 9}, make([]byte, 4), nil)
	}},
	{"data on TMF", pdu.RejectInvalidField, ReasonUnexpectedData, func(i *iscsitest.Initiator) {
		i.Send(i.TMF(pdu.TMFAbortTaskSet, 0), make([]byte, 3))
	}},
	{"data on logout", pdu.RejectInvalidField, ReasonUnexpectedData, func(i *iscsitest.Initiator) {
		i.Send(&pdu.LogoutRequest{Immediate: true, CmdSN: i.CmdSN, ITT: 9}, make([]byte, 3))
	}},
	{"NOP without tag, not immediate", pdu.RejectProtocolError, ReasonNOPNotImmediate, func(i *iscsitest.Initiator) {
		i.Send(&pdu.NOPOut{ITT: pdu.ReservedTag, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil)
	}},
	{"reserved tag on command", pdu.RejectInvalidField, ReasonReservedITT, func(i *iscsitest.Initiator) {
		command(i, func(c *pdu.SCSICommand) { c.ITT = pdu.ReservedTag })
	}},
	{"reserved tag on TMF", pdu.RejectInvalidField, ReasonReservedITT, func(i *iscsitest.Initiator) {
		q := i.TMF(pdu.TMFAbortTaskSet, 0)
		q.ITT = pdu.ReservedTag
		i.Send(q, nil)
	}},
	{"reserved tag on text", pdu.RejectInvalidField, ReasonReservedITT, func(i *iscsitest.Initiator) {
		i.Send(&pdu.TextRequest{Final: true, ITT: pdu.ReservedTag, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil)
	}},
	{"reserved tag on logout", pdu.RejectInvalidField, ReasonReservedITT, func(i *iscsitest.Initiator) {
		i.Send(&pdu.LogoutRequest{ITT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil)
	}},
	{"W=0 and F=0", pdu.RejectInvalidField, ReasonNotFinal, func(i *iscsitest.Initiator) {
		command(i, func(c *pdu.SCSICommand) { c.Final = false })
	}},
	{"length without direction", pdu.RejectInvalidField, ReasonLengthWithoutDirection, func(i *iscsitest.Initiator) {
		command(i, func(c *pdu.SCSICommand) { c.EDTL = 1 })
	}},
	{"data on a read", pdu.RejectInvalidField, ReasonUnexpectedData, func(i *iscsitest.Initiator) {
		c := i.Read10(0, 1)
		i.CmdSN--
		i.Send(c, make([]byte, 512))
	}},
	{"immediate data over the expected length", pdu.RejectInvalidField, ReasonUnexpectedData, func(i *iscsitest.Initiator) {
		c := i.Write10(0, 1)
		i.CmdSN--
		i.Send(c, make([]byte, 513))
	}},
	{"AHS leads outside", pdu.RejectInvalidField, ReasonBadAHS, func(i *iscsitest.Initiator) {
		badAHS(i, []byte{0, 9, 1, 0})
	}},
	{"AHS of length zero", pdu.RejectInvalidField, ReasonBadAHS, func(i *iscsitest.Initiator) {
		badAHS(i, []byte{0, 0, 1, 0})
	}},
	{"AHS of unknown type", pdu.RejectInvalidField, ReasonBadAHS, func(i *iscsitest.Initiator) {
		badAHS(i, []byte{0, 1, 3, 0})
	}},
	{"bidirectional length of the wrong size", pdu.RejectInvalidField, ReasonBadAHS, func(i *iscsitest.Initiator) {
		badAHS(i, []byte{0, 4, 2, 0, 0, 0, 0, 0})
	}},
	{"text with C and F", pdu.RejectProtocolError, ReasonTextContinueFinal, func(i *iscsitest.Initiator) {
		i.Send(&pdu.TextRequest{Final: true, Continue: true, ITT: 9, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil)
	}},
	{"text with a tag never given", pdu.RejectInvalidField, ReasonTextTTT, func(i *iscsitest.Initiator) {
		i.Send(&pdu.TextRequest{Final: true, ITT: 9, TTT: 55, CmdSN: i.CmdSN}, nil)
	}},
	{"text without end", pdu.RejectProtocolError, ReasonTextMalformed, func(i *iscsitest.Initiator) {
		i.Send(&pdu.TextRequest{Final: true, ITT: 9, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, []byte("SendTargets=All"))
	}},
	{"text with a login key", pdu.RejectProtocolError, ReasonTextKey, func(i *iscsitest.Initiator) {
		i.Send(&pdu.TextRequest{Final: true, ITT: 9, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, []byte("MaxBurstLength=512\x00"))
	}},
	{"text with a key twice", pdu.RejectProtocolError, ReasonTextKey, func(i *iscsitest.Initiator) {
		i.Send(&pdu.TextRequest{Final: true, ITT: 9, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, []byte("X-a=1\x00X-a=2\x00"))
	}},
	{"text with a reserved value", pdu.RejectProtocolError, ReasonTextKey, func(i *iscsitest.Initiator) {
		i.Send(&pdu.TextRequest{Final: true, ITT: 9, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, []byte("SendTargets=Irrelevant\x00"))
	}},
	{"text too long", pdu.RejectProtocolError, ReasonTextTooLong, func(i *iscsitest.Initiator) {
		i.Send(&pdu.TextRequest{Final: true, ITT: 9, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, make([]byte, textLimit+1))
	}},
}

func header(change func(*pdu.BHS)) []byte {
	var h pdu.BHS
	(&pdu.NOPOut{Immediate: true, ITT: 9, TTT: pdu.ReservedTag}).Encode(&h)
	change(&h)
	return h[:]
}

func raw(i *iscsitest.Initiator, change func(*pdu.BHS)) { i.SendRaw(header(change)) }

func command(i *iscsitest.Initiator, change func(*pdu.SCSICommand)) {
	c := i.TestUnitReady()
	i.CmdSN--
	change(c)
	i.Send(c, nil)
}

func badAHS(i *iscsitest.Initiator, ahs []byte) {
	c := i.TestUnitReady()
	i.CmdSN--
	i.SendAHS(c, ahs, nil)
}

func TestRejects(t *testing.T) {
	for _, c := range rejected {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				i := r.login("")
				exp, max := i.CmdSN, i.CmdSN+127
				c.send(i)
				a, data := iscsitest.Expect[*pdu.Reject](i)
				require.Equal(t, c.code, a.Reason)
				require.GreaterOrEqual(t, len(data), pdu.BHSLen, "Linux drops the connection if it is shorter")
				require.Equal(t, exp, a.ExpCmdSN)
				require.Equal(t, max, a.MaxCmdSN)
				r.requireSaw(c.reason)
				require.Equal(t, exp, i.CmdSN)
				next := i.TestUnitReady()
				i.Send(next, nil)
				good(i, next)
			})
		})
	}
}

// fatal holds what nothing sensible can follow.
var fatal = []struct {
	name   string
	reason Reason
	send   func(i *iscsitest.Initiator)
}{
	{"target opcode", ReasonTargetOpcode, func(i *iscsitest.Initiator) { i.Send(&pdu.DataIn{}, nil) }},
	{"segment over what we declared", ReasonDataSegmentTooLong, func(i *iscsitest.Initiator) {
		raw(i, func(h *pdu.BHS) { h[5], h[6], h[7] = 4, 0, 1 })
	}},
	{"segment of 16 MiB", ReasonDataSegmentTooLong, func(i *iscsitest.Initiator) {
		raw(i, func(h *pdu.BHS) { h[5], h[6], h[7] = 0xff, 0xff, 0xff })
	}},
}

func TestFatalPDUs(t *testing.T) {
	for _, c := range fatal {
		t.Run(c.name, func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				i := r.login("")
				c.send(i)
				i.Closed()
				r.requireSaw(c.reason)
				require.Empty(t, r.srv.Sessions(), "a format error ends the session")
			})
		})
	}
}

// A format error ends all connections of the session. RFC 7143 §7.7.
func TestFormatErrorEndsAllConnections(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 3, "")
		raw(all[1], func(h *pdu.BHS) { h[5] = 0xff })
		for _, i := range all {
			i.Closed()
		}
		synctest.Wait()
		require.Empty(t, r.srv.Sessions())
		require.True(t, r.target.Detached())
	}, fourConnections)
}

// An answer to a ping that was never sent may be late, and means nothing; who
// wants it echoed has it echoed. RFC 7143 §11.18.
func TestPingAnswerThatWasNotAskedFor(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		i.Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: 4711, CmdSN: i.CmdSN}, nil)
		i.Silent(time.Second)
		i.Send(&pdu.NOPOut{Immediate: true, ITT: i.NextITT(), TTT: 4711, CmdSN: i.CmdSN}, []byte("ping"))
		_, data := iscsitest.Expect[*pdu.NOPIn](i)
		require.Equal(t, "ping", string(data))
		ping(i)
	})
}

// Bits that RFC 7143 reserves are not looked at (§11.1): requests with all of
// them set mean what they mean without.
func TestReservedBitsAreIgnored(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.connect()
		send := func(p pdu.PDU, data []byte, at ...int) {
			b := i.Encode(p, nil, data)
			for n := 0; n < len(at); n += 3 {
				for k := at[n]; k <= at[n+1]; k++ {
					b[k] |= byte(at[n+2])
				}
			}
			i.SendRaw(b)
		}
		q := i.LoginRequest(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true)
		send(q, iscsitest.Text(names+" InitialR2T=Yes").Append(nil), 0, 0, 0x80, 1, 1, 0x30, 22, 23, 0xff, 32, 47, 0xff)
		a, _ := i.LoginAnswer()
		require.Equal(t, pdu.LoginSuccess, a.Status)
		i.TSIH = a.TSIH

		send(&pdu.NOPOut{Immediate: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil, 0, 0, 0x80, 1, 1, 0x7f, 2, 3, 0xff, 32, 47, 0xff)
		iscsitest.Expect[*pdu.NOPIn](i)
		w := i.Write10(0, 1)
		send(w, nil, 0, 0, 0x80, 1, 1, 0x18, 2, 3, 0xff)
		r2t, _ := iscsitest.Expect[*pdu.R2T](i)
		send(i.DataOut(r2t, 0, 0, true), pattern(512, 1), 0, 0, 0xc0, 1, 1, 0x7f, 2, 3, 0xff, 24, 27, 0xff, 32, 35, 0xff, 44, 47, 0xff)
		good(i, w)
		m := i.TMF(pdu.TMFAbortTaskSet, 0)
		send(m, nil, 0, 0, 0x80, 2, 3, 0xff, 40, 47, 0xff)
		tmfAnswer(i, m, pdu.TMFComplete)
		send(&pdu.TextRequest{Immediate: true, Final: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN},
			[]byte("SendTargets=All\x00"), 0, 0, 0x80, 1, 1, 0x3f, 2, 3, 0xff, 32, 47, 0xff)
		_, data := iscsitest.Expect[*pdu.TextResponse](i)
		require.Contains(t, string(data), testTarget)
		send(&pdu.LogoutRequest{Immediate: true, ITT: i.NextITT(), CmdSN: i.CmdSN}, nil, 0, 0, 0x80, 2, 3, 0xff, 8, 15, 0xff, 22, 23, 0xff, 32, 47, 0xff)
		out, _ := iscsitest.Expect[*pdu.LogoutResponse](i)
		require.Equal(t, pdu.LogoutClosed, out.Response)
	})
}

// RFC 7143 §4.2.2.1: outside the window, or there already: silence.
func TestIgnoredCommands(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("InitialR2T=No")
		for _, off := range []int{-1, -1000, 128, 1000, 1 << 30} {
			c := i.Write10(0, 8)
			i.CmdSN--
			c.CmdSN = i.CmdSN.Add(off)
			c.Final = false
			i.Send(c, nil)
			for sn := range uint32(2) {
				i.Send(i.Unsolicited(c.ITT, sn, sn*2048, sn == 1), make([]byte, 2048)) // its data, too
			}
			i.Silent(time.Second)
		}
		r.requireSaw(ReasonCmdSNOutsideWindow)
		gap := i.TestUnitReady()
		waits := i.TestUnitReady()
		i.Send(waits, nil)
		i.Send(waits, nil)
		i.Silent(time.Second)
		i.Send(gap, nil)
		good(i, gap)
		good(i, waits)
		i.Silent(time.Second)
		require.Empty(t, r.target.Writes())
	})
}

// The same tag with the same number is a retry; with another it is an error.
// RFC 7143 §7.2.1, §11.17.1.
func TestTagInUse(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		kept := pending(r)
		w := i.Write10(0, 1)
		i.Send(w, make([]byte, 512))
		i.Send(w, make([]byte, 512))
		i.Silent(time.Second)
		again := *w
		again.CmdSN = i.CmdSN
		i.Send(&again, make([]byte, 512))
		a, _ := iscsitest.Expect[*pdu.Reject](i)
		require.Equal(t, pdu.RejectTaskInProgress, a.Reason)
		r.requireSaw(ReasonTaskInProgress)
		require.Len(t, kept(), 1)
		r.target.Finish(kept()[0])
		good(i, w)
	})
}

// Immediate commands are executed at once, whatever their CmdSN, up to a
// number that is ours.
func TestImmediateCommands(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		kept := pending(r)
		gap := i.TestUnitReady()
		var sent []*pdu.SCSICommand
		for range maxImmediate {
			w := i.Write10(0, 1)
			i.CmdSN--
			w.Immediate, w.CmdSN = true, w.CmdSN+500
			i.Send(w, make([]byte, 512))
			sent = append(sent, w)
		}
		require.Len(t, kept(), maxImmediate)
		w := i.Write10(0, 1)
		i.CmdSN--
		w.Immediate = true
		i.Send(w, make([]byte, 512))
		a, _ := iscsitest.Expect[*pdu.Reject](i)
		require.Equal(t, pdu.RejectTooManyImmediate, a.Reason)
		r.requireSaw(ReasonTooManyImmediate)
		ping(i)
		for n, task := range kept() {
			r.target.Finish(task)
			good(i, sent[n])
		}
		i.Send(w, make([]byte, 512))
		require.Len(t, kept(), maxImmediate+1)
		r.target.Finish(kept()[maxImmediate])
		good(i, w)
		i.Send(gap, nil)
		good(i, gap)
	})
}

// Requests that came early are kept with all they brought, and run in order.
func TestRequestsOutOfOrder(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		first := i.Write10(0, 1)
		nop := &pdu.NOPOut{ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.Numbered()}
		write := i.Write10(0, 1)
		read := i.Read10(0, 1)
		tmf := i.TMF(pdu.TMFAbortTaskSet, 0)
		tmf.Immediate, tmf.CmdSN = false, i.Numbered()
		text := &pdu.TextRequest{Final: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.Numbered()}
		logout := &pdu.LogoutRequest{ITT: i.NextITT(), CmdSN: i.Numbered()}
		i.Send(logout, nil)
		i.Send(text, []byte("SendTargets=\x00"))
		i.Send(tmf, nil)
		i.Send(read, nil)
		i.Send(write, pattern(512, 2))
		i.Send(nop, []byte("early"))
		i.Silent(time.Second)
		require.Empty(t, r.target.Writes())
		i.Send(first, pattern(512, 1))
		_, data := iscsitest.Expect[*pdu.NOPIn](i) // pings overtake answers, as they should
		require.Equal(t, "early", string(data))
		good(i, first)
		good(i, write)
		got, _ := collectRead(i, read, 8192, 262144)
		require.Equal(t, pattern(512, 2), got)
		tmfAnswer(i, tmf, pdu.TMFComplete)
		iscsitest.Expect[*pdu.TextResponse](i)
		iscsitest.Expect[*pdu.LogoutResponse](i)
		require.Equal(t, i.CmdSN, i.ExpCmdSN)
	})
}

// CDBs of more than 16 bytes and bidirectional lengths reach the SCSI layer.
func TestAdditionalHeaders(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		var more []byte
		var in, out uint32
		r.target.Enter = func(x *scsi.Task, _ bool) (scsi.Progress, bool) {
			more, in, out = append([]byte(nil), x.CDBMore...), x.InLen, x.OutLen
			return 0, true
		}
		cdb := pattern(32, 0x7f)
		cdb[0] = 0x7f
		c := i.Command([16]byte(cdb))
		i.SendAHS(c, pdu.AppendExtendedCDB(nil, cdb), nil)
		checkCondition(i, c.ITT, scsi.ErrInvalidOpcode)
		require.Equal(t, cdb[16:], more)

		c = i.Command([16]byte(cdb))
		c.Read, c.Write, c.EDTL = true, true, 512
		i.SendAHS(c, pdu.AppendBidiReadLength(pdu.AppendExtendedCDB(nil, cdb), 1024), make([]byte, 512))
		a := checkCondition(i, c.ITT, scsi.ErrInvalidOpcode)
		require.Equal(t, []uint32{1024, 512}, []uint32{in, out})
		require.True(t, a.Underflow)
		require.EqualValues(t, 512, a.Residual)
		require.True(t, a.BidiUnderflow)
		require.EqualValues(t, 1024, a.BidiResidual)
	})
}

// On a discovery session there is discovery and nothing else.
func TestDiscoverySessionDoesNoIO(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.connect()
		i.Login("", "")
		for _, p := range []pdu.PDU{i.Read10(0, 1), i.TMF(pdu.TMFLogicalUnitReset, 0)} {
			i.Send(p, nil)
			a, _ := iscsitest.Expect[*pdu.Reject](i)
			require.Equal(t, pdu.RejectNotSupported, a.Reason)
		}
		r.requireSaw(ReasonDiscoveryOnly)
		ping(i)
	})
}

// Digests, RFC 7143 §7.8 at error recovery level 0.
func TestDigestErrors(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("HeaderDigest=CRC32C DataDigest=CRC32C InitialR2T=No")
		good1 := i.Write10(0, 8)
		i.Send(good1, pattern(4096, 1))
		good(i, good1)

		// A damaged command was never received; the initiator sends it again.
		w := i.Write10(1, 8)
		b := i.Encode(w, nil, pattern(4096, 2))
		b[100] ^= 1
		i.SendRaw(b)
		a, _ := iscsitest.Expect[*pdu.Reject](i)
		require.Equal(t, pdu.RejectDataDigest, a.Reason)
		require.Equal(t, w.CmdSN, a.ExpCmdSN)
		r.requireSaw(ReasonDataDigest)
		i.Send(w, pattern(4096, 2))
		good(i, w)

		// Damaged Data-Out ends the task after its last byte.
		w = i.Write10(9, 128)
		i.Send(w, nil)
		for n, broken := range []int{3, 0, 7, 7, -1} { // the PDU of the burst that is damaged
			q, _ := iscsitest.Expect[*pdu.R2T](i)
			require.EqualValues(t, 65536, q.DesiredLength)
			for sn := range 8 {
				d := i.Encode(i.DataOut(q, uint32(sn), uint32(sn*8192), sn == 7), nil, pattern(8192, 3))
				if sn == broken {
					d[5000] ^= 0x10
				}
				synctest.Wait()
				if n%2 == 0 { // in one piece, and in two
					i.SendRaw(d[:4000])
					d = d[4000:]
					synctest.Wait()
				}
				i.SendRaw(d)
			}
			if broken >= 0 {
				a, _ = iscsitest.Expect[*pdu.Reject](i)
				require.Equal(t, pdu.RejectDataDigest, a.Reason)
				checkCondition(i, w.ITT, scsi.ErrDataDigest)
				w = i.Write10(9, 128)
				i.Send(w, nil)
				continue
			}
			good(i, w)
		}
		require.Len(t, r.target.Writes(), 3)
		n := i.NextITT()
		b = i.Encode(&pdu.NOPOut{Immediate: true, ITT: n, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil, []byte("ping"))
		b[53] ^= 0x80
		i.SendRaw(b)
		a, _ = iscsitest.Expect[*pdu.Reject](i)
		require.Equal(t, pdu.RejectDataDigest, a.Reason)
		ping(i)
		require.EqualValues(t, 6, r.srv.Sessions()[0].Total.DigestErrors)

		// A damaged header cannot be trusted in any way.
		b = i.Encode(i.TestUnitReady(), nil, nil)
		b[17] ^= 4
		i.SendRaw(b)
		i.Closed()
		r.requireSaw(ReasonHeaderDigest)
	})
}

// Every opcode, with and without data, with every combination of the flags
// that say "there is more", in every state of a connection: whatever the
// answer, nobody else notices.
func TestOpcodeMatrix(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		r.attach = func(scsi.Nexus) (Target, error) { return iscsitest.NewTarget(), nil }
		r.srv.SetNodes([]*Node{r.node, neighbour(r.node)})
		other := r.connect()
		other.ISID[5] = 99
		other.Login(neighbourTarget, "")
		for _, state := range []string{"new", "security", "operational", "discovery", "normal"} {
			for op := range 0x40 {
				for _, flags := range []byte{0, 0x80, 0x40, 0xc0, 0x87, 0xe1} {
					for _, immediate := range []byte{0, 0x40} {
						for _, n := range []int{0, 1, 8192} {
							i := r.connect()
							switch state {
							case "security":
								i.LoginStep(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false, names)
							case "operational":
								i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, false, names)
							case "discovery":
								i.Login("", "")
							case "normal":
								i.Login(testTarget, "DefaultTime2Retain=0")
							}
							var h pdu.BHS
							h[0], h[1], h[6], h[7] = byte(op)|immediate, flags, byte(n>>8), byte(n)
							i.Conn.SetWriteDeadline(time.Now().Add(time.Second))
							i.Conn.Write(append(h[:], make([]byte, pdu.Padded(n))...))
							i.Conn.SetReadDeadline(time.Now().Add(time.Millisecond))
							i.Conn.Read(make([]byte, 4096))
							i.Conn.Close()
						}
					}
				}
			}
			ping(other)
		}
		other.Conn.Close()
	}, func(o *Options) {
		o.MaxLogins, o.MaxLoginsPerSource, o.LoginFailures = 1<<30, 1<<30, 1<<30
		o.PingInterval = 24 * time.Hour
	})
}
