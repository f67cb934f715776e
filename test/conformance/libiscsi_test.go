package conformance

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/test/peers"
)

const expectedFile = "libiscsi.expected"

// TestLibiscsi runs libiscsi's whole suite against our daemon and compares
// every single result with what is expected. UPDATE=1 rewrites the file.
func TestLibiscsi(t *testing.T) {
	tool, err := Find()
	require.NoError(t, err)
	tests, err := tool.List(t.Context())
	require.NoError(t, err)
	outputs := map[string]string{}
	suite := Suite{Tool: tool, Kind: peers.NAS, Dir: t.TempDir(), Observed: func(r Result) { outputs[r.Test] = r.Output }}
	got, err := suite.Run(t.Context(), tests)
	require.NoError(t, err)
	t.Log(Summary(got))
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, Save(expectedFile, got))
	}
	want, err := Load(expectedFile)
	require.NoError(t, err)
	for _, d := range Differences(want, got) {
		t.Error(d)
		for _, r := range got {
			if strings.Contains(d, " "+r.Test) && r.Status != Passed && r.Status != Skipped {
				t.Logf("%s said:\n%s", r.Test, outputs[r.Test])
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
