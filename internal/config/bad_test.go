package config

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBadFiles compares what is said of each file; here the files as a whole
// are looked at: there are many, and each message has a line that says more
// than that something is wrong.
func TestBadFilesSayWhere(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 90)
	placed := regexp.MustCompile(`(?m)^# error: ([a-z0-9-]+\.bad\.yaml):\d+: (.+)$`)
	for _, path := range files {
		name := filepath.Base(path)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		all := placed.FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, all, name)
		for _, m := range all {
			require.Equal(t, name, m[1], "the message names another file")
			require.NotRegexp(t, `did not find|found character|expected a map|%!|map\[`, m[2], "said for programmers, not for operators")
		}
	}
}
