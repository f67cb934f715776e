package initiator

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func newFakeSession(t *testing.T) *Session {
	f := newFake(t)
	return f.dial(f.config())
}

func pattern(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// Whatever is negotiated, what was written is what is read, and the write obeys
// the limits.
func TestTransferObeysNegotiatedLimits(t *testing.T) {
	for _, c := range []struct {
		name      string
		keys      Keys
		immediate int // bytes of immediate data with a write of 64 KiB
		final     bool
	}{
		{"defaults", nil, 65536, true},
		{"initial R2T", Keys{{"InitialR2T", "Yes"}}, 65536, true},
		{"no immediate data", Keys{{"ImmediateData", "No"}}, 0, false},
		{"nothing unsolicited", Keys{{"ImmediateData", "No"}, {"InitialR2T", "Yes"}}, 0, true},
		{"small first burst", Keys{{"FirstBurstLength", "1024"}}, 1024, true},
		{"small bursts", Keys{{"FirstBurstLength", "512"}, {"MaxBurstLength", "4096"}}, 512, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			cfg := f.config()
			cfg.Keys = c.keys
			digests(&cfg)
			s := f.dial(cfg)
			u := s.Unit(0)
			for _, n := range []int{512, 65536, 300 * 512} {
				data := pattern(n, uint64(n))
				_, err := u.Run(t.Context(), Write10(3, data, 512, 0))
				require.NoError(t, err)
				r, err := u.Run(t.Context(), Read10(3, uint16(n/512), 512, 0))
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, r.Data))
			}
			var first *PDU
			for _, p := range f.requests(OpSCSICommand) {
				if p.Uint32(offEDTL) == 65536 && p.BHS[1]&0x20 != 0 {
					first = p
				}
			}
			require.Equal(t, c.immediate, len(first.Data))
			require.Equal(t, c.final, first.Final())
			for _, p := range f.requests(OpDataOut) {
				require.LessOrEqual(t, len(p.Data), 65536)
			}
			require.NoError(t, s.Close())
		})
	}
}

func TestResidualsAreReported(t *testing.T) {
	f := newFake(t)
	u := f.dial(f.config()).Unit(0)
	short := Read10(0, 4, 512, 0)
	short.In = 512
	r, err := u.Run(t.Context(), short)
	require.NoError(t, err)
	require.True(t, r.Overflow)
	require.EqualValues(t, 3*512, r.Residual)
	require.Len(t, r.Data, 512)

	long := Read10(0, 4, 512, 0)
	long.In = 4096
	r, err = u.Run(t.Context(), long)
	require.NoError(t, err)
	require.True(t, r.Underflow)
	require.EqualValues(t, 2048, r.Residual)
	require.Len(t, r.Data, 2048)
	require.NoError(t, u.S.Close())
}

func TestCheckConditionIsDecoded(t *testing.T) {
	f := newFake(t)
	u := f.dial(f.config()).Unit(0)
	_, err := u.Run(t.Context(), RequestSense(false, 18))
	r, ok := AsStatus(err)
	require.True(t, ok)
	require.Equal(t, CheckCondition, r.Status)
	require.True(t, r.Sense.Is(IllegalRequest, ASCInvalidFieldInCDB))
	require.ErrorContains(t, err, "5/24/00")
}

// 64 commands at a time through a window of 8: all end, numbers are contiguous,
// and the window is never exceeded.
func TestManyCommandsHonourTheWindow(t *testing.T) {
	f := newFake(t)
	f.window = 8
	cfg := f.config()
	cfg.InitialCmdSN = 0xfffffff0
	s := f.dial(cfg)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 8 {
				_, err := s.Unit(0).Run(t.Context(), TestUnitReady())
				require.NoError(t, err)
			}
		})
	}
	wg.Wait()
	sent := f.requests(OpSCSICommand)
	require.Len(t, sent, 512)
	for i, p := range sent {
		require.Equal(t, uint32(0xfffffff0)+uint32(i), p.Uint32(offCmdSN))
	}
	require.NoError(t, s.Close())
}

func TestClosedWindowHoldsCommandsBack(t *testing.T) {
	f := newFake(t)
	f.window = 1
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() != OpSCSICommand {
			return false
		}
		f.window = 0
		return true
	}
	s := f.dial(f.config())
	first, err := s.Start(t.Context(), TestUnitReady())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan error)
	go func() {
		_, err := s.Start(ctx, TestUnitReady())
		blocked <- err
	}()
	immediate := TestUnitReady()
	immediate.Immediate = true
	_, err = s.Start(t.Context(), immediate)
	require.NoError(t, err, "immediate delivery needs no window")
	require.NoError(t, s.Ping(t.Context(), nil))
	require.Len(t, f.requests(OpSCSICommand), 2)
	cancel()
	require.ErrorIs(t, <-blocked, context.Canceled)
	require.NoError(t, s.Close())
	_, err = first.Wait(t.Context())
	require.ErrorIs(t, err, ErrClosed)
}

