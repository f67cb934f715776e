package iscsi

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
)

// requireWithin wants a time limit that is kept, and ends a slot later at most.
func requireWithin(t *testing.T, limit, slot, took time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, took, limit)
	require.LessOrEqual(t, took, limit+slot)
}

// A quiet initiator is asked for a sign of life, and cut off without one.
func TestPing(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Retain=0")
		const slot = 5 * time.Second / pingSlots
		start := time.Now()
		var last *pdu.NOPIn
		for range 5 {
			a, data := iscsitest.Expect[*pdu.NOPIn](i)
			require.Equal(t, pdu.ReservedTag, a.ITT)
			require.NotEqual(t, pdu.ReservedTag, a.TTT)
			require.Empty(t, data)
			last = a
			i.Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: a.TTT, LUN: a.LUN, CmdSN: i.CmdSN, ExpStatSN: i.ExpStatSN}, nil)
		}
		require.InDelta(t, 25*time.Second, time.Since(start), float64(slot))

		// An answer to something else is no answer.
		iscsitest.Expect[*pdu.NOPIn](i)
		i.Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: last.TTT, CmdSN: i.CmdSN}, nil)
		start = time.Now()
		i.Closed()
		requireWithin(t, 5*time.Second, slot, time.Since(start))
		r.requireSaw(ReasonPingTimeout)
		require.Empty(t, r.srv.Sessions())
	})
}

// Where nobody is asked, silence is no reason to end a session.
func TestNoPings(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		time.Sleep(time.Hour)
		require.Len(t, r.srv.Sessions(), 1)
		ping(i) // whose answer is the first that the initiator gets
	}, func(o *Options) { o.NoPings = true })
}

// What is set while sessions are there counts for them at once.
func TestSetPings(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Retain=0")
		answer := func(after time.Duration) {
			start := time.Now()
			a, _ := iscsitest.Expect[*pdu.NOPIn](i)
			require.InDelta(t, after, time.Since(start), float64(after/pingSlots))
			i.Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: a.TTT, LUN: a.LUN, CmdSN: i.CmdSN, ExpStatSN: i.ExpStatSN}, nil)
			synctest.Wait()
		}
		answer(5 * time.Second)
		r.srv.SetPings(20*time.Second, 20*time.Second)
		answer(20 * time.Second)
		r.srv.SetPings(0, 20*time.Second)
		time.Sleep(time.Hour)
		require.Len(t, r.srv.Sessions(), 1)
		r.srv.SetPings(2*time.Second, time.Second)
		start := time.Now()
		iscsitest.Expect[*pdu.NOPIn](i) // at once: it has been silent for an hour
		i.Closed()
		requireWithin(t, time.Second, 2*time.Second/pingSlots, time.Since(start))
		r.requireSaw(ReasonPingTimeout)
	})
}

// A busy initiator is not asked.
func TestNoPingWhileBusy(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		for range 20 {
			time.Sleep(4 * time.Second)
			ping(i)
		}
	})
}

func TestNOPOutEcho(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxRecvDataSegmentLength=4096")
		for _, n := range []int{0, 1, 8, 512, 513, 4096, 5000, 200000} {
			data := pattern(n, 5)
			for _, immediate := range []bool{true, false} {
				q := &pdu.NOPOut{Immediate: immediate, LUN: 3 << 48, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}
				if !immediate {
					i.CmdSN++
				}
				i.Send(q, data)
				a, got := iscsitest.Expect[*pdu.NOPIn](i)
				require.Equal(t, q.ITT, a.ITT)
				require.Equal(t, q.LUN, a.LUN)
				require.Equal(t, pdu.ReservedTag, a.TTT)
				require.Equal(t, string(data[:min(n, 4096)]), string(got))
			}
		}
		require.Equal(t, i.CmdSN+127, i.MaxCmdSN)
		i.Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil)
		i.Silent(time.Second)
	})
}

// An initiator that does not read cannot make us keep more than is bounded,
// keeps nobody else waiting, and is cut off.
func TestSlowReader(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Retain=0 MaxRecvDataSegmentLength=262144")
		go func() { // until the connection is cut
			for {
				c := i.Read10(0, 2048)
				if _, err := i.Conn.Write(i.Encode(c, nil, nil)); err != nil {
					return
				}
			}
		}()
		time.Sleep(5 * time.Second)
		st := r.srv.Sessions()[0]
		require.LessOrEqual(t, st.Conns[0].Unsent, r.srv.opt.SessionBytes+1<<20)
		other := iscsitest.New(t, dial(t, r))
		other.ISID[5]++
		other.Login(testTarget, "")
		ping(other)
		time.Sleep(30 * time.Second)
		r.requireSaw(ReasonSlowReader)
	})
}

