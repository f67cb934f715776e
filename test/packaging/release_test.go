package packaging

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// copyTree copies the sources to another place, as another builder has them.
func copyTree(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "another", "place")
	require.NoError(t, os.MkdirAll(to, 0o755))
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = top
	files, err := list.Output()
	require.NoError(t, err)
	for _, f := range strings.Split(strings.TrimSuffix(string(files), "\x00"), "\x00") {
		from := filepath.Join(top, f)
		info, err := os.Stat(from)
		if os.IsNotExist(err) {
			continue // removed, and the removal is not committed yet
		}
		require.NoError(t, err)
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(to, f)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(to, f), b, info.Mode().Perm()))
	}
	return to
}

// Two builders in two places get the same bytes. RELEASE_FRESH=1 builds the
// whole release twice, each time with an empty cache.
func TestReleaseIsReproducible(t *testing.T) {
	fresh := os.Getenv("RELEASE_FRESH") != ""
	sources, second := copyTree(t), t.TempDir()
	if fresh {
		t.Setenv("GOCACHE", t.TempDir())
	}
	require.NoError(t, buildIn(sources, second, "release", arch()))
	first := filepath.Dir(deb(t))
	if fresh {
		first = t.TempDir()
		t.Setenv("GOCACHE", t.TempDir())
		require.NoError(t, buildIn(top, first, "release", arch()))
	}

	lines := strings.Split(strings.TrimSpace(read(t, filepath.Join(second, "SHA256SUMS"))), "\n")
	require.Len(t, lines, 3, "an archive, a Debian package, a bill of materials")
	sums := map[string]string{}
	for _, line := range lines {
		sum, name, _ := strings.Cut(line, "  ")
		sums[name] = sum
		require.Equal(t, sum, sum256(t, filepath.Join(second, name)), name)
		if fresh {
			require.Equal(t, sum, sum256(t, filepath.Join(first, name)), name)
		}
		switch {
		case strings.HasSuffix(name, ".tar.gz"):
			archive(t, filepath.Join(second, name))
		case strings.HasSuffix(name, ".cdx.json"):
			materials(t, read(t, filepath.Join(second, name)), filepath.Join(second, "linux_"+arch(), "nas-target"))
		}
	}
	require.Equal(t, sums[debName()], sum256(t, filepath.Join(first, debName())))
	require.NotContains(t, read(t, filepath.Join(second, "linux_"+arch(), "nas-target")), sources, "a path of the builder")
}

func sum256(t *testing.T, path string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(read(t, path)))
	return hex.EncodeToString(sum[:])
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func archive(t *testing.T, path string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(output(t, "tar", "--numeric-owner", "-tvzf", path)), "\n") {
		require.Contains(t, line, " 0/0 ")
		require.NotContains(t, line, ".go")
	}
}

// materials compares the bill of materials with what the program was built of.
func materials(t *testing.T, bill, program string) {
	t.Helper()
	var bom struct {
		BOMFormat, SpecVersion, SerialNumber string
		Metadata                             struct {
			Timestamp string
			Component struct {
				Name, Version string
				Hashes        []struct{ Alg, Content string }
			}
		}
		Components []struct{ Name, Version, PURL string }
	}
	require.NoError(t, json.Unmarshal([]byte(bill), &bom))
	require.Equal(t, "CycloneDX", bom.BOMFormat)
	require.Equal(t, "nas-target", bom.Metadata.Component.Name)
	require.Equal(t, sum256(t, program), bom.Metadata.Component.Hashes[0].Content)
	require.Equal(t, "2026-11-18T11:06:40Z", bom.Metadata.Timestamp)
	listed := map[string]string{}
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
		require.True(t, strings.HasPrefix(c.PURL, "pkg:golang/"+c.Name+"@"), c.PURL)
	}
	info, err := buildinfo.ReadFile(program)
	require.NoError(t, err)
	want := map[string]string{"std": strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		want[m.Path] = m.Version
	}
	require.Equal(t, want, listed)
	require.NotContains(t, listed, "github.com/goreleaser/nfpm/v2", "what builds the package is not in it")
	require.NotContains(t, listed, "github.com/cpuguy83/go-md2man/v2", "nor what writes the manual")
}
