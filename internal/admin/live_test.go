package admin_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/config"
	"nas-target/internal/daemon"
	"nas-target/internal/initiator"
)

// The page of a real daemon, while two real initiators fight for a disk: what
// happens on the wire is on the page a moment later, and what is pressed on the
// page happens on the wire.
func TestPageOfARealDaemon(t *testing.T) {
	const target, kind = "iqn.2026-11.test.page:disks", initiator.WriteExclusiveRegistrantsOnly
	dir := t.TempDir()
	conf, err := config.Parse("test.yaml", fmt.Appendf(nil, `
data_dir: %s
page: {listen: "127.0.0.1:3280"}
portals: [{group: 1, listen: ["127.0.0.1:3260"]}]
targets:
  - name: %s
    access: open
    luns: [{lun: 0, name: witness, size: 8MiB}, {lun: 1, name: shared, size: 64MiB, write_cache: false}]
`, dir, target))
	require.NoError(t, err)
	conf.Page.Listen = "127.0.0.1:0"
	conf.Portals[0].Listen[0] = netip.MustParseAddrPort("127.0.0.1:0")
	d, err := daemon.Start(t.Context(), conf, daemon.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Stop(context.Background())) }()

	ctx := t.Context()
	login := func(host string, isid byte) (*initiator.Session, *initiator.Unit) {
		s, err := initiator.Dial(ctx, initiator.Config{Addr: d.Portals()[0].String(), Target: target, InitiatorName: "iqn.2026-11.test:" + host, ISID: [6]byte{0x80, 1, 1, 1, 1, isid}})
		require.NoError(t, err)
		u := s.Unit(0)
		_, err = u.DrainUA(ctx)
		require.NoError(t, err)
		return s, u
	}
	s1, one := login("node1", 1)
	defer s1.Close()
	s2, two := login("node2", 2)
	defer s2.Close()
	require.NoError(t, one.RegisterAndIgnore(ctx, 0x11, true))
	require.NoError(t, two.RegisterAndIgnore(ctx, 0x22, true))
	require.NoError(t, one.Reserve(ctx, 0x11, kind))

	b := chromium.Open(t)
	b.Go(d.Page())
	const board = `.board[data-lun="witness"]`
	b.Eventually(func() bool {
		return b.Text("#live") == "live" && strings.Contains(b.Text(board+" .holder"), "node1") && strings.Contains(b.Text(board), "0x0000000000000022")
	}, "the page does not show the holder")
	require.Equal(t, "All is well", b.Text("#health"))
	require.Contains(t, b.Text(`tr[data-lun="shared"]`), "WCE=0")

	// node2 fences node1, which goes on writing.
	require.NoError(t, two.PreemptAndAbort(ctx, 0x22, 0x11, kind))
	_, err = one.DrainUA(ctx)
	require.NoError(t, err)
	require.Error(t, one.Write(ctx, 0, make([]byte, 512)))
	b.Eventually(func() bool {
		return strings.Contains(b.Text(board+" .holder"), "node2") && strings.Contains(b.Text(board), "node1 lost its registration to a PREEMPT AND ABORT of node2") &&
			strings.Contains(b.Text("#events"), "RESERVATION CONFLICT") && strings.Contains(b.Text("#history"), "node2 preempted key 0x0000000000000011") &&
			b.Text("#health") == "Needs a look"
	}, "the fencing does not show")

	// The operator ends the session of the fenced node, and clears the disk.
	token, err := os.ReadFile(filepath.Join(dir, admin.TokenName))
	require.NoError(t, err)
	b.Click(`button[aria-label$="of node1"]`)
	b.Type("#ask-secret", strings.TrimSpace(string(token)))
	b.Click("#ask-yes")
	require.Eventually(t, func() bool { return one.Write(ctx, 0, make([]byte, 512)) != nil && s1.Ping(ctx, nil) != nil }, 10*time.Second, 10*time.Millisecond, "the session lives")
	b.Eventually(func() bool {
		return !strings.Contains(b.Text("#sessions tbody"), "node1") && strings.Contains(b.Text("#events"), "killed a session")
	}, "the session stays on the page")
	b.Click(`button[data-action="clear"][data-lun="witness"]`)
	b.Click("#ask-yes")
	b.Eventually(func() bool { return strings.Contains(b.Text(board+" .holder"), "Nobody") }, "not cleared")
	_, err = two.DrainUA(ctx)
	require.NoError(t, err)
	keys, err := two.ReadKeys(ctx)
	require.NoError(t, err)
	require.Empty(t, keys.Keys)

	// The disk grows while it is used, and what it does is drawn.
	b.Click(`button[data-action="resize"][data-lun="shared"]`)
	b.Eval(nil, `document.querySelector("#ask-value").value = "128 MiB"`)
	b.Click("#ask-yes")
	shared := s2.Unit(1)
	b.Eventually(func() bool { return strings.Contains(b.Text(`tr[data-lun="shared"]`), "128 MiB") }, "it does not grow")
	_, err = shared.DrainUA(ctx)
	require.NoError(t, err)
	blocks, err := shared.LoadCapacity(ctx)
	require.NoError(t, err)
	require.Equal(t, uint64(128<<20/512), blocks)
	data := make([]byte, 1<<20)
	b.Eventually(func() bool {
		require.NoError(t, shared.Write(ctx, 0, data))
		var drawn int
		b.Eval(&drawn, `return document.querySelectorAll('tr[data-lun="shared"] .writes path.line').length`)
		return drawn > 0 && strings.Contains(b.Text(`tr[data-lun="shared"]`), "peak") && !strings.Contains(b.Text(`tr[data-lun="shared"] .traffic .writes`), "\n0 B/s")
	}, "the traffic is not drawn")
	require.Empty(t, b.Complaints())
}
