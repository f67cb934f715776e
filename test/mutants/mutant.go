package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is one deliberate defect.
type mutant struct {
	name string
	file string // relative to the root of the module
	test string // arguments of go test that must fail: package, -run pattern

	old, new string
	list     string // file and line it was read from
}

// parse reads mutants in this form, and "#" comments between them:
//
//	== what is wrong
//	file internal/pr/unit.go
//	test ./internal/pr -run TestApplyOrder
//	<<<<
//	text that occurs once in the file; lines, or part of one
//	====
//	what stands there instead
//	>>>>
func parse(list, text string) ([]mutant, error) {
	var out []mutant
	var m *mutant
	state := "head"
	for i, line := range strings.Split(text, "\n") {
		fail := func(what string) error { return fmt.Errorf("%s:%d: %s", list, i+1, what) }
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case state == "old" && line == "====":
			state = "new"
		case state == "old":
			m.old += line + "\n"
		case state == "new" && line == ">>>>":
			state = "head"
		case state == "new":
			m.new += line + "\n"
		case line == "" || strings.HasPrefix(line, "#"):
		case word == "==":
			out = append(out, mutant{name: strings.TrimSpace(rest), list: fmt.Sprintf("%s:%d", list, i+1)})
			m = &out[len(out)-1]
		case m == nil:
			return nil, fail("text before the first ==")
		case word == "file":
			m.file = rest
		case word == "test":
			m.test = rest
		case line == "<<<<":
			state = "old"
		default:
			return nil, fail("cannot read " + line)
		}
	}
	if state != "head" {
		return nil, fmt.Errorf("%s: the last mutant is not closed by >>>>", list)
	}
	for i := range out {
		m := &out[i]
		m.old, m.new = strings.TrimSuffix(m.old, "\n"), strings.TrimSuffix(m.new, "\n")
		if m.name == "" || m.file == "" || m.test == "" || m.old == "" {
			return nil, fmt.Errorf("%s: a mutant needs a name, file, test and <<<< text", m.list)
		}
	}
	return out, nil
}

// load reads every list in dir.
func load(dir string) ([]mutant, error) {
	lists, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			return nil, err
		}
		ms, err := parse(list, string(b))
		if err != nil {
			return nil, err
		}
		all = append(all, ms...)
	}
	return all, nil
}

// apply returns the source with the defect in it.
func (m mutant) apply(source string) (string, error) {
	switch n := strings.Count(source, m.old); {
	case n != 1:
		return "", fmt.Errorf("%s: %q: its text occurs %d times in %s", m.list, m.name, n, m.file)
	case m.old == m.new:
		return "", fmt.Errorf("%s: %q changes nothing", m.list, m.name)
	}
	return strings.Replace(source, m.old, m.new, 1), nil
}
