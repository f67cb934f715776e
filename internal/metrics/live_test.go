package metrics_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/config"
	"nas-target/internal/daemon"
	"nas-target/internal/initiator"
)

const target = "iqn.2026-11.test.metrics:disks"

// serve starts a daemon with a page and two disks.
func serve(t *testing.T) *daemon.Daemon {
	t.Helper()
	conf, err := config.Parse("test.yaml", fmt.Appendf(nil, `
data_dir: %s
page: {listen: "127.0.0.1:3280"}
portals: [{group: 1, listen: ["127.0.0.1:3260"]}]
targets:
  - name: %s
    access: open
    luns:
      - {lun: 0, name: witness, size: 8MiB}
      - {lun: 1, name: shared, size: 16MiB}
`, t.TempDir(), target))
	require.NoError(t, err)
	conf.Page.Listen = "127.0.0.1:0"
	conf.Portals[0].Listen[0] = netip.MustParseAddrPort("127.0.0.1:0")
	d, err := daemon.Start(t.Context(), conf, daemon.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Stop(t.Context())) })
	return d
}

func node(t *testing.T, d *daemon.Daemon, host string, isid byte) *initiator.Unit {
	t.Helper()
	s, err := initiator.Dial(t.Context(), initiator.Config{
		Addr: d.Portals()[0].String(), Target: target, InitiatorName: "iqn.2026-11.test:" + host, ISID: [6]byte{0x80, 1, 1, 1, 1, isid},
	})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	u := s.Unit(0)
	_, err = u.DrainUA(t.Context())
	require.NoError(t, err)
	return u
}

// prometheus is a Prometheus with the alert rules of configs, which scrapes the
// page of a daemon.
type prometheus struct {
	t    *testing.T
	url  string
	http http.Client
}

var listening = regexp.MustCompile(`Listening on"? address=(127\.0\.0\.1:\d+)`)

func startPrometheus(t *testing.T, page string) *prometheus {
	t.Helper()
	at, err := url.Parse(page)
	require.NoError(t, err)
	rules, err := filepath.Abs("../../configs/alerts.yml")
	require.NoError(t, err)
	dir := t.TempDir()
	conf := filepath.Join(dir, "prometheus.yml")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs: [{job_name: nas-target, static_configs: [{targets: [%q]}]}]
`, rules, at.Host), 0o600))
	out, err := exec.Command("promtool", "check", "config", conf).CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.Command("prometheus", "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start(), "install the package prometheus")
	lines := bufio.NewScanner(log)
	p := &prometheus{t: t, http: http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}}
	var said strings.Builder
	for p.url == "" && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			p.url = "http://" + m[1]
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, log)
	}()
	t.Cleanup(func() {
		p.http.CloseIdleConnections()
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
	})
	require.NotEmpty(t, p.url, "prometheus did not start: %s", &said)
	return p
}

// ask returns the data of an answer of the HTTP API.
func (p *prometheus) ask(path string, query url.Values, into any) error {
	resp, err := p.http.Get(p.url + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

// series counts what a query answers with.
func (p *prometheus) series(expr string) (int, error) {
	var data struct{ Result []any }
	err := p.ask("/api/v1/query", url.Values{"query": {expr}}, &data)
	return len(data.Result), err
}

func (p *prometheus) eventually(expr string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { n, err := p.series(expr); return err == nil && n > 0 }, 30*time.Second, 50*time.Millisecond, expr)
}

// firing returns the names of the alerts that fire.
func (p *prometheus) firing() (names []string) {
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	if p.ask("/api/v1/alerts", nil, &data) != nil {
		return nil
	}
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	return names
}

// panels are the queries of the dashboard, as Grafana would send them.
func panels(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../configs/grafana-dashboard.json")
	require.NoError(t, err)
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Name, Expr string } }
	}
	require.NoError(t, json.Unmarshal(b, &d))
	filled := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$lun", ".*")
	all := map[string]string{}
	for _, p := range d.Panels {
		for i, q := range p.Targets {
			all[fmt.Sprint(p.Title, " ", i)] = filled.Replace(q.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		all["annotation "+a.Name] = filled.Replace(a.Expr)
	}
	return all
}

// A real Prometheus scrapes a daemon while a node is fenced: every panel of the
// dashboard shows something, every rule can be evaluated, and the first
// preemption ever raises its alert.
func TestDashboardAndAlertsOverARealScrape(t *testing.T) {
	d := serve(t)
	ctx := t.Context()
	p := startPrometheus(t, d.Page())
	p.eventually(`nas_target_ready == 1`)
	p.eventually(`count_over_time(nas_target_pr_generation{lun="witness"}[1m]) >= 2`)
	require.Empty(t, p.firing())

	one, two := node(t, d, "node1", 1), node(t, d, "node2", 2)
	require.NoError(t, one.RegisterAndIgnore(ctx, 1, true))
	require.NoError(t, two.RegisterAndIgnore(ctx, 2, true))
	require.NoError(t, one.Reserve(ctx, 1, initiator.WriteExclusiveRegistrantsOnly))
	require.NoError(t, one.Write(ctx, 0, make([]byte, 4096)))
	_, err := one.Read(ctx, 0, 8)
	require.NoError(t, err)
	require.NoError(t, two.PreemptAndAbort(ctx, 2, 1, initiator.WriteExclusiveRegistrantsOnly))
	_, err = one.DrainUA(ctx)
	require.NoError(t, err)
	refused := func() { require.Error(t, one.Write(ctx, 0, make([]byte, 512))) }
	refused()
	p.eventually(`nas_target_pr_conflicts_total == 1`)
	refused()
	require.Error(t, two.Write(ctx, 1<<40, make([]byte, 512)))
	for range 25 {
		_, err = initiator.Dial(ctx, initiator.Config{Addr: d.Portals()[0].String(), Target: "iqn.2026-11.test:none", InitiatorName: "iqn.2026-11.test:lost"})
		require.Error(t, err)
	}
	require.Eventually(t, func() bool {
		now := p.firing()
		return slices.Contains(now, "NasTargetPreempted") && slices.Contains(now, "NasTargetLoginFailures")
	}, 30*time.Second, 50*time.Millisecond, "the alerts do not fire")
	require.Subset(t, []string{"NasTargetPreempted", "NasTargetLoginFailures"}, p.firing())

	require.NoError(t, node(t, d, "node3", 3).S.Logout(ctx))
	for title, expr := range panels(t) {
		switch title {
		case "Damaged and rejected 1", "Damaged and rejected 2": // nobody here breaks the protocol or aborts
			_, err := p.series(expr)
			require.NoError(t, err, expr)
		default:
			p.eventually(expr)
		}
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	require.NoError(t, p.ask("/api/v1/rules", nil, &rules))
	require.NotEmpty(t, rules.Groups)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			require.Equal(t, "ok", r.Health, "%s: %s", r.Name, r.LastError)
		}
	}
}

// promtool finds nothing to say about what a daemon exposes.
func TestScrapeIsLinted(t *testing.T) {
	d := serve(t)
	u := node(t, d, "node1", 1)
	require.NoError(t, u.RegisterAndIgnore(t.Context(), 1, true))
	resp, err := http.Get(d.Page() + "metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = resp.Body
	out, err := check.CombinedOutput()
	ours := regexp.MustCompile(`(?m)^nas_target_.*$`).FindAllString(string(out), -1)
	require.Empty(t, ours)
	if err != nil { // the Go runtime's own names are not ours to choose
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 3, exit.ExitCode(), "%s", out)
	}
}
