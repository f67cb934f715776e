package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the package holds: mode, owner, path. The lists that grow with the
// program are checked by what they must name instead.
func TestDebContents(t *testing.T) {
	var listed, pages, docs, examples []string
	for _, line := range strings.Split(strings.TrimSpace(output(t, "dpkg-deb", "-c", deb(t))), "\n") {
		f := strings.Fields(line)
		path := strings.TrimPrefix(f[5], ".")
		dir, name := filepath.Split(path)
		switch {
		case strings.HasSuffix(path, "/"):
			require.Equal(t, "drwxr-xr-x", f[0], path)
			require.Equal(t, "root/root", f[1], path)
			continue
		case dir == "/usr/share/man/man1/":
			pages = append(pages, strings.TrimSuffix(name, ".1.gz"))
		case dir == "/usr/share/doc/nas-target/docs/":
			docs = append(docs, name)
		case dir == "/usr/share/doc/nas-target/examples/" && filepath.Ext(name) == ".yaml":
			examples = append(examples, name)
		default:
			listed = append(listed, f[0]+" "+f[1]+" "+path)
			continue
		}
		require.Equal(t, "-rw-r--r-- root/root", f[0]+" "+f[1], path)
	}
	got := strings.Join(listed, "\n") + "\n"
	const golden = "testdata/deb.golden"
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "UPDATE=1 writes it down")

	require.Equal(t, names(t, "docs/*.md"), docs)
	require.Equal(t, names(t, "configs/*.yaml"), examples)
	require.Subset(t, pages, []string{"nas-target", "nas-target-serve", "nas-target-pr-show", "nas-target-lun-resize"})
	require.NotContains(t, pages, "nas-target-man")
}

func names(t *testing.T, glob string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(top, glob))
	require.NoError(t, err)
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	slices.Sort(files)
	return files
}

// The first manual page says what scripts need.
func TestManualPage(t *testing.T) {
	deb(t)
	page := output(t, "gzip", "-dc", filepath.Join(dist, "man", "nas-target.1.gz"))
	require.Contains(t, page, "5 the daemon cannot be reached")
	require.NotContains(t, page, "cobra")
}

// Completion scripts ask the program for the names of objects.
func TestCompletionScripts(t *testing.T) {
	deb(t)
	for _, name := range []string{"nas-target.bash", "_nas-target", "nas-target.fish"} {
		text, err := os.ReadFile(filepath.Join(dist, "completion", name))
		require.NoError(t, err)
		require.Regexp(t, regexp.MustCompile(`__complete`), string(text), name)
	}
	output(t, "bash", "-n", filepath.Join(dist, "completion", "nas-target.bash"))
}

// The configuration of the package is valid and serves nobody.
func TestShippedConfiguration(t *testing.T) {
	require.Contains(t, output(t, program(t), "config", "validate", filepath.Join(top, "packaging/deb/nas-target.yaml")), "0 targets")
}
