package verify_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/config"
	"nas-target/internal/daemon"
	"nas-target/internal/initiator"
	"nas-target/internal/verify"
)

const target = "iqn.2026-11.test.verify:disks"

// own is a daemon of ours with one disk behind two target ports.
func own(t *testing.T) []verify.Path {
	t.Helper()
	conf, err := config.Parse("test.yaml", fmt.Appendf(nil, `
data_dir: %s
portals:
  - {group: 1, listen: ["127.0.0.1:1"]}
  - {group: 2, listen: ["127.0.0.1:2"]}
targets:
  - name: %s
    access: open
    luns: [{lun: 1, name: a, backstore: ram, size: 8MiB}]
`, t.TempDir(), target))
	require.NoError(t, err)
	for i := range conf.Portals {
		conf.Portals[i].Listen[0] = netip.MustParseAddrPort(fmt.Sprintf("127.0.0.%d:0", i+1))
	}
	d, err := daemon.Start(t.Context(), conf, daemon.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Stop(t.Context())) })
	var paths []verify.Path
	for _, p := range d.Portals() {
		paths = append(paths, verify.Path{
			URL: fmt.Sprintf("iscsi://%s/%s/1", p, target), LUN: 1,
			Login: initiator.Config{Addr: p.String(), Target: target},
		})
	}
	require.Len(t, paths, 2)
	return paths
}

// explain writes what is wrong with a report, step by step.
func explain(r *verify.Report, which ...verify.Verdict) string {
	var b strings.Builder
	for _, c := range r.Cases {
		for _, v := range which {
			if c.Verdict != v {
				continue
			}
			fmt.Fprintf(&b, "%s %s (%s): %s\n", c.Verdict, c.ID, c.Clause, c.Reason)
			for _, s := range c.Steps {
				mark := " "
				if s.Wrong {
					mark = "!"
				}
				fmt.Fprintf(&b, "  %s %s: %s → %s\n", mark, s.Nexus, s.Did, s.Got)
			}
		}
	}
	return b.String()
}

// Our own target does what the cases demand, and has nothing left out.
func TestOwnTargetPasses(t *testing.T) {
	paths := own(t)
	cases, err := verify.Select(verify.Suites(), verify.Profiles(), nil)
	require.NoError(t, err)
	report, err := verify.Run(t.Context(), verify.Options{Paths: paths, Cases: cases, Destructive: true, Offset: -1, Rounds: 3})
	require.NoError(t, err)
	require.Empty(t, report.Stopped)
	require.Empty(t, explain(report, verify.Fail, verify.Errored))
	t.Log(explain(report, verify.Skipped))
	t.Logf("%+v %+v", report.Required, report.Rest)
}