// The same with requests that need no data of ours.
func TestSlowReaderOfPings(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxRecvDataSegmentLength=262144")
		b := i.Encode(&pdu.NOPOut{Immediate: true, ITT: 1, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil, make([]byte, 100000))
		var sent atomic.Int32
		go func() {
			for {
				if _, err := i.Conn.Write(b); err != nil {
					return
				}
				sent.Add(1)
			}
		}()
		time.Sleep(5 * time.Second)
		require.Less(t, sent.Load(), int32(20))
		require.Less(t, r.srv.Sessions()[0].Conns[0].Unsent, controlBacklog+2*100000)
		time.Sleep(30 * time.Second)
		r.requireSaw(ReasonSlowReader)
	})
}

// A slow reader that reads at last gets everything.
func TestReaderResumes(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxRecvDataSegmentLength=262144")
		want := store(i, 0, 2048)
		var sent []*pdu.SCSICommand
		for range 50 {
			c := i.Read10(0, 2048)
			i.Send(c, nil)
			sent = append(sent, c)
		}
		time.Sleep(20 * time.Second)
		for _, c := range sent {
			got, _ := collectRead(i, c, 262144, 262144)
			require.Equal(t, want, got)
		}
	})
}

// An initiator that owes data does not keep memory for ever.
func TestDataOutStalls(t *testing.T) {
	pieces := func(i *iscsitest.Initiator) []byte {
		return i.Encode(&pdu.NOPOut{Immediate: true, ITT: 1, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil, make([]byte, 40000))
	}
	for _, c := range []struct {
		reason Reason
		play   func(i *iscsitest.Initiator)
	}{
		{ReasonDataOutStalled, func(i *iscsitest.Initiator) {
			i.Send(i.Write10(0, 8), nil)
			for { // it does answer pings
				p, _, err := i.Read()
				if err != nil {
					return
				}
				if a, ok := p.(*pdu.NOPIn); ok {
					i.Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: a.TTT, CmdSN: i.CmdSN}, nil)
				}
			}
		}},
		{ReasonPDUStalled, func(i *iscsitest.Initiator) { i.SendRaw(pieces(i)[:20000]) }},
		{ReasonPDUStalled, func(i *iscsitest.Initiator) {
			go io.Copy(io.Discard, i.Conn)
			for _, x := range pieces(i)[:100] { // a byte a second is no progress
				if _, err := i.Conn.Write([]byte{x}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}},
	} {
		inMemory(t, func(t *testing.T, r *rig) {
			i := r.login("DefaultTime2Retain=0")
			start := time.Now()
			c.play(i)
			for len(r.srv.Sessions()) > 0 && time.Since(start) < 2*time.Minute {
				time.Sleep(time.Second)
			}
			require.LessOrEqual(t, time.Since(start), 36*time.Second)
			r.requireSaw(c.reason)
			require.Empty(t, r.target.Writes())
		}, func(o *Options) { o.PingTimeout = time.Hour })
	}
}

// Logins that take too long, or say nothing.
func TestLoginTimeouts(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.connect()
		start := time.Now()
		i.Closed()
		require.Equal(t, r.srv.opt.HeaderTimeout, time.Since(start))
		r.requireSaw(ReasonLoginTimeout)
	})
	inMemory(t, func(t *testing.T, r *rig) { // a byte every second
		i := r.connect()
		b := i.Encode(i.LoginRequest(1, 3, true), nil, iscsitest.Text(names).Append(nil))
		start := time.Now()
		for _, x := range b {
			if _, err := i.Conn.Write([]byte{x}); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, time.Since(start), r.srv.opt.HeaderTimeout+time.Second)
	})
	inMemory(t, func(t *testing.T, r *rig) { // one request after the other
		i := r.connect()
		start := time.Now()
		i.LoginStep(1, 3, false, names)
		for {
			time.Sleep(2 * time.Second)
			if _, err := i.Conn.Write(i.Encode(i.LoginRequest(1, 3, false), nil, nil)); err != nil {
				break
			}
			if _, _, err := i.Read(); err != nil {
				break
			}
		}
		require.LessOrEqual(t, time.Since(start), r.srv.opt.LoginTimeout+2*time.Second)
	})
	inMemory(t, func(t *testing.T, r *rig) { // without end
		i := r.connect()
		a, _ := i.LoginStep(1, 3, false, names)
		for n := 1; a.Status == 0; n++ {
			require.LessOrEqual(t, n, r.srv.opt.LoginRounds)
			a, _ = i.LoginStep(1, 3, false, "")
		}
		require.Equal(t, pdu.LoginInitiatorError, a.Status)
		i.Closed()
		r.requireSaw(ReasonLoginRounds)
	})
	inMemory(t, func(t *testing.T, r *rig) { // to be continued, for ever
		i := r.connect()
		for n := 1; ; n++ {
			require.LessOrEqual(t, n, loginParts+1)
			q := i.LoginRequest(1, 3, false)
			q.Continue = true
			if _, err := i.Conn.Write(i.Encode(q, nil, nil)); err != nil {
				break
			}
			if _, _, err := i.Read(); err != nil {
				break
			}
		}
		r.requireSaw(ReasonLoginRounds)
	})
	inMemory(t, func(t *testing.T, r *rig) { // cut in the middle
		i := r.connect()
		i.SendRaw(make([]byte, 0))
		i.Conn.Write(i.Encode(i.LoginRequest(1, 3, true), nil, nil)[:20])
		i.Conn.Close()
		r.requireSaw(ReasonLoginIO)
	})
	inMemory(t, func(t *testing.T, r *rig) { // 16 KiB and more of text
		i := r.connect()
		for {
			q := i.LoginRequest(1, 3, false)
			q.Continue = true
			i.Send(q, make([]byte, 8000))
			if a, _ := i.LoginAnswer(); a.Status != 0 {
				require.Equal(t, pdu.LoginInitiatorError, a.Status)
				break
			}
		}
		i.Closed()
		r.requireSaw(ReasonLoginTooLong)
	})
	inMemory(t, func(t *testing.T, r *rig) { // an answer that would not fit
		i := r.connect()
		text := iscsitest.Text(names)
		for n := range 120 {
			text.Add("X-"+string(pattern(0, 0))+keyFormat(uint32(n))+"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "")
		}
		b := text.Append(nil)
		require.Less(t, len(b), loginText)
		q := i.LoginRequest(1, 3, false)
		q.Continue = true
		i.Send(q, b[:5000])
		i.LoginAnswer()
		q.Continue, q.DataSegmentLength = false, 0
		i.Send(q, b[5000:])
		a, _ := i.LoginAnswer()
		require.Equal(t, pdu.LoginInitiatorError, a.Status)
		r.requireSaw(ReasonLoginReplyTooLong)
	})
}

