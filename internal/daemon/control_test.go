package daemon

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"nas-target/internal/admin"
	"nas-target/internal/initiator"
	"nas-target/internal/scsi"
)

func ask(t *testing.T, dir string) *admin.Client {
	t.Helper()
	c := admin.NewClient(filepath.Join(dir, admin.SocketName))
	t.Cleanup(c.Close)
	return c
}

// node is a machine of a cluster: a session, and LUN 0 ready for use.
func node(t *testing.T, d *Daemon, host string, isid byte) (*initiator.Session, *initiator.Unit) {
	t.Helper()
	c := dialConfig(d, "iqn.2026-11.test:"+host)
	c.ISID[5] = isid
	s, err := initiator.Dial(t.Context(), c)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	u := s.Unit(0)
	_, err = u.DrainUA(t.Context())
	require.NoError(t, err)
	return s, u
}

func conflict(t *testing.T, err error) {
	t.Helper()
	r, ok := initiator.AsStatus(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, initiator.ReservationConflict, r.Status)
}

func codes(ps []admin.Problem) (all []string) {
	for _, p := range ps {
		all = append(all, p.Code)
	}
	return all
}

// The story of a fencing, as an operator sees it from outside.
func TestOperatorSeesWhoHoldsWhat(t *testing.T) {
	dir := t.TempDir()
	core, seen := observer.New(zapcore.InfoLevel)
	d, err := Start(t.Context(), parse(t, dir, openTarget), Options{Log: zap.New(core)})
	require.NoError(t, err)
	stopped := false
	defer func() {
		if !stopped {
			stopTest(t, d)
		}
	}()
	ctx, c := t.Context(), ask(t, dir)
	s1, one := node(t, d, "node1", 1)
	s2, two := node(t, d, "node2", 2)
	const kind = initiator.WriteExclusiveRegistrantsOnly
	require.NoError(t, one.RegisterAndIgnore(ctx, 0x11, true))
	require.NoError(t, two.RegisterAndIgnore(ctx, 0x22, true))
	require.NoError(t, one.Reserve(ctx, 0x11, kind))
	require.NoError(t, one.Write(ctx, 0, make([]byte, 4096)))

	r, err := c.ReservationsOf(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "node1", r.HolderHost)
	require.True(t, r.HolderLive)
	require.Equal(t, "write-exclusive-registrants-only", r.Type)
	require.Equal(t, "RESERVE", r.Made.Command)
	require.Equal(t, "node1", r.Made.By)
	require.WithinDuration(t, time.Now(), r.Made.Since, time.Minute)
	require.Len(t, r.Registrations, 2)
	require.Empty(t, r.Findings)
	g := r.Registrations[0]
	require.Equal(t, []any{"node1", "0x800101010101", uint16(1), "0x0000000000000011", true, admin.MayWrite, true, "REGISTER AND IGNORE"},
		[]any{g.Host, g.ISID, g.Group, g.Key, g.Holder, g.Access, g.Live, g.Made.Command})
	require.NotEmpty(t, g.Session)
	require.Contains(t, g.Address, "127.0.0.1:")

	// node2 fences node1, which goes on writing.
	require.NoError(t, two.PreemptAndAbort(ctx, 0x22, 0x11, kind))
	_, err = one.DrainUA(ctx)
	require.NoError(t, err)
	for range 3 {
		conflict(t, one.Write(ctx, 0, make([]byte, 512)))
	}
	r, err = c.ReservationsOf(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "node2", r.HolderHost)
	require.Equal(t, "PREEMPT AND ABORT", r.Made.Command)
	require.Len(t, r.Others, 1)
	require.Equal(t, "node1", r.Others[0].Host)
	require.Equal(t, admin.MayRead, r.Others[0].Access)
	require.Equal(t, uint64(3), r.Others[0].Conflicts)
	require.Equal(t, []string{"preempted"}, codes(r.Findings))
	require.Contains(t, r.Findings[0].Text, "node1 lost its registration to a PREEMPT AND ABORT of node2")

	o, err := c.Overview(ctx)
	require.NoError(t, err)
	require.Equal(t, admin.HealthWarning, o.Health)
	require.True(t, o.Ready)
	require.Equal(t, 2, o.Sessions)
	require.Equal(t, uint64(3), o.LUNs[0].Traffic.Conflicts)
	require.Equal(t, uint64(1), o.LUNs[0].Traffic.Writes)
	require.Equal(t, uint64(4096), o.LUNs[0].Traffic.WriteBytes)
	require.Equal(t, 2, o.Portals[0].Sessions)
	require.Equal(t, d.Portals()[0].String(), o.Portals[0].Address)

	h, err := c.History(ctx, admin.HistoryQuery{LUN: "a", Initiator: "node1"})
	require.NoError(t, err)
	require.Equal(t, "preempt-and-abort", h.Entries[0].Action)
	require.Equal(t, "node2", h.Entries[0].Host)
	require.Contains(t, h.Entries[0].Address, "127.0.0.1:")
	require.Equal(t, "node1", h.Entries[0].Changes.Removed[0].Host)
	require.Equal(t, "node1", h.Entries[0].Changes.Before.HolderHost)
	logins, err := c.History(ctx, admin.HistoryQuery{Kind: "login"})
	require.NoError(t, err)
	require.Len(t, logins.Entries, 2)
	require.Equal(t, "node2", logins.Entries[0].Host)

	// The log has the same in words.
	s1.Close()
	s2.Close()
	stopTest(t, d)
	stopped = true
	lines := seen.FilterMessageSnippet("node2 preempted key 0x0000000000000011 on a and aborted its commands: node1 lost its registration; node2 holds it now").All()
	require.Len(t, lines, 1)
	require.Equal(t, "a", lines[0].ContextMap()["lun"])
}

