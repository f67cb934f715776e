package metrics

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

func cluster() Snapshot {
	l := LUN{
		Name: "witness", Target: "iqn.t", UUID: "u", NAA: "3", Backstore: "file", Bytes: 1 << 30, Allocated: 4096, WriteCache: true,
		Registrations: 2, Live: 1, Generation: 7, Known: true, Type: "write-exclusive", Holder: "iqn.x:node1", HolderLive: true,
		Findings: []Finding{{"registered_without_session", "warning", 1}},
	}
	l.Total.Commands[scsi.ClassWrite] = 3
	l.Total.WriteBytes = 1536
	l.Total.Conflicts = 2
	l.Total.Latency[scsi.ClassWrite].Counts[2] = 2
	l.Total.Latency[scsi.ClassWrite].Counts[len(l.Total.Latency[0].Counts)-1] = 1
	l.Total.Latency[scsi.ClassWrite].Nanoseconds = 9e9
	return Snapshot{
		Started: time.Unix(1000, 5e8), Ready: true, LUNs: []LUN{l, {Name: "free", Known: true}},
		Portals: []Portal{{"192.0.2.1:3260", 1, true}}, Targets: []Target{{"iqn.t", 4, 7, 1500 * time.Millisecond}},
		Audit: Audit{Written: 10, Lost: 1, Failed: 2}, LogLinesDropped: 7,
	}
}

func full(t *testing.T) *Metrics {
	t.Helper()
	m := New("1.2.3", cluster)
	m.PR("witness", pr.Record{Op: pr.Op{Action: pr.Preempt}, Drained: 3e6})
	m.PR("witness", pr.Record{Op: pr.Op{Action: pr.Reserve}, Verdict: pr.Verdict{Status: pr.StoreFailed}, Err: io.EOF})
	for a := range pr.Action(32) {
		m.PR("witness", pr.Record{Op: pr.Op{Action: a}})
	}
	m.Conflict("witness", scsi.Nexus{Initiator: "iqn.x:node2,i,0x1"})
	m.Conflict("witness", scsi.Nexus{Initiator: "iqn.x:node2,i,0x2"})
	m.Aborted("witness", 5, "preempt-and-abort")
	m.LoginFailed("chap_wrong_response")
	m.SessionEnded(iscsi.ReasonLogout)
	m.Rejected(iscsi.ReasonUnknownOpcode)
	m.DigestError(iscsi.ReasonDataDigest)
	return m
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code, w.Body.String())
	return w.Body.String()
}

func TestExposition(t *testing.T) {
	out := scrape(t, full(t))
	for _, line := range []string{
		`nas_target_build_info{version="1.2.3"} 1`,
		`nas_target_start_time_seconds 1000.5`,
		`nas_target_ready 1`,
		`nas_target_portal_up{group="1",portal="192.0.2.1:3260"} 1`,
		`nas_target_sessions{target="iqn.t"} 4`,
		`nas_target_session_oldest_command_seconds{target="iqn.t"} 1.5`,
		`nas_target_lun_size_bytes{lun="witness"} 1.073741824e+09`,
		`nas_target_lun_commands_total{class="write",lun="witness"} 3`,
		`nas_target_lun_commands_total{class="read",lun="free"} 0`,
		`nas_target_lun_command_duration_seconds_bucket{class="write",lun="witness",le="3.2768e-05"} 0`,
		`nas_target_lun_command_duration_seconds_bucket{class="write",lun="witness",le="6.5536e-05"} 2`,
		`nas_target_lun_command_duration_seconds_bucket{class="write",lun="witness",le="4.294967296"} 2`,
		`nas_target_lun_command_duration_seconds_bucket{class="write",lun="witness",le="+Inf"} 3`,
		`nas_target_lun_command_duration_seconds_sum{class="write",lun="witness"} 9`,
		`nas_target_pr_registrations{lun="witness"} 2`,
		`nas_target_pr_live_registrations{lun="witness"} 1`,
		`nas_target_pr_generation{lun="witness"} 7`,
		`nas_target_pr_holder_info{initiator="iqn.x:node1",lun="witness",type="write-exclusive"} 1`,
		`nas_target_pr_holder_live{lun="witness"} 1`,
		`nas_target_pr_reserved{lun="free"} 0`,
		`nas_target_pr_findings{code="registered_without_session",lun="witness",severity="warning"} 1`,
		`nas_target_pr_commands_total{action="preempt",lun="witness",result="good"} 2`,
		`nas_target_pr_commands_total{action="other",lun="witness",result="good"} 23`,
		`nas_target_pr_persist_errors_total{lun="witness"} 1`,
		`nas_target_pr_drain_seconds_count{lun="witness"} 1`,
		`nas_target_pr_conflicts_total{initiator="iqn.x:node2",lun="witness"} 2`,
		`nas_target_aborted_commands_total{lun="witness",reason="preempt-and-abort"} 5`,
		`nas_target_login_failures_total{reason="chap_wrong_response"} 1`,
		`nas_target_sessions_ended_total{reason="logout"} 1`,
		`nas_target_audit_lost_total 3`,
		`nas_target_log_lines_dropped_total 7`,
	} {
		require.Contains(t, out, line+"\n")
	}
	require.NotContains(t, out, `pr_holder_info{initiator="",lun="free"`)
}

func TestNamesAreLinted(t *testing.T) {
	m := full(t)
	problems, err := testutil.GatherAndLint(m.registry)
	require.NoError(t, err)
	var ours []promlint.Problem
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "nas_target_") {
			ours = append(ours, p)
		}
	}
	require.Empty(t, ours)
	families, err := m.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		ok := strings.HasPrefix(f.GetName(), "nas_target_") || strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_")
		require.True(t, ok, f.GetName())
	}
}

// A stranger cannot make series without end.
func TestLabelsAreBounded(t *testing.T) {
	m := full(t)
	for i := range 10 * maxInitiators {
		m.Conflict("witness", scsi.Nexus{Initiator: fmt.Sprintf("iqn.x:n%d,i,0x1", i)})
	}
	require.LessOrEqual(t, testutil.CollectAndCount(m.conflicts), maxInitiators+1)
	require.Contains(t, scrape(t, m), `nas_target_pr_conflicts_total{initiator="other",lun="witness"} `)
}

func TestHostileNamesAreInert(t *testing.T) {
	for _, name := range []string{"\x1b[2J", "a\nnas_target_ready 0\n", "%n", "../../x", "\xff\xfe", "\"}", "\u202e", strings.Repeat("a", 300)} {
		m := New("1", func() Snapshot {
			return Snapshot{LUNs: []LUN{{Name: "w", Type: "write-exclusive", Holder: name}}}
		})
		m.Conflict("w", scsi.Nexus{Initiator: name + ",i,0x000000000001"})
		out := scrape(t, m)
		for _, r := range out {
			require.True(t, r == '\n' || r == ' ' || unicode.IsPrint(r), "%q", r)
		}
		require.NotContains(t, out, "\nnas_target_ready 0\nnas_target")
		require.NotContains(t, out, strings.Repeat("a", 257))
	}
}
