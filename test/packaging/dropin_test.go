package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The units, with every drop-in that the documentation shows and those that are
// shipped, are what systemd understands.
func TestDropInsAreUnderstood(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(top, "packaging/systemd")
	for _, name := range []string{"nas-target.service", "nas-target.socket"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		require.NoError(t, err)
		// The program need not be installed where this runs.
		text := strings.ReplaceAll(string(b), "/usr/bin/nas-target", "/bin/true")
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	dropIns := filepath.Join(dir, "nas-target.service.d")
	require.NoError(t, os.Mkdir(dropIns, 0o755))
	doc, err := os.ReadFile(filepath.Join(top, "docs/install.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```ini\n(.*?)```").FindAllStringSubmatch(string(doc), -1)
	require.GreaterOrEqual(t, len(blocks), 2)
	all := ""
	for i, b := range blocks {
		all += b[1]
		require.NoError(t, os.WriteFile(filepath.Join(dropIns, fmt.Sprintf("doc%d.conf", i)), []byte(b[1]), 0o644))
	}
	require.Contains(t, all, "LoadCredential=chap-secrets:")
	shipped, err := os.ReadFile(filepath.Join(from, "block-devices.conf"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dropIns, "block-devices.conf"), shipped, 0o644))

	verify := func() string {
		cmd := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "nas-target.service", "nas-target.socket")
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		out, _ := cmd.CombinedOutput() // what it has to say it says here
		var ours []string
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "nas-target") {
				ours = append(ours, line)
			}
		}
		return strings.Join(ours, "")
	}
	require.Empty(t, verify())
	require.NoError(t, os.WriteFile(filepath.Join(dropIns, "wrong.conf"), []byte("[Service]\nLoadCredentials=a:b\n"), 0o644))
	require.Contains(t, verify(), "Unknown key", "so that it looks at drop-ins at all")
}
