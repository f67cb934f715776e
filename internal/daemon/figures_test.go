package daemon

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/initiator"
)

func onSocket(t *testing.T, dir, path string) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, admin.SocketName))
	}}}
	defer c.CloseIdleConnections()
	resp, err := c.Get("http://nas-target" + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode, "%s", b)
	return string(b)
}

// What the metrics say after a fencing.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	d := startTest(t, parse(t, dir, openTarget))
	ctx := t.Context()
	_, one := node(t, d, "node1", 1)
	_, two := node(t, d, "node2", 2)
	require.NoError(t, one.RegisterAndIgnore(ctx, 1, true))
	require.NoError(t, two.RegisterAndIgnore(ctx, 2, true))
	require.NoError(t, one.Reserve(ctx, 1, initiator.WriteExclusiveRegistrantsOnly))
	for range 5 {
		require.NoError(t, one.Write(ctx, 0, make([]byte, 4096)))
	}
	require.NoError(t, two.Preempt(ctx, 2, 1, initiator.WriteExclusiveRegistrantsOnly))
	_, err := one.DrainUA(ctx)
	require.NoError(t, err)
	conflict(t, one.Write(ctx, 0, make([]byte, 512)))
	_, err = initiator.Dial(ctx, initiator.Config{Addr: d.Portals()[0].String(), Target: "iqn.2026-11.test:none", InitiatorName: "iqn.2026-11.test:lost"})
	require.Error(t, err)

	// A refused login is answered before it is counted, a command before it is
	// in the audit trail.
	var out string
	require.Eventually(t, func() bool {
		out = onSocket(t, dir, "/metrics")
		return strings.Contains(out, `nas_target_login_failures_total{reason="login_target_not_found"} 1`) && strings.Contains(out, `code="preempted"`)
	}, 10*time.Second, 10*time.Millisecond)
	for _, line := range []string{
		`nas_target_ready 1`,
		`nas_target_sessions{target="` + testTarget + `"} 2`,
		`nas_target_lun_commands_total{class="write",lun="a"} 5`,
		`nas_target_lun_written_bytes_total{lun="a"} 20480`,
		`nas_target_lun_conflicts_total{lun="a"} 1`,
		`nas_target_lun_command_duration_seconds_count{class="write",lun="a"} 5`,
		`nas_target_pr_conflicts_total{initiator="iqn.2026-11.test:node1",lun="a"} 1`,
		`nas_target_pr_registrations{lun="a"} 1`,
		`nas_target_pr_live_registrations{lun="a"} 1`,
		`nas_target_pr_generation{lun="a"} 3`,
		`nas_target_pr_holder_info{initiator="iqn.2026-11.test:node2",lun="a",type="write-exclusive-registrants-only"} 1`,
		`nas_target_pr_findings{code="preempted",lun="a",severity="warning"} 1`,
		`nas_target_pr_commands_total{action="preempt",lun="a",result="good"} 1`,
		`nas_target_pr_information_known{lun="b"} 1`,
		`nas_target_login_failures_total{reason="login_target_not_found"} 1`,
	} {
		if !strings.Contains(out, line+"\n") {
			found := regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(line[:strings.IndexAny(line, "{ ")])+`.*$`).FindAllString(out, 20)
			t.Errorf("no %s\nbut %s", line, strings.Join(found, "\n    "))
		}
	}
	problems, err := promlint.New(strings.NewReader(out)).Lint()
	require.NoError(t, err)
	for _, p := range problems {
		require.False(t, strings.HasPrefix(p.Metric, "nas_target_"), "%s: %s", p.Metric, p.Text)
	}
}

func TestDumps(t *testing.T) {
	dir := t.TempDir()
	d := startTest(t, parse(t, dir, openTarget))
	node(t, d, "node1", 1)
	require.Empty(t, onSocket(t, dir, "/debug/tasks"), "nothing is under way")
	out := onSocket(t, dir, "/debug/windows")
	require.Contains(t, out, "iqn.2026-11.test:node1")
	require.Contains(t, out, "ExpCmdSN")
}
