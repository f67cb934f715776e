package iscsi

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// RFC 7143 §6.3.5: the same nexus logs in again; the old session ends at once,
// stuck or not, and says nothing.
func TestSessionReinstatement(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		first, second := iscsitest.NewTarget(), iscsitest.NewTarget()
		targets := []*iscsitest.Target{first, second}
		r.attach = func(scsi.Nexus) (Target, error) {
			if len(targets) == 1 {
				require.True(t, first.Detached(), "the old nexus is let go of before the new one")
			}
			x := targets[0]
			targets = targets[1:]
			return x, nil
		}
		r.target = first
		i := r.login("")
		release := stuck(r)
		defer close(release)
		w := i.Write10(99, 1)
		i.Send(w, make([]byte, 512))
		synctest.Wait()

		start := time.Now()
		again := r.login("")
		require.Less(t, time.Since(start), time.Second)
		require.NotEqual(t, i.TSIH, again.TSIH)
		i.Closed()
		r.requireSaw(ReasonReinstated)
		require.Len(t, r.srv.Sessions(), 1)
		c := again.TestUnitReady()
		again.Send(c, nil)
		good(again, c)
		require.Equal(t, r.nexuses[0], r.nexuses[1])
	})
}

// Other ISIDs, other initiators: other sessions.
func TestSessionsStandSideBySide(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		r.attach = func(scsi.Nexus) (Target, error) { return iscsitest.NewTarget(), nil }
		all := []*iscsitest.Initiator{r.connect(), r.connect(), r.connect()}
		all[1].ISID[5]++
		all[2].Name = "iqn.2026-11.test:other"
		for _, i := range all {
			i.Login(testTarget, "")
		}
		for _, i := range all {
			ping(i)
		}
		require.Len(t, r.srv.Sessions(), 3)
	})
}

// After the loss of its last connection a session waits Time2Wait+Time2Retain.
func TestSessionTimeout(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Wait=3 DefaultTime2Retain=10")
		kept := pending(r)
		w := i.Write10(0, 1)
		i.Send(w, make([]byte, 512))
		require.Len(t, kept(), 1)
		i.Conn.Close()
		time.Sleep(12 * time.Second)
		require.False(t, r.target.Detached())
		require.Len(t, r.srv.Sessions(), 1)
		require.Equal(t, scsi.AbortTask, r.target.Managed()[0].Function, "its tasks end at once")
		time.Sleep(2 * time.Second)
		require.True(t, r.target.Detached())
		require.Empty(t, r.srv.Sessions())
		r.requireSaw(ReasonSessionTimeout)
	})
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Retain=0")
		i.Conn.Close()
		synctest.Wait()
		require.True(t, r.target.Detached(), "nothing is retained: it ends at once")
		r.requireSaw(ReasonPeerClosed)
	})
}

// A session without connections may be continued by a new one. RFC 7143 §6.3.1.
func TestSessionContinues(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		c := i.TestUnitReady()
		i.Send(c, nil)
		good(i, c)
		i.Conn.Close()
		time.Sleep(time.Second)

		for _, cid := range []uint16{0, 5} {
			again := r.connect()
			again.TSIH, again.CID, again.CmdSN = i.TSIH, cid, i.CmdSN
			again.Login(testTarget, "")
			require.Equal(t, i.TSIH, again.TSIH)
			c = again.TestUnitReady()
			again.Send(c, nil)
			good(again, c)
			i.CmdSN = again.CmdSN
			again.Conn.Close()
			time.Sleep(30 * time.Second / 2)
		}
		require.False(t, r.target.Detached())
		time.Sleep(30 * time.Second)
		require.True(t, r.target.Detached())
	})
}

// The same CID again is an implicit logout of the old connection.
// RFC 7143 §6.3.4.
func TestConnectionReinstatement(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		kept := pending(r)
		w := i.Write10(0, 1)
		i.Send(w, make([]byte, 512))
		require.Len(t, kept(), 1)
		again := r.connect()
		again.TSIH, again.CmdSN = i.TSIH, i.CmdSN
		again.Login(testTarget, "")
		require.Equal(t, i.TSIH, again.TSIH)
		i.Closed()
		r.requireSaw(ReasonConnReinstated)
		require.False(t, r.target.Detached())
		r.target.Finish(kept()[0])
		require.Empty(t, r.target.Writes(), "the tasks of the old one are over")
		c := again.TestUnitReady()
		again.Send(c, nil)
		good(again, c)
	})
}

