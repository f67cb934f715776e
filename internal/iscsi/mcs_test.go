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

func fourConnections(o *Options) {
	o.Limits = DefaultLimits()
	o.Limits.MaxConnections = 4
}

// together makes one session of n connections that number their requests
// together.
func together(r *rig, n int, keys string) []*iscsitest.Initiator {
	r.t.Helper()
	all := []*iscsitest.Initiator{r.connect()}
	all[0].Login(testTarget, "MaxConnections=8 "+keys)
	for cid := 1; cid < n; cid++ {
		i := r.connect()
		i.TSIH, i.CID, i.CmdSN = all[0].TSIH, uint16(cid), all[0].CmdSN
		i.ITT = uint32(1000 * cid)
		i.Login(testTarget, "")
		all = append(all, i)
	}
	return all
}

// next takes the session's next CmdSN for a request on connection i.
func next(all []*iscsitest.Initiator, i *iscsitest.Initiator) {
	sn := all[0].CmdSN
	for _, o := range all {
		o.CmdSN = sn + 1
	}
	i.CmdSN = sn
}

func TestSeveralConnections(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 4, "")
		require.Len(t, r.nexuses, 1, "one session, one nexus")
		five := r.connect()
		five.TSIH, five.CID = all[0].TSIH, 9
		a, _ := five.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginTooManyConnections, a.Status)

		// Commands run in the order of their numbers, whichever way they come,
		// and each is answered where it came.
		var order []uint32
		r.target.Enter = func(x *scsi.Task, _ bool) (scsi.Progress, bool) {
			order = append(order, x.Tag)
			return 0, true
		}
		var sent []*pdu.SCSICommand
		for n := range 8 {
			i := all[n%4]
			next(all, i)
			sent = append(sent, i.TestUnitReady())
			i.CmdSN = all[0].CmdSN
		}
		for n := 7; n >= 0; n-- {
			all[n%4].Send(sent[n], nil)
			synctest.Wait()
			require.Equal(t, n == 0, len(order) > 0)
		}
		for n, c := range sent {
			good(all[n%4], c)
			require.Equal(t, c.ITT, order[n])
		}
		for _, i := range all {
			ping(i)
		}
		require.Len(t, r.srv.Sessions()[0].Conns, 4)
	}, fourConnections)
}

// The loss of one connection ends its tasks and nothing else.
func TestLossOfOneConnection(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 2, "")
		kept := pending(r)
		next(all, all[0])
		a := all[0].Write10(0, 1)
		all[0].Send(a, make([]byte, 512))
		synctest.Wait()
		next(all, all[1])
		b := all[1].Write10(1, 1)
		all[1].Send(b, make([]byte, 512))
		require.Len(t, kept(), 2)
		all[1].Conn.Close()
		synctest.Wait()
		require.False(t, r.target.Detached())
		r.target.Finish(kept()[1])
		r.target.Finish(kept()[0])
		good(all[0], a)
		require.Len(t, r.target.Writes(), 1)
		require.Equal(t, all[0].ExpCmdSN+127, all[0].MaxCmdSN, "the slots of the lost tasks are free")
		time.Sleep(time.Minute)
		require.False(t, r.target.Detached())
		ping(all[0])
	}, fourConnections, func(o *Options) { o.PingInterval = time.Hour })
}

// Requests held for a connection that is gone do not hold the others.
func TestHeldRequestOfLostConnection(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 2, "")
		next(all, all[0])
		first := all[0].TestUnitReady()
		next(all, all[1])
		second := all[1].Write10(0, 1)
		all[1].Send(second, make([]byte, 512)) // early
		next(all, all[0])
		third := all[0].TestUnitReady()
		all[0].Send(third, nil)
		synctest.Wait()
		all[1].Conn.Close()
		synctest.Wait()
		all[0].Send(first, nil)
		good(all[0], first)
		good(all[0], third)
		require.Empty(t, r.target.Writes())
		require.Equal(t, all[0].ExpCmdSN+127, all[0].MaxCmdSN)
	}, fourConnections)
}

