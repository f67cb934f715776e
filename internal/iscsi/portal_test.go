package iscsi

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// Portals come and go while the server runs; connections stay.
func TestPortalsComeAndGo(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		second := iscsitest.NewListener("10.0.0.2:3260")
		require.NoError(t, r.srv.AddPortal(Portal{TPGT: 1, Listener: second}))
		require.Error(t, r.srv.AddPortal(Portal{TPGT: 1, Listener: iscsitest.NewListener("10.0.0.2:3260")}), "twice")
		i := iscsitest.Connect(t, second)
		i.Login(testTarget, "")
		require.Equal(t, "10.0.0.2:3260", r.srv.Sessions()[0].Conns[0].Portal)
		require.NoError(t, r.srv.RemovePortal("10.0.0.2:3260"))
		require.Error(t, r.srv.RemovePortal("10.0.0.2:3260"))
		require.Nil(t, r.srv.Addr("10.0.0.2:3260"))
		_, err := second.Dial()
		require.Error(t, err)
		ping(i)
		require.NoError(t, r.srv.AddPortal(Portal{TPGT: 1, Listener: iscsitest.NewListener("10.0.0.2:3260")}))
	})
}

// A target is found through its portal groups only.
func TestPortalGroups(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		second := iscsitest.NewListener("10.0.0.2:3260")
		require.NoError(t, r.srv.AddPortal(Portal{TPGT: 2, Listener: second}))
		i := iscsitest.Connect(t, second)
		a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, names)
		require.Equal(t, pdu.LoginTargetNotFound, a.Status)
		n := *r.node
		n.Groups = []uint16{1, 2}
		r.attach = func(scsi.Nexus) (Target, error) { return iscsitest.NewTarget(), nil }
		r.srv.SetNodes([]*Node{&n})
		i = iscsitest.Connect(t, second)
		require.Equal(t, "2", i.Login(testTarget, "")[0].Value)
		j := r.login("") // the same initiator port, another target port: another nexus
		ping(i)
		ping(j)
		require.Equal(t, testTarget+",t,0x0002", r.nexuses[0].Target)
		require.Equal(t, testTarget+",t,0x0001", r.nexuses[1].Target)
	})
}

// brokenListener fails until it is mended.
type brokenListener struct {
	*iscsitest.Listener
	broken atomic.Bool
	tries  atomic.Int32
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.tries.Add(1); l.broken.Load() {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// When descriptors run out, accepting waits and goes on later.
func TestAcceptOutOfDescriptors(t *testing.T) {
	var failures atomic.Int32
	inMemory(t, func(t *testing.T, r *rig) {
		l := &brokenListener{Listener: iscsitest.NewListener("10.0.0.2:3260")}
		l.broken.Store(true)
		require.NoError(t, r.srv.AddPortal(Portal{TPGT: 1, Listener: l}))
		time.Sleep(10 * time.Second)
		require.Less(t, l.tries.Load(), int32(30), "no busy loop")
		require.Equal(t, l.tries.Load(), failures.Load())
		l.broken.Store(false)
		time.Sleep(time.Second)
		i := iscsitest.Connect(t, l.Listener)
		i.Login(testTarget, "")
		l.broken.Store(true)
		require.NoError(t, r.srv.RemovePortal("10.0.0.2:3260"))
		ping(i)
	}, func(o *Options) {
		o.Events.AcceptFailed = func(portal string, err error) {
			if portal == "10.0.0.2:3260" && errors.Is(err, syscall.EMFILE) {
				failures.Add(1)
			}
		}
	})
}

func TestAddPortalFails(t *testing.T) {
	s := NewServer(Options{})
	require.Error(t, s.AddPortal(Portal{Address: "256.0.0.1:1"}))
	require.NoError(t, s.Shutdown(t.Context()))
	require.Error(t, s.AddPortal(Portal{Address: "127.0.0.1:0"}), "after the end")
}

// Initiators hear at once that their units changed, if they listen for it.
func TestAnnounceLUNs(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		d := r.connect()
		d.ISID[5]++
		d.Login("", "")
		r.srv.AnnounceLUNs("iqn.2026-11.test:other")
		r.srv.AnnounceLUNs(testTarget)
		a, data := iscsitest.Expect[*pdu.AsyncMessage](i)
		require.Equal(t, pdu.AsyncSCSIEvent, a.Event)
		sense, _, err := pdu.SplitSense(data)
		require.NoError(t, err)
		require.Equal(t, []byte{6, 0x3f, 0x0e}, []byte{sense[2], sense[12], sense[13]})
		d.Silent(time.Second)
		ping(i)
		i.Send(&pdu.LogoutRequest{Immediate: true, ITT: i.NextITT(), CmdSN: i.CmdSN}, nil)
		iscsitest.Expect[*pdu.LogoutResponse](i)
		r.srv.AnnounceLUNs(testTarget)
		synctest.Wait()
		i.Silent(time.Second)
	})
}

// All that is told outward, once through.
func TestEvents(t *testing.T) {
	var mu sync.Mutex
	var told []string
	tell := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, s)
	}
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("DefaultTime2Retain=0")
		release := stuck(r)
		i.Send(i.Write10(99, 1), make([]byte, 512))
		time.Sleep(time.Second)
		close(release)
		iscsitest.Expect[*pdu.SCSIResponse](i)
		q := i.TMF(pdu.TMFLogicalUnitReset, 0)
		i.Send(q, nil)
		tmfAnswer(i, q, pdu.TMFComplete)
		time.Sleep(time.Minute) // does not answer pings
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []string{"connected", "session up", "connection up", "left behind", "task management", "ping timeout", "connection down ping_timeout", "session down ping_timeout"}, told)
	}, func(o *Options) {
		o.Events = &Events{
			Connected: func(ConnInfo) { tell("connected") },
			ConnUp:    func(SessionInfo, ConnInfo) { tell("connection up") },
			ConnDown: func(_ SessionInfo, _ ConnInfo, why Reason, _ error, _ ConnStats) {
				tell("connection down " + string(why))
			},
			SessionUp:      func(SessionInfo) { tell("session up") },
			SessionDown:    func(_ SessionInfo, why Reason) { tell("session down " + string(why)) },
			PingTimeout:    func(SessionInfo, ConnInfo) { tell("ping timeout") },
			TaskManagement: func(SessionInfo, scsi.Function, scsi.LUN, scsi.TMFResponse) { tell("task management") },
			LeftBehind:     func(SessionInfo, ConnInfo, scsi.LUN, [16]byte) { tell("left behind") },
		}
	})
}

func TestErrorsSayWhatHappened(t *testing.T) {
	e := &LoginError{Status: pdu.LoginTargetError, Reason: ReasonLoginAttach, Err: syscall.ENOMEM}
	require.ErrorIs(t, e, syscall.ENOMEM)
	require.Equal(t, "iscsi: login_attach: target error (0300): cannot allocate memory", e.Error())
	require.Equal(t, "SHA3-256", CHAPSHA3256.String())
	require.Equal(t, "algorithm 99", CHAPAlgorithm(99).String())
}
