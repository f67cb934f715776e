package main

import (
	"fmt"
	"io"
	"strings"
)

// event is one line of go test -json (go doc test2json, and build events).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

type summary struct {
	out    io.Writer
	output map[string]*strings.Builder // by package and test
	leaf   map[string]bool             // tests seen; false once a subtest of it is seen
	result map[string]string           // by package and test; "" while it runs
	failed int                         // packages that failed without a failing test
}

func newSummary(out io.Writer) *summary {
	return &summary{out: out, output: map[string]*strings.Builder{}, leaf: map[string]bool{}, result: map[string]string{}}
}

func (s *summary) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "run":
		s.leaf[key], s.result[key] = true, ""
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
			s.leaf[e.Package+" "+e.Test[:i]] = false
		}
	case "output":
		b := s.output[key]
		if b == nil {
			b = new(strings.Builder)
			s.output[key] = b
		}
		b.WriteString(e.Output)
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.finish(e)
			return
		}
		s.result[key] = e.Action
		if e.Action == "fail" && s.output[key] != nil {
			fmt.Fprintf(s.out, "%s\n%s", e.Package, s.output[key])
		}
		delete(s.output, key)
	}
}

// finish ends a package. A package that fails while no test of it did has
// panicked, timed out or not been built: what it printed is all there is.
func (s *summary) finish(e event) {
	told := false
	for key, result := range s.result {
		if !strings.HasPrefix(key, e.Package+" ") {
			continue
		}
		if result == "" {
			s.result[key] = "fail"
			if b := s.output[key]; b != nil {
				fmt.Fprintf(s.out, "%s: did not finish\n%s", key, b)
			}
		}
		told = told || s.result[key] == "fail"
	}
	if e.Action == "fail" && !told {
		s.failed++
	}
	if e.Action == "fail" {
		if b := s.output[e.Package+" "]; b != nil {
			fmt.Fprint(s.out, b)
		}
	}
	fmt.Fprintf(s.out, "%-4s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
	delete(s.output, e.Package+" ")
}

// counts sums leaves; a test that was skipped did not pass.
func (s *summary) counts() (passed, failed int) {
	failed = s.failed
	for key, result := range s.result {
		switch {
		case result == "pass" && s.leaf[key]:
			passed++
		case result == "fail" && (s.leaf[key] || !s.failedBelow(key)):
			failed++
		}
	}
	return passed, failed
}

// failedBelow reports whether a subtest of the test failed, so that the
// failure is counted there.
func (s *summary) failedBelow(key string) bool {
	for other, result := range s.result {
		if result == "fail" && strings.HasPrefix(other, key+"/") {
			return true
		}
	}
	return false
}