// faulty is a connection whose reads or writes fail at will.
type faulty struct {
	net.Conn
	read, write error
}

func (f *faulty) Read(p []byte) (int, error) {
	if f.read != nil {
		return 0, f.read
	}
	return f.Conn.Read(p)
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.write != nil {
		return 0, f.write
	}
	return f.Conn.Write(p)
}

func TestConnectionErrors(t *testing.T) {
	for want, set := range map[Reason]func(*faulty){
		ReasonReadError:  func(f *faulty) { f.read = errors.New("reset") },
		ReasonWriteError: func(f *faulty) { f.write = io.ErrShortWrite },
	} {
		inMemory(t, func(t *testing.T, r *rig) {
			var f *faulty
			l := &wrapped{iscsitest.NewListener("10.0.0.2:3260"), func(c net.Conn) net.Conn {
				f = &faulty{Conn: c}
				return f
			}}
			require.NoError(t, r.srv.AddPortal(Portal{TPGT: 1, Listener: l}))
			nc, err := l.Dial()
			require.NoError(t, err)
			i := iscsitest.New(t, nc)
			i.Login(testTarget, "")
			synctest.Wait()
			set(f)
			for range 3 {
				i.Conn.Write(i.Encode(&pdu.NOPOut{Immediate: true, ITT: 1, TTT: pdu.ReservedTag, CmdSN: i.CmdSN}, nil, nil))
				synctest.Wait()
			}
			r.requireSaw(want)
		})
	}
}

type wrapped struct {
	*iscsitest.Listener
	wrap func(net.Conn) net.Conn
}

func (w *wrapped) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.wrap(c), nil
}

func dial(t *testing.T, r *rig) net.Conn {
	nc, err := r.l.Dial()
	require.NoError(t, err)
	return nc
}