func TestHeldDataGoesOutOnRelease(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	cfg.Keys = Keys{{"MaxBurstLength", "8192"}, {"FirstBurstLength", "4096"}}
	s := f.dial(cfg)
	data := pattern(64<<10, 5)
	cmd := Write10(0, data, 512, 0)
	cmd.HoldData = true
	task, err := s.Start(t.Context(), cmd)
	require.NoError(t, err)
	r2ts, err := task.AwaitR2T(t.Context())
	require.NoError(t, err)
	require.Equal(t, []R2T{{TTT: 0x1000, Offset: 4096, Length: 8192}}, r2ts)
	require.NoError(t, s.Ping(t.Context(), nil))
	require.Empty(t, f.requests(OpDataOut))

	task.Release()
	r, err := task.Wait(t.Context())
	require.NoError(t, err)
	require.True(t, r.Good())
	require.True(t, bytes.Equal(data, f.disk[:len(data)]))
	require.NoError(t, s.Close())
}

func TestDataOutOfOnesOwnMaking(t *testing.T) {
	f := newFake(t)
	s := f.dial(f.config())
	cmd := Write10(0, make([]byte, 8192), 512, 0)
	cmd.HoldData, cmd.NoUnsolicited = true, true
	task, err := s.Start(t.Context(), cmd)
	require.NoError(t, err)
	r2ts, err := task.AwaitR2T(t.Context())
	require.NoError(t, err)
	require.Len(t, r2ts, 1)
	task.SendDataOut(DataOutPDU{TTT: 0xbad, DataSN: 7, Offset: 4096, Data: []byte("odd")}, 0)
	require.NoError(t, s.Ping(t.Context(), nil))
	sent := f.requests(OpDataOut)
	require.Len(t, sent, 1)
	require.Equal(t, task.ITT(), sent[0].ITT())
	require.EqualValues(t, 0xbad, sent[0].TTT())
	require.EqualValues(t, 7, sent[0].Uint32(offDataSN))
	require.False(t, sent[0].Final())

	task.Forget(r2ts[0])
	task.SendDataOut(DataOutPDU{TTT: r2ts[0].TTT, Final: true, Data: make([]byte, 8192)}, 0)
	r, err := task.Wait(t.Context())
	require.NoError(t, err)
	require.True(t, r.Good())
}

func TestAbortedTaskEndsAndMayNotAnswer(t *testing.T) {
	f := newFake(t)
	var victim *PDU
	var conn *fakeConn
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() == OpSCSICommand && p.BHS[32] == 0x00 {
			victim, conn = p, c
			return true
		}
		return false
	}
	s := f.dial(f.config())
	task, err := s.Start(t.Context(), TestUnitReady())
	require.NoError(t, err)
	r, err := s.AbortTask(t.Context(), task)
	require.NoError(t, err)
	require.Equal(t, TMFComplete, r.Status)
	_, err = task.Wait(t.Context())
	require.ErrorIs(t, err, ErrAborted)
	tmf := f.requests(OpTMFRequest)[0]
	require.Equal(t, task.ITT(), tmf.Uint32(20))
	require.Equal(t, task.CmdSN(), tmf.Uint32(32))
	require.True(t, tmf.Immediate())
	require.Empty(t, s.Violations())

	conn.send(reply(OpSCSIResponse, victim))
	require.NoError(t, s.Ping(t.Context(), nil))
	require.Contains(t, rulesOf(s.Violations()), RuleAfterAbort)
}

// What was read before a connection was broken, and is looked at afterwards, is
// no fault of the target's.
func TestAnswerToABrokenConnection(t *testing.T) {
	f := newFake(t)
	answered := make(chan struct{})
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() == OpSCSICommand {
			c.send(reply(OpSCSIResponse, p)) // returns when it is read
			close(answered)
			return true
		}
		return false
	}
	s := f.dial(f.config())
	s.Conns()[0].Pause()
	task, err := s.Unit(0).Start(t.Context(), TestUnitReady())
	require.NoError(t, err)
	<-answered
	s.Reset()
	_, err = task.Wait(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	require.Empty(t, s.Violations())
}

