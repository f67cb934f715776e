package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"nas-target/internal/config"
	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testTarget = "iqn.2026-11.test.daemon:disks"

// parse reads a configuration whose portal is on a port that the kernel
// chooses; %s in the text is the data directory.
func parse(t *testing.T, dir, targets string) *config.Config {
	t.Helper()
	text := fmt.Sprintf("data_dir: %s\npage: {listen: \"\"}\nportals: [{group: 1, listen: [\"127.0.0.1:1\"]}]\ntargets:\n%s", dir, targets)
	c, err := config.Parse("test.yaml", []byte(text))
	require.NoError(t, err)
	for i := range c.Portals {
		for j, a := range c.Portals[i].Listen {
			c.Portals[i].Listen[j] = netip.AddrPortFrom(a.Addr(), 0)
		}
	}
	return c
}

const openTarget = `
  - name: ` + testTarget + `
    access: open
    luns:
      - {lun: 0, name: a, size: 8MiB}
      - {lun: 1, name: b, size: 16MiB, write_cache: false}
`

func startTest(t *testing.T, c *config.Config) *Daemon {
	t.Helper()
	d, err := Start(t.Context(), c, Options{})
	require.NoError(t, err)
	t.Cleanup(func() { stopTest(t, d) })
	return d
}

func stopTest(t *testing.T, d *Daemon) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, d.Stop(ctx))
}

