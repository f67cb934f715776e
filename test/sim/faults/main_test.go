package faults

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
	"nas-target/test/peers"
	"nas-target/test/sim"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if peers.Binary != "" {
			os.RemoveAll(filepath.Dir(peers.Binary))
		}
		os.Exit(code)
	}))
}

// startDaemon starts the daemon, which is built once for all tests.
func startDaemon(t *testing.T, d peers.Disk) *peers.Target {
	t.Helper()
	if peers.Binary == "" {
		dir, err := os.MkdirTemp("", "nas-target")
		require.NoError(t, err)
		peers.Binary, err = peers.Build(t.Context(), dir)
		require.NoError(t, err)
	}
	target, err := peers.NAS.Start(t.Context(), t.TempDir(), d)
	require.NoError(t, err)
	t.Cleanup(func() { target.Kill() })
	return target
}

// onWire is a bed that is reached by iSCSI.
func onWire(t *testing.T, server func(*iscsi.Options, *iscsi.Node)) *sim.Bed {
	bed := sim.NewBed(sim.Config{Wire: true, Server: server})
	t.Cleanup(bed.Close)
	return bed
}

// config is how to log in to a bed; change may make it odd.
func config(bed *sim.Bed, host string, change ...func(*initiator.Config)) initiator.Config {
	c := initiator.Config{
		Addr: bed.Portal(0), Target: sim.TargetName, InitiatorName: "iqn.2026-11.test:" + host,
		ISID: sim.ISID(1), Tolerant: true,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

// login logs in, until the test ends, and takes the unit attentions away.
func login(t *testing.T, c initiator.Config) (*initiator.Session, *initiator.Unit) {
	t.Helper()
	s, u := briefly(t, c)
	t.Cleanup(func() { s.Close() })
	return s, u
}

// briefly does so for a session that the test closes itself: of thousands, none
// is to be kept.
func briefly(t *testing.T, c initiator.Config) (*initiator.Session, *initiator.Unit) {
	t.Helper()
	ctx, cancel := soon()
	defer cancel()
	s, err := initiator.Dial(ctx, c)
	require.NoError(t, err)
	u := s.Unit(0)
	_, err = u.DrainUA(ctx)
	require.NoError(t, err)
	return s, u
}

// soon is when an answer counts as missing.
func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), time.Minute)
}

// from makes connections come from another address of this machine.
func from(a netip.Addr) func(*initiator.Config) {
	return func(c *initiator.Config) {
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return dialFrom(ctx, a, addr) }
	}
}

func dialFrom(ctx context.Context, a netip.Addr, addr string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))}
	return d.DialContext(ctx, "tcp", addr)
}

// neighbour is the nth address beside 127.0.0.1.
func neighbour(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 0, byte(1 + n/250), byte(1 + n%250)})
}

// times are durations of the same thing.
type times []time.Duration

// p99 is the time that one of a hundred exceeds.
func (t times) p99() time.Duration {
	if len(t) == 0 {
		return 0
	}
	slices.Sort(t)
	return t[(len(t)-1)*99/100]
}

// clock calls f n times and tells how long each took.
func clock(n int, f func()) times {
	all := make(times, n)
	for i := range all {
		begin := time.Now()
		f()
		all[i] = time.Since(begin)
	}
	return all
}

// heap is how much memory is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