// A LOGICAL UNIT RESET ends what came before it on that unit, and nothing else.
func TestResetEndsOnlyItsOwnTasks(t *testing.T) {
	f := newFake(t)
	f.handle = func(c *fakeConn, p *PDU) bool { return p.Opcode() == OpSCSICommand }
	s := f.dial(f.config())
	here, err := s.Unit(1).Start(t.Context(), TestUnitReady())
	require.NoError(t, err)
	there, err := s.Unit(2).Start(t.Context(), TestUnitReady())
	require.NoError(t, err)
	_, err = s.LUReset(t.Context(), FlatLUN(1))
	require.NoError(t, err)
	_, err = here.Wait(t.Context())
	require.ErrorIs(t, err, ErrAborted)
	select {
	case <-there.Done():
		t.Fatal("the task of another unit ended")
	default:
	}
}

func TestRejectEndsTheRequestAndTheGapIsFilled(t *testing.T) {
	f := newFake(t)
	first := true
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() != OpSCSICommand || !first {
			return false
		}
		first = false
		f.mu.Lock()
		f.exp-- // a rejected command counts as not received
		f.mu.Unlock()
		r := newPDU(OpReject, false, 0x80)
		r.BHS[2] = byte(RejectInvalidField)
		r.SetUint32(offITT, NoTag)
		r.Data = bytes.Clone(p.BHS[:])
		c.send(r)
		return true
	}
	s := f.dial(f.config())
	_, err := s.Do(t.Context(), TestUnitReady())
	var re *RejectError
	require.ErrorAs(t, err, &re)
	require.Equal(t, RejectInvalidField, re.Reason)
	require.Equal(t, RejectInvalidField, (<-s.Rejects()).Reason)
	_, err = s.Unit(0).Run(t.Context(), TestUnitReady())
	require.NoError(t, err)
	nops := f.requests(OpNOPOut)
	require.Len(t, nops, 1)
	require.Equal(t, f.requests(OpSCSICommand)[0].Uint32(offCmdSN), nops[0].Uint32(offCmdSN))
	require.NoError(t, s.Close())
}

func TestTargetPingIsAnsweredUnlessToldOtherwise(t *testing.T) {
	f := newFake(t)
	answered := make(chan *PDU, 4)
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() == OpNOPOut && p.ITT() == NoTag {
			answered <- p
		}
		return false
	}
	s := f.dial(f.config())
	ping := func() *PDU {
		p := newPDU(OpNOPIn, false, 0x80)
		p.SetLUN(FlatLUN(4))
		p.SetUint32(offITT, NoTag)
		p.SetUint32(offTTT, 0x77)
		return p
	}
	f.conns[0].send(ping())
	p := <-answered
	require.EqualValues(t, 0x77, p.TTT())
	require.Equal(t, FlatLUN(4), p.LUN())
	require.True(t, p.Immediate())

	s.SetAnswerNOP(false)
	f.conns[0].send(ping())
	require.NoError(t, s.Ping(t.Context(), nil))
	require.Empty(t, answered)
	require.NoError(t, s.Close())
}

func TestAsyncMessageIsDelivered(t *testing.T) {
	f := newFake(t)
	s := f.dial(f.config())
	sense := fixedSense(UnitAttention, ASCReportedLUNsChanged)
	f.conns[0].send(asyncPDU(byte(AsyncSCSI), append([]byte{0, byte(len(sense))}, sense...)))
	m := <-s.Async()
	require.Equal(t, AsyncSCSI, m.Event)
	require.True(t, m.Sense.Is(UnitAttention, ASCReportedLUNsChanged))
	p := asyncPDU(byte(AsyncLogoutRequest), nil)
	p.SetUint16(42, 10)
	f.conns[0].send(p)
	m = <-s.Async()
	require.Equal(t, AsyncLogoutRequest, m.Event)
	require.EqualValues(t, 10, m.Parameters[2])
	require.NoError(t, s.Close())
}

func TestTwoConnectionsShareCmdSN(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	cfg.Keys = Keys{{"MaxConnections", "2"}}
	s := f.dial(cfg)
	second, err := s.AddConnection(t.Context(), "", 1)
	require.NoError(t, err)
	require.EqualValues(t, 1, second.CID())
	for range 10 {
		_, err := s.Unit(0).Run(t.Context(), TestUnitReady())
		require.NoError(t, err)
	}
	logins := f.requests(OpLoginReq)
	last := logins[len(logins)-1]
	require.EqualValues(t, 77, last.Uint16(offTSIH))
	require.EqualValues(t, 1, last.Uint16(offCID))
	keys, err := ParseKeys(last.Data)
	require.NoError(t, err)
	_, leadingOnly := keys.Get("MaxBurstLength")
	require.False(t, leadingOnly)
	require.NoError(t, s.Close())
}