func TestLogoutWithSeveralConnections(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 3, "")
		all[0].Send(&pdu.LogoutRequest{Immediate: true, Reason: pdu.LogoutCloseConnection, CID: 2, ITT: 1, CmdSN: all[0].CmdSN}, nil)
		a, _ := iscsitest.Expect[*pdu.LogoutResponse](all[0])
		require.Equal(t, pdu.LogoutClosed, a.Response)
		all[2].Closed()
		ping(all[0])
		all[1].Send(&pdu.LogoutRequest{Immediate: true, Reason: pdu.LogoutCloseConnection, CID: 1, ITT: 1, CmdSN: all[1].CmdSN}, nil)
		iscsitest.Expect[*pdu.LogoutResponse](all[1])
		all[1].Closed()
		ping(all[0])
		require.False(t, r.target.Detached())
		all[0].Send(&pdu.LogoutRequest{Immediate: true, Reason: pdu.LogoutCloseSession, ITT: 1, CmdSN: all[0].CmdSN}, nil)
		iscsitest.Expect[*pdu.LogoutResponse](all[0])
		all[0].Closed()
		synctest.Wait()
		require.True(t, r.target.Detached())
	}, fourConnections)
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 3, "")
		all[1].Send(&pdu.LogoutRequest{Immediate: true, Reason: pdu.LogoutCloseSession, ITT: 1, CmdSN: all[1].CmdSN}, nil)
		iscsitest.Expect[*pdu.LogoutResponse](all[1])
		all[0].Closed()
		all[2].Closed()
		all[1].Closed()
		synctest.Wait()
		require.True(t, r.target.Detached())
	}, fourConnections)
}

// A function that ends several tasks ends those of all connections, and none
// of their answers follows its response.
func TestResetAcrossConnections(t *testing.T) {
	for _, reporting := range []string{"RFC3720", "ResponseFence"} {
		inMemory(t, func(t *testing.T, r *rig) {
			all := together(r, 3, "TaskReporting="+reporting)
			kept := pending(r)
			var writes []*pdu.SCSICommand
			for n := range 6 {
				i := all[n%3]
				next(all, i)
				w := i.Write10(uint32(n), 1)
				i.Send(w, make([]byte, 512))
				writes = append(writes, w)
				synctest.Wait()
			}
			require.Len(t, kept(), 6)
			r.target.Finish(kept()[1]) // answered on the second connection, not acknowledged

			q := all[0].TMF(pdu.TMFLogicalUnitReset, 0)
			start := time.Now()
			all[0].CmdSN = all[0].ExpCmdSN
			q.CmdSN = writes[5].CmdSN + 1
			all[0].Send(q, nil)
			good(all[1], writes[1])
			if reporting == "ResponseFence" {
				a, _ := iscsitest.Expect[*pdu.NOPIn](all[1]) // asks for the acknowledgement
				all[0].Silent(time.Second)
				all[1].Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: a.TTT, CmdSN: q.CmdSN, ExpStatSN: all[1].ExpStatSN}, nil)
				tmfAnswer(all[0], q, pdu.TMFComplete)
				require.Equal(t, time.Second, time.Since(start))

				// Nobody says anything before the response is acknowledged.
				for _, i := range all {
					i.CmdSN = q.CmdSN
				}
				next(all, all[1])
				c := all[1].TestUnitReady()
				all[1].Send(c, nil)
				all[1].Silent(time.Second)
				p, _ := iscsitest.Expect[*pdu.NOPIn](all[0])
				all[0].Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: p.TTT, CmdSN: q.CmdSN, ExpStatSN: all[0].ExpStatSN}, nil)
				good(all[1], c)
			} else {
				tmfAnswer(all[0], q, pdu.TMFComplete)
			}
			for _, x := range kept() {
				r.target.Finish(x)
			}
			for _, i := range all {
				i.Silent(time.Second)
			}
			require.Len(t, r.target.Writes(), 1)
		}, fourConnections, func(o *Options) { o.PingInterval = time.Hour })
	}
}

