package policy

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// The linters are tests, so that one run and one count tell everything.
func TestLinters(t *testing.T) {
	for name, args := range map[string][]string{
		"vet":         {"vet", "./..."},
		"staticcheck": {"tool", "staticcheck", "./..."},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", args...)
			cmd.Dir = root(t)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}

// The peers' module is not part of ./..., and must build, too.
func TestPeerModuleBuilds(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "vet", "./...")
	cmd.Dir = root(t) + "/test/peers/gotgt"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
