package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const configs = "../../configs"

// exposed is every metric name a scrape can show, and every label with it.
func exposed(t *testing.T) (names map[string]bool, labels map[string]bool) {
	t.Helper()
	names = map[string]bool{"up": true, "ALERTS": true, "process_cpu_seconds_total": true, "process_resident_memory_bytes": true}
	labels = map[string]bool{"instance": true, "job": true, "le": true}
	families, err := full(t).registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		name := f.GetName()
		names[name] = true
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
			if m.GetHistogram() != nil {
				names[name+"_bucket"], names[name+"_sum"], names[name+"_count"] = true, true, true
			}
		}
	}
	return names, labels
}

var (
	metricName = regexp.MustCompile(`\b(?:nas_target|process)_[a-z_]+\b`)
	matcher    = regexp.MustCompile(`\b([a-z_]+)(?:=~|!~|!=|=)"`)
	grouping   = regexp.MustCompile(`\bby \(([a-z_, ]+)\)`)
)

// requireKnown checks that an expression names only what there is.
func requireKnown(t *testing.T, expr string) {
	t.Helper()
	names, labels := exposed(t)
	for _, n := range metricName.FindAllString(expr, -1) {
		require.True(t, names[n], "%s is no metric: %s", n, expr)
	}
	for _, m := range matcher.FindAllStringSubmatch(expr, -1) {
		require.True(t, labels[m[1]], "%s is no label: %s", m[1], expr)
	}
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(m[1], ", ") {
			require.True(t, labels[l], "%s is no label: %s", l, expr)
		}
	}
}

func TestAlertRules(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = configs
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	rules, err := os.ReadFile(filepath.Join(configs, "alerts.yml"))
	require.NoError(t, err)
	requireKnown(t, string(rules))
}

func TestDashboard(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(configs, "grafana-dashboard.json"))
	require.NoError(t, err)
	var d struct {
		UID, Title string
		Panels     []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	require.NoError(t, json.Unmarshal(b, &d))
	require.NotEmpty(t, d.UID)
	ids, shown := map[int]bool{}, map[string]bool{}
	taken := map[[2]int]string{}
	var exprs []string
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], "id %d stands twice", p.ID)
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			require.Less(t, x, 24, p.Title)
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				at := [2]int{x, y}
				require.Empty(t, taken[at], "%s lies on %s", p.Title, taken[at])
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, q := range p.Targets {
			requireKnown(t, q.Expr)
			exprs = append(exprs, q.Expr)
			for _, n := range metricName.FindAllString(q.Expr, -1) {
				shown[n] = true
			}
		}
	}
	for _, a := range d.Annotations.List {
		requireKnown(t, a.Expr)
		exprs = append(exprs, a.Expr)
	}
	requireQueries(t, exprs)
	variables := string(b)
	for _, v := range regexp.MustCompile(`\$(?:\{)?([a-z]+)`).FindAllStringSubmatch(variables, -1) {
		found := false
		for _, have := range d.Templating.List {
			found = found || have.Name == v[1]
		}
		require.True(t, found, "$%s is no variable", v[1])
	}
	// Every figure of ours is on the dashboard or in the alert rules.
	rules, err := os.ReadFile(filepath.Join(configs, "alerts.yml"))
	require.NoError(t, err)
	for _, n := range metricName.FindAllString(string(rules), -1) {
		shown[n] = true
	}
	families, err := full(t).registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		switch n := f.GetName(); {
		case !strings.HasPrefix(n, "nas_target_"), n == "nas_target_build_info", n == "nas_target_start_time_seconds", n == "nas_target_lun_info",
			n == "nas_target_lun_write_cache_enabled", n == "nas_target_lun_conflicts_total":
		default:
			require.True(t, shown[n] || shown[n+"_bucket"], "nobody looks at %s", n)
		}
	}
}

// requireQueries lets promtool read the dashboard's queries, as if each were a
// recording rule.
func requireQueries(t *testing.T, exprs []string) {
	t.Helper()
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for i, e := range exprs {
		e = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$lun", ".*").Replace(e)
		rules = append(rules, rule{fmt.Sprintf("panel:%d", i), e})
	}
	b, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}) // JSON is YAML
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "rules.yml")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	out, err := exec.Command("promtool", "check", "rules", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
