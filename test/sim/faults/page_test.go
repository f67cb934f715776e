package faults

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What docs/security.md says about tests is so: each class of attack and each
// fault that concerns the network has tests, and they exist.
func TestPageNamesTests(t *testing.T) {
	top, err := filepath.Abs("../../..")
	require.NoError(t, err)
	exists := map[string]bool{}
	require.NoError(t, filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil // somebody else's test will say so
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				exists[fn.Name.Name] = true
			}
		}
		return nil
	}))
	page, err := os.ReadFile(filepath.Join(top, "docs", "security.md"))
	require.NoError(t, err)
	rows := map[string]bool{}
	row := regexp.MustCompile(`(?m)^\| ([CF]\d+) \| [^|]+ \| ([^|]+) \|$`)
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		names := regexp.MustCompile("`([A-Za-z0-9_]+)`").FindAllStringSubmatch(m[2], -1)
		require.NotEmpty(t, names, m[1])
		for _, n := range names {
			require.True(t, exists[n[1]], "%s: there is no %s", m[1], n[1])
		}
		require.False(t, rows[m[1]], "%s twice", m[1])
		rows[m[1]] = true
	}
	for _, want := range strings.Fields("C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 C11 C12 C13 C14 C15 F1 F2 F3 F4 F5 F6 F7 F8 F9 F18 F19 F20 F21 F22 F23") {
		require.True(t, rows[want], "no row for %s", want)
	}
}
