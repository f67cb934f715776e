package daemon

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
)

// soon is a look with an end.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A daemon that serves is alive, as often as it is asked, and asking costs no
// initiator its connection.
func TestAlive(t *testing.T) {
	c := parse(t, t.TempDir(), openTarget)
	c.Portals[0].Listen = append(c.Portals[0].Listen, netip.MustParseAddrPort("127.0.0.2:0"))
	d := startTest(t, c)
	for range 50 {
		require.NoError(t, d.Alive(soon(t)))
	}
	s := dial(t, d, "iqn.2026-11.test:one")
	_, err := s.Unit(0).DrainUA(t.Context())
	require.NoError(t, err)
	require.NoError(t, d.server.RemovePortal(c.Portals[0].Listen[1].String()))
	require.NoError(t, d.Alive(soon(t)), "a portal that was closed does not count")
	_, err = s.Unit(0).Read(t.Context(), 0, 1)
	require.NoError(t, err)
}

// Nobody accepts: initiators knock in vain, and the watchdog hears of it.
func TestNotAliveWhenNobodyAccepts(t *testing.T) {
	d := startTest(t, parse(t, t.TempDir(), openTarget))
	l, err := d.listen(netip.MustParseAddrPort("127.0.0.1:0"))
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = d.Alive(ctx)
	require.ErrorContains(t, err, "nobody accepts")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	accepted, err := l.Accept() // whoever was asked for did show up late
	require.NoError(t, err)
	defer accepted.Close()
	require.Equal(t, conn.LocalAddr().String(), accepted.RemoteAddr().String())
}

// A lock that nobody lets go of is noticed, and looked at once.
func TestNotAliveWhenAUnitHangs(t *testing.T) {
	var h heart
	hang := make(chan struct{})
	first := h.look(func() error { <-hang; return nil })
	require.Same(t, first, h.look(func() error { t.Error("a second look"); return nil }))
	close(hang)
	<-first.done
	require.NotSame(t, first, h.look(func() error { return nil }))
}

func open(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// A portal takes the socket that was opened for it, IPv4 or the IPv6 way of
// writing it; connections that came before the daemon did are served.
func TestPortalsTakeSockets(t *testing.T) {
	c := parse(t, t.TempDir(), openTarget)
	l := open(t, "127.0.0.1:0")
	at := netip.MustParseAddrPort(l.Addr().String())
	c.Portals[0].Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:0"), at}
	early, err := net.Dial("tcp", at.String())
	require.NoError(t, err)
	defer early.Close()

	d, err := Start(t.Context(), c, Options{Sockets: []net.Listener{l}})
	require.NoError(t, err)
	t.Cleanup(func() { stopTest(t, d) })
	require.True(t, slices.Contains(d.Portals(), at))
	s, err := initiator.Dial(t.Context(), initiator.Config{Addr: at.String(), Target: testTarget, InitiatorName: "iqn.2026-11.test:a"})
	require.NoError(t, err)
	require.NoError(t, s.Logout(t.Context()))
	require.NoError(t, d.Alive(soon(t)))
}

// Sockets that nobody reads from are worse than none.
func TestSocketsWithoutAPortal(t *testing.T) {
	l := open(t, "127.0.0.2:0")
	_, err := Start(t.Context(), parse(t, t.TempDir(), openTarget), Options{Sockets: []net.Listener{l}})
	require.ErrorContains(t, err, l.Addr().String()+", where the configuration has no portal")
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)

	u, err := net.Listen("unix", t.TempDir()+"/s")
	require.NoError(t, err)
	_, err = Start(t.Context(), parse(t, t.TempDir(), openTarget), Options{Sockets: []net.Listener{u}})
	require.ErrorContains(t, err, "no portal")
}
