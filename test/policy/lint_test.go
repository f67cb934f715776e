package policy

import (
	"os/exec"
	"path/filepath"
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

// Modules of their own are not part of ./..., and must build, too.
func TestOtherModulesBuild(t *testing.T) {
	for _, module := range []string{"test/peers/gotgt", "packaging/tools"} {
		t.Run(module, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "go", "vet", "./...")
			cmd.Dir = filepath.Join(root(t), module)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}

// Files behind a build tag are not part of it either.
func TestTaggedFilesBuild(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "vet", "-tags=man", "./cmd/nas-target")
	cmd.Dir = root(t)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
