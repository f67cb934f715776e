package conformance

import (
	"fmt"
	"os"
	"strings"
)

const header = `# What iscsi-test-cu says about nas-target, one line per test.
# Written by: UPDATE=1 make conformance
`

// Save writes the results in the tool's order.
func Save(path string, all []Result) error {
	var b strings.Builder
	b.WriteString(header)
	for _, r := range all {
		fmt.Fprintln(&b, r.Line())
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// Load reads the lines of a file that Save wrote, by test.
func Load(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	lines := map[string]string{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			return nil, fmt.Errorf("%s: cannot read %q", path, line)
		}
		if _, twice := lines[f[1]]; twice {
			return nil, fmt.Errorf("%s: %s stands twice", path, f[1])
		}
		lines[f[1]] = line
	}
	return lines, nil
}

// Differences compares what came out with what was expected, both ways.
func Differences(want map[string]string, got []Result) []string {
	var diff []string
	seen := map[string]bool{}
	for _, r := range got {
		seen[r.Test] = true
		if w, ok := want[r.Test]; !ok {
			diff = append(diff, "not expected: "+r.Line())
		} else if w != r.Line() {
			diff = append(diff, fmt.Sprintf("expected: %s\n     got: %s", w, r.Line()))
		}
	}
	for test, line := range want {
		if !seen[test] {
			diff = append(diff, "did not run: "+line)
		}
	}
	return diff
}

// Count sums the results by status.
func Count(all []Result) map[Status]int {
	n := map[Status]int{}
	for _, r := range all {
		n[r.Status]++
	}
	return n
}

// Summary is one line of counts.
func Summary(all []Result) string {
	n := Count(all)
	s := fmt.Sprintf("libiscsi: %d tests: %d passed, %d skipped, %d failed", len(all), n[Passed], n[Skipped], n[Failed])
	if n[Broken] > 0 {
		s += fmt.Sprintf(", %d broken in the tool", n[Broken])
	}
	if n[Hung]+n[Crashed] > 0 {
		s += fmt.Sprintf(", %d hung, %d crashed", n[Hung], n[Crashed])
	}
	return s
}