// The commonest trap: the same machine, another ISID.
func TestOperatorSeesTheOtherISID(t *testing.T) {
	dir := t.TempDir()
	d := startTest(t, parse(t, dir, openTarget))
	s, u := node(t, d, "node1", 1)
	require.NoError(t, u.RegisterAndIgnore(t.Context(), 1, true))
	require.NoError(t, u.Reserve(t.Context(), 1, initiator.WriteExclusive))
	require.NoError(t, s.Logout(t.Context()))
	_, u = node(t, d, "node1", 2)
	conflict(t, u.Write(t.Context(), 0, make([]byte, 512)))
	r, err := ask(t, dir).ReservationsOf(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "holder_under_other_isid", r.Findings[0].Code)
	require.Contains(t, r.Findings[0].Text, "node1 holds the reservation from ISID 0x800101010101, but its session is 0x800101010102")
	require.False(t, r.HolderLive)
}

// Since when and by whom stays known over a restart.
func TestOriginsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	d, err := Start(t.Context(), parse(t, dir, openTarget), Options{})
	require.NoError(t, err)
	s, u := node(t, d, "node1", 1)
	require.NoError(t, u.RegisterAndIgnore(t.Context(), 1, false))
	require.NoError(t, u.Reserve(t.Context(), 1, initiator.WriteExclusive))
	c := ask(t, dir)
	var before admin.Reservations
	require.Eventually(t, func() bool { // the trail is written behind the answer
		before, err = c.ReservationsOf(t.Context(), "a")
		return err == nil && !before.Made.Since.IsZero()
	}, 10*time.Second, time.Millisecond)
	s.Close()
	stopTest(t, d)

	startTest(t, parse(t, dir, openTarget))
	after, err := ask(t, dir).ReservationsOf(t.Context(), "a")
	require.NoError(t, err)
	require.WithinDuration(t, before.Made.Since, after.Made.Since, 0)
	require.Equal(t, before.Made.Entry, after.Made.Entry)
	require.Equal(t, before.Version, after.Version)
	require.ElementsMatch(t, []string{"holder_without_session", "not_durable"}, codes(after.Findings))
}

