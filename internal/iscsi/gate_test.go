package iscsi

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

func TestGate(t *testing.T) {
	o := (&Options{MaxLogins: 5, MaxLoginsPerSource: 2, LoginFailures: 3}).withDefaults()
	var g gate
	now := time.Unix(1e9, 0)
	ip := netip.MustParseAddr
	a, b := ip("10.0.0.1"), ip("10.0.0.2")
	require.Empty(t, g.enter(&o, a, now))
	require.Empty(t, g.enter(&o, a, now))
	require.Equal(t, ReasonTooManyLoginsFromSource, g.enter(&o, a, now))
	require.Empty(t, g.enter(&o, b, now))
	require.Empty(t, g.enter(&o, ip("2001:db8::1"), now))
	require.Empty(t, g.enter(&o, ip("2001:db8::2"), now), "the second of the same /64")
	require.Equal(t, ReasonTooManyLogins, g.enter(&o, ip("10.0.0.3"), now))
	g.leave(&o, ip("2001:db8::9"), now, false)
	require.Empty(t, g.enter(&o, ip("2001:db8::ffff"), now))
	g.leave(&o, ip("2001:db8::1"), now, false)
	require.Empty(t, g.enter(&o, ip("2001:db8:0:1::1"), now), "another /64")

	// Failures: three a minute.
	g.leave(&o, b, now, true)
	for range 2 {
		require.Empty(t, g.enter(&o, b, now))
		g.leave(&o, b, now, true)
	}
	require.Equal(t, ReasonLoginBackOff, g.enter(&o, b, now))
	now = now.Add(20 * time.Second)
	require.Empty(t, g.enter(&o, b, now), "one of them has faded")
	g.leave(&o, b, now, true)
	require.Equal(t, ReasonLoginBackOff, g.enter(&o, b, now))
	now = now.Add(time.Minute)
	require.Empty(t, g.enter(&o, b, now))
	g.leave(&o, b, now, false)
	require.NotContains(t, g.sources, sourceOf(b), "nothing is kept of those who behave")
}

// Failed sources are not remembered without end.
func TestGateForgets(t *testing.T) {
	o := Options{}.withDefaults()
	var g gate
	now := time.Unix(1e9, 0)
	for n := range 10 * maxSources {
		a := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
		require.Empty(t, g.enter(&o, a, now))
		g.leave(&o, a, now, true)
		now = now.Add(time.Millisecond)
	}
	require.LessOrEqual(t, len(g.sources), 2*maxSources)
	require.Zero(t, g.waiting)
}

func TestLoginLimits(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		from := func(host int) *iscsitest.Initiator {
			nc, err := r.l.DialFrom(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), 1000))
			require.NoError(t, err)
			return iscsitest.New(t, nc)
		}
		for range 3 {
			from(1)
		}
		synctest.Wait()
		from(1).Closed()
		r.requireSaw(ReasonTooManyLoginsFromSource)
		for host := range 5 {
			from(10 + host)
		}
		synctest.Wait()
		from(99).Closed()
		r.requireSaw(ReasonTooManyLogins)
		time.Sleep(r.srv.opt.HeaderTimeout + time.Second)

		// They timed out; now it is somebody else's turn.
		i := from(99)
		i.Login(testTarget, "")
		ping(i)
		for range 3 { // with the three of the beginning
			j := from(20)
			j.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, "InitiatorName=nobody")
			j.Closed()
		}
		from(20).Closed()
		r.requireSaw(ReasonLoginBackOff)
		ping(i)
	}, func(o *Options) { o.MaxLogins, o.MaxLoginsPerSource, o.LoginFailures = 8, 3, 3 })
}

func TestSessionLimits(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		r.attach = func(scsi.Nexus) (Target, error) { return iscsitest.NewTarget(), nil }
		login := func(host string, n byte) pdu.LoginStatus {
			i := r.connect()
			i.ISID[5] = n
			a, _ := i.LoginStep(pdu.OperationalNegotiation, pdu.FullFeaturePhase, true, fmt.Sprintf("InitiatorName=iqn.2026-11.test:%s TargetName=%s DefaultTime2Retain=0", host, testTarget))
			return a.Status
		}
		require.Equal(t, pdu.LoginSuccess, login("a", 1))
		require.Equal(t, pdu.LoginSuccess, login("a", 2))
		require.Equal(t, pdu.LoginOutOfResources, login("a", 3))
		r.requireSaw(ReasonSessionsOfInitiator)
		require.Equal(t, pdu.LoginSuccess, login("b", 1))
		require.Equal(t, pdu.LoginOutOfResources, login("c", 1))
		r.requireSaw(ReasonSessionsOfTarget)
		require.Equal(t, pdu.LoginSuccess, login("a", 2), "reinstatement needs no room")
		require.Len(t, r.srv.Sessions(), 3)
		require.True(t, r.srv.KillSession(r.srv.Sessions()[0].ID))
		require.Equal(t, pdu.LoginSuccess, login("c", 1))
	}, func(o *Options) { o.SessionsPerTarget, o.SessionsPerInitiator = 3, 2 })
}

// Peers that have proven nothing cost little memory.
func TestUnauthenticatedConnectionsAreCheap(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		withCHAP(r, &Auth{})
		const n = 200
		measure := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc + m.StackInuse
		}
		before := measure()
		for range n {
			i := r.connect()
			// As far as one gets without a secret, with as much text as is taken.
			q := i.LoginRequest(pdu.SecurityNegotiation, pdu.OperationalNegotiation, false)
			i.Send(q, iscsitest.Text(names+" AuthMethod=CHAP CHAP_A=8").Append(nil))
			i.LoginAnswer()
			q.Continue = true
			q.DataSegmentLength = 0
			i.Send(q, make([]byte, 8000))
			i.LoginAnswer()
		}
		after := measure()
		require.Less(t, (after-before)/n, uint64(64<<10))
	}, func(o *Options) { o.MaxLogins, o.MaxLoginsPerSource = 1000, 1000 })
}
