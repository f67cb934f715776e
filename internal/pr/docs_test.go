package pr_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table in docs/reservations.md names the test that holds each rule. The
// tests are there, under those names, and every row has one.
func TestDocumentedTestsExist(t *testing.T) {
	doc, err := os.ReadFile("../../docs/reservations.md")
	require.NoError(t, err)
	var code strings.Builder
	for _, pattern := range []string{"*_test.go", "prstore/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			code.Write(b)
		}
	}
	exists := func(test string) bool { return strings.Contains(code.String(), "func "+test+"(") }

	named := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(string(doc), -1)
	require.Greater(t, len(named), 20)
	for _, m := range named {
		require.True(t, exists(m[1]), "%s does not exist", m[1])
	}

	rows := 0
	script := regexp.MustCompile(`\*([a-z_]+)\*`)
	for _, line := range strings.Split(string(doc), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.Contains(line, "---") || strings.Contains(line, "| rule |") {
			continue
		}
		rows++
		held := cells[3]
		for _, m := range script.FindAllStringSubmatch(held, -1) {
			one, _ := filepath.Glob("testdata/" + m[1] + ".txt")
			two, _ := filepath.Glob("testdata/rules-" + m[1] + ".txt")
			require.Len(t, append(one, two...), 1, "script %s", m[1])
		}
		require.Regexp(t, "enum|\\*|`Test", held, line)
	}
	require.Greater(t, rows, 50)
}