func TestAnswerOnAnotherConnectionIsFound(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	s := f.dial(cfg)
	second, err := s.AddConnection(t.Context(), "", 1)
	require.NoError(t, err)
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() == OpSCSICommand {
			f.conns[0].send(reply(OpSCSIResponse, p))
			return true
		}
		return false
	}
	cmd := TestUnitReady()
	cmd.Conn = second
	_, err = s.Do(t.Context(), cmd)
	require.NoError(t, err)
	require.Contains(t, rulesOf(s.Violations()), RuleWrongConnection)
}

func TestLostConnectionEndsItsRequestsOnly(t *testing.T) {
	f := newFake(t)
	s := f.dial(f.config())
	second, err := s.AddConnection(t.Context(), "", 1)
	require.NoError(t, err)
	f.handle = func(c *fakeConn, p *PDU) bool { return p.Opcode() == OpSCSICommand }
	start := func(c *Conn) *Task {
		cmd := TestUnitReady()
		cmd.Conn = c
		task, err := s.Start(t.Context(), cmd)
		require.NoError(t, err)
		return task
	}
	lost, kept := start(second), start(s.Conns()[0])
	require.NoError(t, s.Ping(t.Context(), nil))
	second.Reset()
	_, err = lost.Wait(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	require.Error(t, second.Err())
	select {
	case <-kept.Done():
		t.Fatal("the other connection's task ended")
	default:
	}
	require.Len(t, s.Conns(), 1)
}

func TestPausedConnectionHandlesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSession(t)
		c := s.Conns()[0]
		c.Pause()
		task, err := s.Start(t.Context(), TestUnitReady())
		require.NoError(t, err)
		synctest.Wait() // all that can happen has happened
		select {
		case <-task.Done():
			t.Fatal("handled while paused")
		default:
		}
		c.Resume()
		_, err = task.Wait(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Close())
	})
}

func TestLongTextIsContinued(t *testing.T) {
	f := newFake(t)
	parts := []string{"TargetName=iqn.a:1\x00TargetAddress=1.1.1.1:3260,1\x00TargetN", "ame=iqn.a:2\x00", "TargetAddress=1.1.1.2:3260,2\x00"}
	n := 0
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() != OpTextReq {
			return false
		}
		r := reply(OpTextResp, p)
		r.Data = []byte(parts[n])
		if n++; n < len(parts) {
			r.BHS[1] = 0x40
			r.SetUint32(offTTT, 0x99)
		} else {
			r.SetUint32(offTTT, NoTag)
		}
		c.send(r)
		return true
	}
	s := f.dial(f.config())
	list, err := s.SendTargets(t.Context(), "All")
	require.NoError(t, err)
	require.Equal(t, []TargetRecord{
		{"iqn.a:1", []string{"1.1.1.1:3260,1"}}, {"iqn.a:2", []string{"1.1.1.2:3260,2"}},
	}, list)
	reqs := f.requests(OpTextReq)
	require.EqualValues(t, NoTag, reqs[0].TTT())
	require.EqualValues(t, 0x99, reqs[1].TTT())
	require.Empty(t, reqs[1].Data)
	require.NoError(t, s.Close())
}

func TestDiscovery(t *testing.T) {
	f := newFake(t)
	cfg := f.config()
	cfg.Target = ""
	list, err := Discover(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, []TargetRecord{{fakeTarget1, []string{"10.0.0.1:3260,1"}}}, list)
	keys, err := ParseKeys(f.requests(OpLoginReq)[0].Data)
	require.NoError(t, err)
	v, _ := keys.Get("SessionType")
	require.Equal(t, "Discovery", v)
	_, named := keys.Get("TargetName")
	require.False(t, named)
}

func TestContextEndLeavesLateAnswersLegal(t *testing.T) {
	f := newFake(t)
	var late *PDU
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() == OpSCSICommand && late == nil {
			late = p
			return true
		}
		return false
	}
	s := f.dial(f.config())
	task, err := s.Start(t.Context(), TestUnitReady())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = task.Wait(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Ping(t.Context(), nil))
	f.conns[0].send(reply(OpSCSIResponse, late))
	_, err = task.Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, s.Close())
}