func TestOperatorClears(t *testing.T) {
	dir := t.TempDir()
	d := startTest(t, parse(t, dir, openTarget))
	ctx, c := t.Context(), ask(t, dir)
	_, one := node(t, d, "node1", 1)
	_, two := node(t, d, "node2", 2)
	require.NoError(t, one.RegisterAndIgnore(ctx, 1, true))
	stale, err := c.ReservationsOf(ctx, "a")
	require.NoError(t, err)
	require.NoError(t, one.Reserve(ctx, 1, initiator.ExclusiveAccess))
	conflict(t, two.Write(ctx, 0, make([]byte, 512)))

	require.ErrorIs(t, c.ClearReservations(ctx, "a", stale.Version), admin.ErrStale)
	conflict(t, two.Write(ctx, 0, make([]byte, 512)))
	seen, err := c.ReservationsOf(ctx, "a")
	require.NoError(t, err)
	require.NoError(t, c.ClearReservations(ctx, "a", seen.Version))
	require.NoError(t, two.Write(ctx, 0, make([]byte, 512)))
	ua, err := one.DrainUA(ctx)
	require.NoError(t, err)
	require.Equal(t, []initiator.ASC{0x2a03}, ua, "node1 learns that its registration is gone")

	h, err := c.History(ctx, admin.HistoryQuery{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, "operator-clear", h.Entries[0].Action)
	require.Equal(t, fmt.Sprintf("uid %d", os.Getuid()), h.Entries[0].Operator)
	require.Equal(t, "clear", h.Entries[1].Action)
	require.False(t, h.Entries[1].Granted)
	require.ErrorIs(t, c.ClearReservations(ctx, "none", "x"), admin.ErrNotFound)
}

func TestOperatorKillsASession(t *testing.T) {
	dir := t.TempDir()
	d := startTest(t, parse(t, dir, openTarget))
	ctx, c := t.Context(), ask(t, dir)
	_, u := node(t, d, "node1", 1)
	sessions, err := c.Sessions(ctx)
	require.NoError(t, err)
	require.Len(t, sessions, 1)
	require.Equal(t, "node1", sessions[0].Host)
	require.Equal(t, testTarget+",t,0x0001", sessions[0].Target)
	require.NoError(t, c.KillSession(ctx, sessions[0].ID))
	require.Error(t, u.Write(ctx, 0, make([]byte, 512)))
	require.ErrorIs(t, c.KillSession(ctx, sessions[0].ID), admin.ErrNotFound)
	require.ErrorIs(t, c.KillSession(ctx, "x"), admin.ErrNotFound)
	node(t, d, "node1", 1)
	h, err := c.History(ctx, admin.HistoryQuery{Kind: "admin"})
	require.NoError(t, err)
	require.False(t, h.Entries[0].Granted)
	require.Contains(t, h.Entries[2].Text, " of iqn.2026-11.test:node1")
}

// A LUN grows under use, initiators are told, and it stays grown.
func TestOperatorResizes(t *testing.T) {
	dir := t.TempDir()
	d, err := Start(t.Context(), parse(t, dir, openTarget), Options{})
	require.NoError(t, err)
	ctx, c := t.Context(), ask(t, dir)
	s, u := node(t, d, "node1", 1)
	l, err := c.LUN(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, int64(8<<20), l.Bytes)
	for size, want := range map[int64]error{4 << 20: admin.ErrRefused, 8 << 20: admin.ErrRefused, 8<<20 + 1: admin.ErrRefused} {
		require.ErrorIs(t, c.Resize(ctx, "a", l.Version, size), want)
	}
	require.NoError(t, c.Resize(ctx, "a", l.Version, 32<<20))
	ua, err := u.DrainUA(ctx)
	require.NoError(t, err)
	require.Equal(t, []initiator.ASC{0x2a09}, ua)
	blocks, err := u.LoadCapacity(ctx)
	require.NoError(t, err)
	require.Equal(t, uint64(32<<20/512), blocks)
	require.NoError(t, u.Write(ctx, blocks-8, make([]byte, 4096)))
	require.ErrorIs(t, c.Resize(ctx, "a", l.Version, 64<<20), admin.ErrStale)
	s.Close()
	stopTest(t, d)

	d, err = Start(t.Context(), parse(t, dir, openTarget), Options{})
	require.NoError(t, err)
	l, err = c.LUN(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, int64(32<<20), l.Bytes)
	stopTest(t, d)

	// A resize that a crash cut short did not happen.
	require.NoError(t, d.now.Load().units["a"].grown.remember(64<<20, 32<<20))
	startTest(t, parse(t, dir, openTarget))
	l, err = c.LUN(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, int64(32<<20), l.Bytes)
}

func TestNothingToClear(t *testing.T) {
	dir := t.TempDir()
	startTest(t, parse(t, dir, openTarget))
	c := ask(t, dir)
	require.ErrorIs(t, c.ClearFailure(t.Context(), "a"), admin.ErrRefused)
	require.ErrorIs(t, c.ClearFailure(t.Context(), "none"), admin.ErrNotFound)
	require.ErrorIs(t, c.Resize(t.Context(), "none", "x", 1), admin.ErrNotFound)
}

// What happens is seen while it happens.
func TestEventsAreLive(t *testing.T) {
	dir := t.TempDir()
	d := startTest(t, parse(t, dir, openTarget))
	events := make(chan admin.Event, 100)
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan error, 1)
	go func() {
		watching <- ask(t, dir).Watch(ctx, func(e admin.Event) error { events <- e; return nil })
	}()
	next := func(kind string) admin.Event {
		for {
			select {
			case e := <-events:
				if e.Kind == kind {
					return e
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("no event of kind %s", kind)
			}
		}
	}
	_, one := node(t, d, "node1", 1)
	require.Contains(t, next("login").Text, "node1 logged in")
	require.NoError(t, one.RegisterAndIgnore(t.Context(), 1, true))
	e := next("pr")
	require.Equal(t, "a", e.LUN)
	require.Equal(t, admin.Info, e.Severity)
	require.NotZero(t, e.Entry)
	require.NoError(t, one.Reserve(t.Context(), 1, initiator.WriteExclusive))
	_, two := node(t, d, "node2", 2)
	for range 100 {
		conflict(t, two.Write(t.Context(), 0, make([]byte, 512)))
	}
	require.Equal(t, "node2 was refused WRITE(16) on a: RESERVATION CONFLICT", next("conflict").Text)
	require.NoError(t, two.RegisterAndIgnore(t.Context(), 2, true))
	require.NoError(t, two.Preempt(t.Context(), 2, 1, initiator.WriteExclusive))
	for e = next("pr"); e.Severity != admin.Warning; e = next("pr") {
	}
	require.Contains(t, e.Text, "node2 preempted")
	cancel()
	require.NoError(t, <-watching)
	for len(events) > 0 {
		require.NotEqual(t, "conflict", (<-events).Kind, "a fenced node that tries a hundred times is one piece of news")
	}
}

func TestPage(t *testing.T) {
	dir := t.TempDir()
	conf := parse(t, dir, openTarget)
	conf.Page.Listen = "127.0.0.1:0"
	d := startTest(t, conf)
	get := func(path string) (int, string) {
		resp, err := http.Get(d.Page() + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(b)
	}
	defer http.DefaultClient.CloseIdleConnections()
	status, body := get("")
	require.Equal(t, 200, status)
	require.Contains(t, body, "nas-target")
	status, body = get("readyz")
	require.Equal(t, 200, status, body)
	st, err := os.Stat(filepath.Join(dir, admin.TokenName))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
}

// A page that cannot be served is a warning, not the end of the disks.
func TestDisksAreServedWithoutThePage(t *testing.T) {
	dir := t.TempDir()
	conf := parse(t, dir, openTarget)
	conf.Page.Listen = "192.0.2.1:3280" // not ours
	conf.Page.Certificate, conf.Page.Key = filepath.Join(dir, "none.crt"), filepath.Join(dir, "none.key")
	d := startTest(t, conf)
	require.Empty(t, d.Page())
	node(t, d, "node1", 1)
	o, err := ask(t, dir).Overview(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"page_down", "open_access"}, codes(o.Problems))
}

func TestRates(t *testing.T) {
	var r rates
	at := time.Now()
	var now scsi.Totals
	note := func(d time.Duration, writes, bytes uint64) *admin.Rate {
		at = at.Add(d)
		now.Commands[scsi.ClassWrite] += writes
		now.WriteBytes += bytes
		now.Latency[scsi.ClassWrite].Counts[3] += writes
		now.Latency[scsi.ClassWrite].Nanoseconds += writes * 2e6
		return r.note("a", at, now)
	}
	require.Nil(t, note(0, 10, 10), "nothing to compare with")
	require.Nil(t, note(100*time.Millisecond, 10, 10), "too short to say")
	got := note(900*time.Millisecond, 90, 1990)
	require.InDelta(t, 100, got.Writes, 0.001)
	require.InDelta(t, 2000, got.WriteBytes, 0.001)
	require.InDelta(t, 0.002, got.WriteLatency, 1e-9)
	require.Zero(t, got.Reads)
	require.Zero(t, got.ReadLatency)
	for range 20 {
		got = note(time.Second, 10, 0)
	}
	require.InDelta(t, 10, got.Writes, 0.001, "what is long past does not count")
	require.LessOrEqual(t, len(r.units["a"]), 7)
	require.Nil(t, note(time.Minute, 1, 1), "nobody looked lately")
}

func TestConflictsAreToldOnceInAWhile(t *testing.T) {
	var c conflicts
	now := time.Now()
	n := scsi.Nexus{Initiator: "a"}
	require.True(t, c.due("a", n, now))
	require.False(t, c.due("a", n, now.Add(conflictEvery-1)))
	require.True(t, c.due("b", n, now))
	require.True(t, c.due("a", n, now.Add(conflictEvery)))
	for i := range 10 * maxConflicts {
		c.due("a", scsi.Nexus{Initiator: strings.Repeat("x", i)}, now)
	}
	require.LessOrEqual(t, len(c.last), maxConflicts)
}
