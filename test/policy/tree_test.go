package policy

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the top of the module: a test runs in its package's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "go.mod"))
	return dir
}

// files lists what the repository holds or is about to hold: tracked files and
// new ones that are not ignored. Without a git checkout (a source archive) it
// walks the tree.
func files(t *testing.T) []string {
	t.Helper()
	top := root(t)
	cmd := exec.Command("git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	out, err := cmd.Output()
	var all []string
	if err == nil {
		for _, f := range strings.Split(string(out), "\x00") {
			if f != "" {
				all = append(all, filepath.Join(top, f))
			}
		}
	} else {
		err = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				all = append(all, path)
			}
			return err
		})
		require.NoError(t, err)
	}
	require.NotEmpty(t, all)
	return all
}

func rel(t *testing.T, path string) string {
	t.Helper()
	r, err := filepath.Rel(root(t), path)
	require.NoError(t, err)
	return filepath.ToSlash(r)
}

func TestEveryPackageTellsItsStory(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue // test files only
		}
		path := filepath.Join(p.Dir, "doc.go")
		src, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%s has no doc.go", p.rel())
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ParseComments)
		require.NoError(t, err)
		want := "Package " + p.Name
		if p.Name == "main" {
			want = "Command " + filepath.Base(p.Dir)
		}
		if !strings.HasPrefix(docText(f), want+" ") {
			t.Errorf("%s: doc.go should begin %q", p.rel(), want+" …")
		}
	}
}

func docText(f *ast.File) string {
	if f.Doc == nil {
		return ""
	}
	return f.Doc.Text()
}

func TestGofmt(t *testing.T) {
	for _, path := range files(t) {
		if filepath.Ext(path) != ".go" {
			continue
		}
		src, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // removed, and the removal is not committed yet
		}
		require.NoError(t, err)
		want, err := format.Source(src)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if !bytes.Equal(src, want) {
			t.Errorf("%s: gofmt would change it", path)
		}
	}
}

// The patterns are put together from pieces, or this file would match itself.
var banned = []struct {
	re  *regexp.Regexp
	ext string // "" for every file
	why string
}{
	{regexp.MustCompile(`(^|[^\w.])/(` + `wo` + `rk|fa` + `rm)/`), "", "names a directory of one machine"},
	{regexp.MustCompile(`GOPRO` + `XY=|npm_config_` + `registry`), "", "names a package registry"},
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`), ".go", "promises later work: do it, or write down what is missing where users read it"},
	{regexp.MustCompile(`\bt\.Sk` + `ip(Now|f)?\(`), ".go", "a test that does not run proves nothing: make what it needs a requirement"},
	{regexp.MustCompile(`(?i)-----BEGIN [A-Z ]*PRIVATE ` + `KEY`), "", "a private key"},
}

// excused files may hold a banned pattern, for the reason given.
var excused = map[string]string{
	"internal/backstore/helpers_test.go": "only root can make a block device of its own, and only where loop devices exist",
	"test/interop/helpers_test.go":       "only root can make a block device or a file system of its own, and only where loop devices exist",
	"test/packaging/machine_test.go":     "only root can boot a machine to install in; the package's contents, the units and the program are tested without",
}

func TestNoForeignWords(t *testing.T) {
	for _, path := range files(t) {
		src, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		if bytes.IndexByte(src, 0) >= 0 {
			continue // binary
		}
		for _, b := range banned {
			if b.ext != "" && (filepath.Ext(path) != b.ext || excused[rel(t, path)] != "") {
				continue
			}
			if at := b.re.FindIndex(src); at != nil {
				line := 1 + bytes.Count(src[:at[0]], []byte("\n"))
				t.Errorf("%s:%d: %q: %s", path, line, src[at[0]:at[1]], b.why)
			}
		}
	}
}

func TestBannedPatternsMatch(t *testing.T) {
	for i, bad := range []string{"see /wo" + "rk/main", "GOPRO" + "XY=x", "// TO" + "DO later", "t.Sk" + "ip(\"later\")", "-----BEGIN RSA PRIVATE " + "KEY-----"} {
		require.Regexp(t, banned[i].re, bad)
	}
	require.NotRegexp(t, banned[0].re, "internal/work/x", "a relative path is nobody's machine")
}
