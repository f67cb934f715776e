package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// Every link of a document to a file of the repository, or to a heading of the
// same document, leads somewhere.
func TestLinks(t *testing.T) {
	seen := 0
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			to, part, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, "://") {
				continue
			}
			seen++
			if to != "" {
				_, err := os.Stat(filepath.Join(filepath.Dir(path), to))
				require.NoError(t, err, "%s links to %s", filepath.Base(path), m[1])
				continue
			}
			require.Contains(t, slugs(string(text)), part, "%s links to its own %s", filepath.Base(path), m[1])
		}
	}
	require.NotZero(t, seen)
}

// slugs are the names under which headings can be linked to.
func slugs(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}