// One connection is what was agreed.
func TestTooManyConnections(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		more := r.connect()
		more.TSIH, more.CID = i.TSIH, 1
		a, _ := more.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginTooManyConnections, a.Status)
		more.Closed()
		r.requireSaw(ReasonLoginTooManyConns)
		ping(i)
	})
}

func TestLogout(t *testing.T) {
	for _, c := range []struct {
		reason pdu.LogoutReason
		cid    uint16
		want   pdu.LogoutResult
		ends   bool
	}{
		{pdu.LogoutCloseSession, 0, pdu.LogoutClosed, true},
		{pdu.LogoutCloseSession, 9, pdu.LogoutClosed, true},
		{pdu.LogoutCloseConnection, 0, pdu.LogoutClosed, true},
		{pdu.LogoutCloseConnection, 9, pdu.LogoutNoCID, false},
		{pdu.LogoutForRecovery, 0, pdu.LogoutRecoveryUnsupported, false},
	} {
		for _, immediate := range []bool{true, false} {
			inMemory(t, func(t *testing.T, r *rig) {
				i := r.login("")
				kept := pending(r)
				w := i.Write10(0, 1)
				i.Send(w, make([]byte, 512))
				require.Len(t, kept(), 1)
				q := &pdu.LogoutRequest{Immediate: immediate, Reason: c.reason, CID: c.cid, ITT: i.NextITT(), CmdSN: i.CmdSN}
				if !immediate {
					i.CmdSN++
				}
				i.Send(q, nil)
				a, _ := iscsitest.Expect[*pdu.LogoutResponse](i)
				require.Equal(t, q.ITT, a.ITT)
				require.Equal(t, c.want, a.Response)
				require.EqualValues(t, 2, a.Time2Wait)
				if !c.ends {
					ping(i)
					r.target.Finish(kept()[0])
					good(i, w)
					return
				}
				r.target.Finish(kept()[0])
				i.Silent(time.Second)
				require.Empty(t, r.target.Writes())
				i.Closed() // we do, if the initiator does not
				r.requireSaw(ReasonLogout)
				require.True(t, r.target.Detached())
			})
		}
	}
}

// After a logout nothing is executed any more. RFC 7143 §11.14.
func TestRequestsAfterLogout(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		q := &pdu.LogoutRequest{Immediate: true, ITT: i.NextITT(), CmdSN: i.CmdSN}
		w := i.Write10(0, 1)
		go i.Conn.Write(append(i.Encode(q, nil, nil), i.Encode(w, nil, make([]byte, 512))...))
		iscsitest.Expect[*pdu.LogoutResponse](i)
		i.Closed()
		require.Empty(t, r.target.Writes())
		r.requireSaw(ReasonAfterLogout)
	})
}

func TestLogoutForUnknownReason(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		i.Send(&pdu.LogoutRequest{Immediate: true, Reason: 3, ITT: i.NextITT(), CmdSN: i.CmdSN}, nil)
		a, _ := iscsitest.Expect[*pdu.Reject](i)
		require.Equal(t, pdu.RejectInvalidField, a.Reason)
		r.requireSaw(ReasonLogoutReason)
		ping(i)
	})
}

func TestShutdown(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		half := r.connect()
		other := iscsitest.Connect(t, r.l)
		other.ISID[5]++
		other.Login(testTarget, "")
		done := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
			defer cancel()
			done <- r.srv.Shutdown(ctx)
		}()
		a, _ := iscsitest.Expect[*pdu.AsyncMessage](i)
		require.Equal(t, pdu.AsyncLogoutRequest, a.Event)
		require.EqualValues(t, logoutGrace, a.Param3)
		_, err := r.l.Dial()
		require.Error(t, err, "no new connections")
		b, _ := half.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginServiceUnavailable, b.Status)
		half.Closed()

		c := i.TestUnitReady()
		i.Send(c, nil)
		good(i, c)
		i.Send(&pdu.LogoutRequest{Immediate: true, ITT: i.NextITT(), CmdSN: i.CmdSN}, nil)
		iscsitest.Expect[*pdu.LogoutResponse](i)
		i.Conn.Close()
		require.ErrorIs(t, <-done, context.DeadlineExceeded, "one of them never logs out")
		other.Closed()
		require.True(t, r.target.Detached())
		r.requireSaw(ReasonShutdown)
		r.requireSaw(ReasonLoginUnavailable)
	})
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			iscsitest.Expect[*pdu.AsyncMessage](i)
			i.Send(&pdu.LogoutRequest{Immediate: true, ITT: i.NextITT(), CmdSN: i.CmdSN}, nil)
			iscsitest.Expect[*pdu.LogoutResponse](i)
			i.Conn.Close()
		}()
		require.NoError(t, r.srv.Shutdown(r.t.Context()))
		<-gone
	})
}