func dial(t *testing.T, d *Daemon, name string) *initiator.Session {
	t.Helper()
	s, err := initiator.Dial(t.Context(), dialConfig(d, name))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func dialConfig(d *Daemon, name string) initiator.Config {
	return initiator.Config{Addr: d.Portals()[0].String(), Target: testTarget, InitiatorName: name, ISID: [6]byte{0x80, 1, 1, 1, 1, 1}}
}

func TestServesAndStops(t *testing.T) {
	dir := t.TempDir()
	d, err := Start(t.Context(), parse(t, dir, openTarget), Options{})
	require.NoError(t, err)
	s := dial(t, d, "iqn.2026-11.test:one")
	u := s.Unit(1)
	_, err = u.DrainUA(t.Context())
	require.NoError(t, err)
	blocks, err := u.LoadCapacity(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(16<<20/512), blocks)
	want := make([]byte, 4096)
	copy(want, "kept")
	require.NoError(t, u.Write(t.Context(), 8, want))
	require.NoError(t, s.Logout(t.Context()))
	stopTest(t, d)

	_, err = net.Dial("tcp", d.Portals()[0].String())
	require.Error(t, err, "the portal is still open")

	d = startTest(t, parse(t, dir, openTarget))
	u = dial(t, d, "iqn.2026-11.test:one").Unit(1)
	_, err = u.DrainUA(t.Context())
	require.NoError(t, err)
	got, err := u.Read(t.Context(), 8, 8)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// A session that does not log out does not keep the daemon from ending.
func TestStopCutsOffWhoStays(t *testing.T) {
	d, err := Start(t.Context(), parse(t, t.TempDir(), openTarget), Options{})
	require.NoError(t, err)
	s := dial(t, d, "iqn.2026-11.test:stays")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, d.Stop(ctx))
	_, err = s.Unit(0).DrainUA(t.Context())
	require.Error(t, err)
}

// A restart is no power cycle: registrations and the reservation stand, with
// and without APTPL, and so do the disk's identifiers.
func TestReservationsSurviveARestart(t *testing.T) {
	for _, aptpl := range []bool{false, true} {
		t.Run(fmt.Sprintf("aptpl=%v", aptpl), func(t *testing.T) {
			dir := t.TempDir()
			d, err := Start(t.Context(), parse(t, dir, openTarget), Options{})
			require.NoError(t, err)
			s := dial(t, d, "iqn.2026-11.test:holder")
			u := s.Unit(0)
			_, err = u.DrainUA(t.Context())
			require.NoError(t, err)
			id, err := u.Identification(t.Context())
			require.NoError(t, err)
			require.NoError(t, u.RegisterAndIgnore(t.Context(), 0xabc, aptpl))
			require.NoError(t, u.Reserve(t.Context(), 0xabc, initiator.WriteExclusiveRegistrantsOnly))
			require.NoError(t, s.Logout(t.Context()))
			stopTest(t, d)

			d = startTest(t, parse(t, dir, openTarget))
			other := dial(t, d, "iqn.2026-11.test:other").Unit(0)
			_, err = other.DrainUA(t.Context())
			require.NoError(t, err)
			again, err := other.Identification(t.Context())
			require.NoError(t, err)
			require.Equal(t, id, again)
			err = other.Write(t.Context(), 0, make([]byte, 512))
			r, ok := initiator.AsStatus(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, initiator.ReservationConflict, r.Status, "the fenced node writes after a restart")
		})
	}
}

// A reservation file that vanished is a loss, not an empty one.
func TestVanishedReservationsFailClosed(t *testing.T) {
	dir := t.TempDir()
	d, err := Start(t.Context(), parse(t, dir, openTarget), Options{})
	require.NoError(t, err)
	stopTest(t, d)
	files, err := filepath.Glob(filepath.Join(dir, "pr", "*.pr"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, f := range files {
		require.NoError(t, os.Remove(f))
	}

	d = startTest(t, parse(t, dir, openTarget))
	u := dial(t, d, "iqn.2026-11.test:one").Unit(0)
	_, err = u.DrainUA(t.Context())
	require.NoError(t, err)
	err = u.Write(t.Context(), 0, make([]byte, 512))
	r, ok := initiator.AsStatus(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, initiator.DataProtect, r.Sense.Key)
	require.Equal(t, initiator.ASC(0x4401), r.Sense.ASC)
}

func TestAccess(t *testing.T) {
	d := startTest(t, parse(t, t.TempDir(), `
  - name: `+testTarget+`
    initiators:
      - {name: iqn.2026-11.test:some, luns: [1]}
      - {name: iqn.2026-11.test:all}
      - {name: "iqn.2026-11.test:under_score"}
      - {name: iqn.2026-11.test:far, networks: [192.0.2.0/24]}
      - {name: "*", networks: [198.51.100.0/24]}
    luns:
      - {lun: 0, name: a, size: 1MiB}
      - {lun: 1, name: b, size: 1MiB}
`))
	luns := func(name string) []initiator.LUN {
		u := dial(t, d, name).Unit(1)
		_, err := u.DrainUA(t.Context())
		require.NoError(t, err)
		r, err := u.Run(t.Context(), initiator.ReportLUNs(0, 4096))
		require.NoError(t, err)
		all, err := initiator.DecodeLUNs(r.Data)
		require.NoError(t, err)
		return all
	}
	require.Len(t, luns("iqn.2026-11.test:all"), 2)
	require.Len(t, luns("iqn.2026-11.test:Under_Score"), 2, "machines have such names")
	require.Equal(t, []initiator.LUN{initiator.FlatLUN(1)}, luns("iqn.2026-11.test:some"))
	for _, name := range []string{"iqn.2026-11.test:far", "iqn.2026-11.test:stranger"} {
		_, err := initiator.Dial(t.Context(), dialConfig(d, name))
		var refused *initiator.LoginError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, uint8(2), refused.Class(), name)
	}
}

// An error while starting leaves nothing behind: no lock, no listener, no
// goroutine.
func TestFailedStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	c := parse(t, dir, openTarget)
	c.Portals[0].Listen[0] = busy.Addr().(*net.TCPAddr).AddrPort()
	_, err = Start(t.Context(), c, Options{})
	require.ErrorContains(t, err, "portal 127.0.0.1:")

	startTest(t, parse(t, dir, openTarget))
}

func TestSecondDaemonOnTheSameData(t *testing.T) {
	dir := t.TempDir()
	startTest(t, parse(t, dir, openTarget))
	_, err := Start(t.Context(), parse(t, dir, openTarget), Options{})
	var inUse *InUseError
	require.ErrorAs(t, err, &inUse)
	require.Equal(t, fmt.Sprint(os.Getpid()), inUse.Holder)
}

// Names from the network stay one line of plain text in the log.
func TestLogIsPlain(t *testing.T) {
	core, seen := observer.New(zapcore.DebugLevel)
	d, err := Start(t.Context(), parse(t, t.TempDir(), openTarget), Options{Log: zap.New(core)})
	require.NoError(t, err)
	news := newNews(zap.New(core))
	news.iscsi().LoginFailed(iscsi.InitiatorInfo{Name: "iqn.x\n2026 INFO all is well\x1b[2J"}, &iscsi.LoginError{Reason: "x"})
	stopTest(t, d)
	require.NotZero(t, seen.FilterMessage("serving").Len())
	require.NotZero(t, seen.FilterMessageSnippet("open").Len(), "an open target warns")
	for _, e := range seen.FilterMessage("login refused").All() {
		require.NotContains(t, e.ContextMap()["initiator"], "\n")
		require.NotContains(t, e.ContextMap()["initiator"], "\x1b")
	}
}
