package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

var exposure = regexp.MustCompile(`exposure level for nas-target\.service: ([0-9.]+)`)

// What systemd thinks of the sandbox, from 0 for the best to 10, and that the
// documentation says so.
func TestUnitIsHardened(t *testing.T) {
	out := output(t, "systemd-analyze", "security", "--offline=true", "--no-pager", filepath.Join(top, "packaging/systemd/nas-target.service"))
	m := exposure.FindStringSubmatch(out)
	require.NotNil(t, m, out)
	figure, err := strconv.ParseFloat(m[1], 64)
	require.NoError(t, err)
	require.LessOrEqual(t, figure, 2.0, out)
	text, err := os.ReadFile(filepath.Join(top, "docs/install.md"))
	require.NoError(t, err)
	require.Contains(t, string(text), m[0])
}
