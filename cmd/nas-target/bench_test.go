package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/config"
	"nas-target/internal/daemon"
	"nas-target/internal/load"
)

// startDaemon runs a daemon with one open LUN and returns its URL.
func startDaemon(t *testing.T) string {
	t.Helper()
	conf, err := config.Parse("test.yaml", fmt.Appendf(nil, `
data_dir: %s
portals: [{group: 1, listen: ["127.0.0.1:1"]}]
targets:
  - name: iqn.2026-11.test.cmd:disks
    access: open
    luns: [{lun: 3, name: a, backstore: ram, size: 4MiB}]
`, t.TempDir()))
	require.NoError(t, err)
	conf.Portals[0].Listen[0] = netip.MustParseAddrPort("127.0.0.1:0")
	d, err := daemon.Start(t.Context(), conf, daemon.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Stop(t.Context())) })
	return fmt.Sprintf("iscsi://%s/iqn.2026-11.test.cmd:disks/3", d.Portals()[0])
}

func TestBenchMeasures(t *testing.T) {
	url := startDaemon(t)
	quick := []string{"bench", url, "--time", "200ms", "--warmup", "0s", "--depth", "4", "--sessions", "2"}

	code, out, progress := run(t, quick...)
	require.Equal(t, exitOK, code, progress)
	require.Contains(t, out, url)
	require.Contains(t, progress, "4 KiB random read, 2×4, 200ms")
	require.NotContains(t, progress, "\x1b", "an escape sequence where there is no terminal")

	code, out, progress = run(t, append(quick, url, "--rounds", "2", "-o", "json")...)
	require.Equal(t, exitOK, code, progress)
	var results []benchResult
	require.NoError(t, json.Unmarshal([]byte(out), &results))
	require.Len(t, results, 4, "two URLs in two rounds")
	for _, r := range results {
		require.NotZero(t, r.IOs)
		require.NotZero(t, r.Latency.P99)
	}

	code, _, progress = run(t, append(quick, "--kind", "verify", "--destructive")...)
	require.Equal(t, exitOK, code, progress)
}

func TestBenchRefuses(t *testing.T) {
	const url = "iscsi://127.0.0.1:1/iqn.2026-11.test.cmd:disks/0"
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no URL":               {nil, exitUsage, "--help"},
		"no LUN":               {[]string{"iscsi://127.0.0.1:1"}, exitUsage, "names no LUN"},
		"no iSCSI URL":         {[]string{"http://x"}, exitUsage, "iscsi://"},
		"write without a word": {[]string{url, "--kind", "write"}, exitRefused, "--destructive"},
		"unknown kind":         {[]string{url, "--kind", "sing", "--destructive"}, exitUsage, "sing"},
		"odd block":            {[]string{url, "--block", "big"}, exitUsage, "--block"},
		"unknown form":         {[]string{url, "-o", "xml"}, exitUsage, "json or yaml"},
		"nobody there":         {[]string{url}, exitError, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := run(t, append([]string{"bench"}, c.args...)...)
			require.Equal(t, c.code, code, stderr)
			require.Contains(t, stderr, c.says)
		})
	}
}

// The secret of a user comes from anywhere but the URL, and reaches neither the
// table nor the progress.
func TestBenchSecrets(t *testing.T) {
	f := benchFlags{kind: "read", block: "4KiB", region: "0", rounds: 1}
	_, err := f.options([]string{"iscsi://user%geheim12345678@127.0.0.1/iqn.2026-11.test:a/0"})
	require.ErrorContains(t, err, "--secrets")
	require.NotContains(t, err.Error(), "geheim")

	f.secrets = filepath.Join(t.TempDir(), "secrets")
	require.NoError(t, os.WriteFile(f.secrets, []byte("user geheim12345678\n"), 0o600))
	runs, err := f.options([]string{"iscsi://user@127.0.0.1/iqn.2026-11.test:a/0"})
	require.NoError(t, err)
	require.Equal(t, "geheim12345678", runs[0].options.Target.CHAP.Secret)
	require.NotContains(t, runs[0].name, "geheim")
}

func TestBenchTableComparesWithTheFirst(t *testing.T) {
	round := func(url string, iops float64) benchResult {
		return benchResult{URL: url, Result: load.Result{IOPS: iops, Latency: load.Latency{P50: 90, P99: 12345}}}
	}
	var b bytes.Buffer
	benchTable(&b, []benchResult{
		round("iscsi://a", 100), round("iscsi://b", 900), round("iscsi://a", 300), round("iscsi://b", 400), round("iscsi://a", 200), round("iscsi://b", 500),
	})
	lines := strings.Split(b.String(), "\n")
	require.Regexp(t, `^iscsi://a +3 +200 .* 90µs .* 12\.35ms .* 1\.00$`, lines[1])
	require.Regexp(t, `^iscsi://b +3 +500 .* 2\.50$`, lines[2])
}