// A function may overtake, on its connection, commands that it ends: they are
// taken when they come, and neither executed nor answered.
func TestResetOvertakesCommands(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 3, "")
		next(all, all[1])
		w := all[1].Write10(0, 1)
		next(all, all[1])
		other := all[1].TestUnitReady()
		other.LUN = 1 << 48
		next(all, all[2])
		tur := all[2].TestUnitReady()
		next(all, all[0])
		q := all[0].TMF(pdu.TMFLogicalUnitReset, 0)
		all[0].Send(q, nil)
		tmfAnswer(all[0], q, pdu.TMFComplete)

		all[2].Send(tur, nil) // held
		all[1].Send(w, make([]byte, 512))
		all[1].Send(other, nil)
		a, _ := iscsitest.Expect[*pdu.SCSIResponse](all[1])
		require.Equal(t, other.ITT, a.ITT, "of another unit")
		all[1].Silent(time.Second)
		all[2].Silent(time.Second)
		r.requireSaw(ReasonEndedBefore)
		require.Empty(t, r.target.Writes())

		// That is all.
		next(all, all[2])
		after := all[2].TestUnitReady()
		require.Equal(t, q.CmdSN, after.CmdSN)
		all[2].Send(after, nil)
		good(all[2], after)
		require.Equal(t, after.CmdSN+1, all[2].ExpCmdSN)
		require.Equal(t, all[2].ExpCmdSN+127, all[2].MaxCmdSN)
		require.Empty(t, r.srv.sessions.all()[0].doomed)
	}, fourConnections)
}

// An initiator that does not acknowledge holds nobody up for ever: its
// connection ends for want of an answer to a ping, and if not, patience does.
func TestFenceIsBounded(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		3 * time.Second: 3 * time.Second,
		time.Hour:       fenceWait,
	} {
		inMemory(t, func(t *testing.T, r *rig) {
			all := together(r, 2, "TaskReporting=ResponseFence")
			q := all[0].TMF(pdu.TMFLogicalUnitReset, 0)
			next(all, all[1])
			c := all[1].TestUnitReady()
			all[1].Send(c, nil)
			good(all[1], c)
			start := time.Now()
			all[0].Send(q, nil)
			tmfAnswer(all[0], q, pdu.TMFComplete)
			requireWithin(t, want, 3*time.Second/pingSlots, time.Since(start))
		}, fourConnections, func(o *Options) { o.PingInterval, o.PingTimeout = time.Hour, timeout })
	}
}

// Newer commands that the SCSI layer ended along with the others are not left
// without an answer.
func TestNewerCommandsAreSpared(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 2, "")
		kept := pending(r)
		q := all[0].TMF(pdu.TMFLogicalUnitReset, 0) // its CmdSN is that of the write
		next(all, all[1])
		w := all[1].Write10(0, 1)
		all[1].Send(w, make([]byte, 512))
		require.Len(t, kept(), 1)
		all[0].Send(q, nil)
		a, _ := iscsitest.Expect[*pdu.SCSIResponse](all[1])
		require.Equal(t, w.ITT, a.ITT)
		require.Equal(t, uint8(scsi.Busy), a.Status)
		tmfAnswer(all[0], q, pdu.TMFComplete)
		require.Empty(t, r.target.Writes())
	}, fourConnections)
}

// The answer to PREEMPT AND ABORT is fenced.
func TestPreemptAndAbortIsFenced(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 2, "TaskReporting=ResponseFence")
		next(all, all[1])
		c := all[1].TestUnitReady()
		all[1].Send(c, nil)
		good(all[1], c)
		next(all, all[0])
		p := all[0].Command([16]byte{0x5f, 5})
		all[0].Send(p, nil)
		n, _ := iscsitest.Expect[*pdu.NOPIn](all[1])
		all[0].Silent(time.Second)
		all[1].Send(&pdu.NOPOut{Immediate: true, ITT: pdu.ReservedTag, TTT: n.TTT, CmdSN: all[0].CmdSN, ExpStatSN: all[1].ExpStatSN}, nil)
		checkCondition(all[0], p.ITT, scsi.ErrInvalidOpcode)
	}, fourConnections)
}

// A connection that is stuck does not keep a reset on another from ending its
// tasks.
func TestResetWithStuckOtherConnection(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		all := together(r, 2, "")
		release := stuck(r)
		next(all, all[1])
		w := all[1].Write10(99, 1)
		all[1].Send(w, make([]byte, 512))
		synctest.Wait()
		q := all[0].TMF(pdu.TMFLogicalUnitReset, 0)
		q.CmdSN = w.CmdSN + 1
		all[0].Send(q, nil)
		all[0].Silent(2 * time.Second)
		close(release)
		tmfAnswer(all[0], q, pdu.TMFComplete)
		all[1].Silent(time.Second)
		require.Empty(t, r.target.Writes())
		ping(all[1])
	}, fourConnections)
}