// While starting up, "come back later" and not "unknown": initiators give up
// on the latter.
func TestLoginBeforeServe(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		r.srv.state.Store(stateStarting)
		r.srv.SetNodes(nil)
		i := r.connect()
		a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginServiceUnavailable, a.Status)
		i.Closed()
	})
}

func TestRemovedTargetEndsItsSessions(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		r.srv.SetNodes([]*Node{r.node})
		ping(i)
		n := *r.node
		n.Groups = []uint16{2}
		r.srv.SetNodes([]*Node{&n})
		i.Closed()
		r.requireSaw(ReasonTargetRemoved)
		i = r.connect()
		a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginTargetNotFound, a.Status)
	})
}

func TestKillSession(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		require.False(t, r.srv.KillSession(4711))
		require.True(t, r.srv.KillSession(r.srv.Sessions()[0].ID))
		require.True(t, r.target.Detached(), "at once, whatever the connection does")
		a, _ := iscsitest.Expect[*pdu.AsyncMessage](i)
		require.Equal(t, pdu.AsyncSessionDropped, a.Event)
		require.EqualValues(t, []uint16{2, 20}, []uint16{a.Param2, a.Param3})
		i.Closed()
		r.requireSaw(ReasonKilled)
		require.Empty(t, r.srv.Sessions())
	})
}

// What Attach says is what the initiator hears.
func TestAttachFails(t *testing.T) {
	for _, c := range []struct {
		err  error
		want pdu.LoginStatus
	}{
		{context.Canceled, pdu.LoginTargetError},
		{&LoginError{Status: pdu.LoginOutOfResources, Reason: ReasonLoginAttach}, pdu.LoginOutOfResources},
	} {
		inMemory(t, func(t *testing.T, r *rig) {
			r.attach = func(scsi.Nexus) (Target, error) { return nil, c.err }
			i := r.connect()
			a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
			require.Equal(t, c.want, a.Status)
			i.Closed()
			r.requireSaw(ReasonLoginAttach)
			require.Empty(t, r.srv.Sessions())
		})
	}
}

func TestRedirect(t *testing.T) {
	for forGood, want := range map[bool]pdu.LoginStatus{false: pdu.LoginMovedTemporarily, true: pdu.LoginMovedPermanently} {
		inMemory(t, func(t *testing.T, r *rig) {
			r.node.Redirect = func(InitiatorInfo) (string, bool) { return "[fe80::1]:3260", forGood }
			i := r.connect()
			a, text := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
			require.Equal(t, want, a.Status)
			require.Equal(t, iscsitest.Text("TargetAddress=[fe80::1]:3260"), text)
			i.Closed()
			r.requireSaw(ReasonLoginRedirected)
		})
	}
}

// A connection that is replaced has calls that do not come back: the new one
// is told to try later, since a late write could overtake its own.
func TestConnectionReinstatementWaits(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		release := stuck(r)
		defer close(release)
		w := i.Write10(99, 1)
		i.Send(w, make([]byte, 512))
		time.Sleep(time.Second)
		again := r.connect()
		again.TSIH, again.CmdSN = i.TSIH, i.CmdSN
		a, _ := again.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginServiceUnavailable, a.Status)
		again.Closed()
		r.requireSaw(ReasonLoginSuperseded)
	})
}

func TestNoTSIHLeft(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		first := r.login("")
		sess := r.srv.sessions.all()[0]
		for n := range 1 << 16 {
			if uint16(n) != 0 && uint16(n) != first.TSIH {
				r.srv.sessions.byTSIH[uint16(n)] = sess
			}
		}
		i := r.connect()
		i.ISID[5]++
		a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginOutOfResources, a.Status)
		r.requireSaw(ReasonLoginNoTSIH)
		clear(r.srv.sessions.byTSIH)
		r.srv.sessions.byTSIH[first.TSIH] = sess
	})
}

// A TSIH that was freed does not come back soon.
func TestTSIHsAreFresh(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		r.srv.sessions.lastTSIH = 1<<16 - 3
		seen := map[uint16]bool{0: true}
		for range 10 {
			i := r.login("DefaultTime2Retain=0")
			require.False(t, seen[i.TSIH])
			seen[i.TSIH] = true
			i.Conn.Close()
			synctest.Wait()
		}
	})
}
