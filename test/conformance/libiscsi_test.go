package conformance

import (
	"cmp"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/test/peers"
)

const expectedFile = "libiscsi.expected"

// TestLibiscsi runs libiscsi's whole suite against our daemon and compares
// every single result with what is expected. UPDATE=1 rewrites the file.
func TestLibiscsi(t *testing.T) {
	t.Parallel()
	got := runLibiscsi(t, Suite{}, "")
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, Save(expectedFile, got))
	}
	requireExpected(t, got, "")
}

// With digests nothing comes out differently. CONFORMANCE_DIGESTS chooses other
// tests than those of the protocol and a few that move data.
func TestLibiscsiWithDigests(t *testing.T) {
	t.Parallel() // most of its time is waiting
	only := cmp.Or(os.Getenv("CONFORMANCE_DIGESTS"), `^(iSCSI|MultipathIO|Read10|Write10|CompareAndWrite)`)
	var count Digested
	requireExpected(t, runLibiscsi(t, Suite{Digests: &count}, only), only)
	require.NotZero(t, count.Sent.Load())
	require.NotZero(t, count.Checked.Load())
	t.Logf("%d data digests of the daemon's were right, %d were sent to it", count.Checked.Load(), count.Sent.Load())
}

// runLibiscsi runs the tests whose names match.
func runLibiscsi(t *testing.T, s Suite, only string) []Result {
	tool, err := Find()
	require.NoError(t, err)
	tests, err := tool.List(t.Context())
	require.NoError(t, err)
	match := regexp.MustCompile(only)
	s.Tool, s.Kind, s.Dir = tool, peers.NAS, t.TempDir()
	got, err := s.Run(t.Context(), slices.DeleteFunc(tests, func(test string) bool { return !match.MatchString(test) }))
	require.NoError(t, err)
	t.Log(Summary(got))
	return got
}

// requireExpected compares results with those that are expected of the tests
// whose names match.
func requireExpected(t *testing.T, got []Result, only string) {
	want, err := Load(expectedFile)
	require.NoError(t, err)
	match := regexp.MustCompile(only)
	maps.DeleteFunc(want, func(test, _ string) bool { return !match.MatchString(test) })
	require.NotEmpty(t, want)
	for _, d := range Differences(want, got) {
		t.Error(d)
		for _, r := range got {
			if strings.Contains(d, " "+r.Test) && r.Status != Passed && r.Status != Skipped {
				t.Logf("%s said:\n%s", r.Test, r.Output)
			}
		}
	}
}

// Whatever is skipped has a reason that is ours, and no reason outlives its
// skip.
func TestEverySkipIsExplained(t *testing.T) {
	lines, err := Load(expectedFile)
	require.NoError(t, err)
	for test, line := range lines {
		why := cannotApply[test]
		switch Status(strings.Fields(line)[0]) {
		case Passed:
			require.Empty(t, why, test)
		case Skipped:
			require.NotEmpty(t, why, test)
		case Broken:
		default:
			t.Error(line)
		}
	}
	for test := range cannotApply {
		require.Contains(t, lines, test)
	}
}

// The harness sees failures and skips: tgt has both in this family.
func TestHarnessAgainstAPeer(t *testing.T) {
	tool, err := Find()
	require.NoError(t, err)
	got, err := Suite{Tool: tool, Kind: peers.TGT, Dir: t.TempDir()}.Run(t.Context(),
		[]string{"GetLBAStatus.Simple", "GetLBAStatus.BeyondEol", "GetLBAStatus.UnmapSingle"})
	require.NoError(t, err)
	require.Equal(t, map[Status]int{Passed: 1, Failed: 1, Skipped: 1}, Count(got))
}
