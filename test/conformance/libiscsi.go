package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Status of one test.
type Status string

const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped" // the target does not implement what is tested
	Hung    Status = "hung"    // no result within the time limit
	Crashed Status = "crashed" // the tool ended without a result
	Broken  Status = "broken"  // the tool's own defect: see broken
)

// Result of one test.
type Result struct {
	Test   string // Suite.Test
	Status Status
	Reason string // why it is not passed, in the tool's words
	Output string // all the tool printed; not kept in the expected file
}

// Line is the form of a result in the expected file.
func (r Result) Line() string {
	return strings.TrimRight(fmt.Sprintf("%-7s %s  %s", r.Status, r.Test, r.Reason), " ")
}

// Tool is iscsi-test-cu and how to run it.
type Tool struct {
	Path  string
	Limit time.Duration // for one test
}

// Find locates the tool.
func Find() (Tool, error) {
	path, err := exec.LookPath("iscsi-test-cu")
	if err != nil {
		return Tool{}, fmt.Errorf("%w: apt-get install libiscsi-bin", err)
	}
	// The longest test that ends by itself waits 6 s for a command to time out.
	return Tool{Path: path, Limit: 60 * time.Second}, nil
}

var testName = regexp.MustCompile(`^ALL\.([^.\s]+\.[^.\s]+)$`)

// List names every test the tool has, as Suite.Test, in its order.
func (t Tool) List(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, t.Path, "--list").Output()
	if err != nil {
		return nil, err
	}
	var tests []string
	for line := range strings.Lines(string(out)) {
		if m := testName.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			tests = append(tests, m[1])
		}
	}
	if len(tests) == 0 {
		return nil, errors.New("iscsi-test-cu --list names no tests")
	}
	return tests, nil
}

// longest names the tests that take longer than others, and how long.
var longest = map[string]time.Duration{
	"Sanitize.Reset": 3 * time.Minute, // it looks whether the erasure has ended once a minute
}

// broken names the tests of the tool that say nothing about any target, and
// why. They are not run, and never count as passed.
var broken = map[string]string{
	"iSCSITMF.LUNResetSimpleAsync": "run alone it fails before its request has left, run after its predecessor it passes without sending one",
}

// Run runs one test against the LUN at url, which is the LUN at path2 too. It
// loses its data.
func (t Tool) Run(ctx context.Context, test, url, path2 string) Result {
	t.Limit = max(t.Limit, longest[test])
	if why := broken[test]; why != "" {
		return Result{Test: test, Status: Broken, Reason: why}
	}
	ctx, cancel := context.WithTimeout(ctx, t.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.Path, "--dataloss", "--allow-sanitize", "--Verbose-scsi", "--test=ALL."+test, url, path2)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	r := parse(test, out.String())
	switch {
	case ctx.Err() != nil && r.Status == Crashed:
		r.Status, r.Reason = Hung, fmt.Sprintf("no result in %v", t.Limit)
	case r.Status == Crashed && err != nil:
		r.Reason = err.Error()
	}
	return r
}

var (
	mark    = regexp.MustCompile(`\[(SKIPPED|FAILED)\][ \t]*([^\n]*)`)
	verdict = regexp.MustCompile(`(?m)(?:^|\.\.\.)(passed|FAILED)`)
	numbers = regexp.MustCompile(`\b(\d{4,}|0x[0-9a-fA-F]{5,})\b`)
)

// parse reads the tool's output for one test. Its form is CUnit's:
//
//	Suite: Read10
//	  Test: Simple ...
//	    what the test says
//	passed
func parse(test, out string) Result {
	r := Result{Test: test, Output: out}
	_, name, _ := strings.Cut(test, ".")
	_, body, ok := strings.Cut(out, "  Test: "+name+" ...")
	if !ok {
		r.Status, r.Reason = Crashed, "the tool did not run the test"
		return r
	}
	body, _, _ = strings.Cut(body, "\nRun Summary:")
	end := verdict.FindStringSubmatchIndex("..." + body)
	if end == nil {
		r.Status, r.Reason = Crashed, "no verdict"
		return r
	}
	body = "..." + body
	// What follows the verdict is the tool cleaning up after the test.
	said := mark.FindAllStringSubmatch(body[:end[2]], -1)
	switch body[end[2]:end[3]] {
	case "FAILED":
		r.Status = Failed
		r.Reason = firstMark(said, "FAILED")
		if r.Reason == "" {
			r.Reason = firstAssertion(body[end[3]:])
		}
	default:
		r.Status = Passed
		if r.Reason = firstMark(said, "SKIPPED"); r.Reason != "" {
			r.Status = Skipped
		}
	}
	return r
}

// firstMark finds what the tool said first under a mark. Long numbers
// (addresses of random blocks, task tags) vary and are left out.
func firstMark(said [][]string, kind string) string {
	for _, m := range said {
		if m[1] == kind {
			return numbers.ReplaceAllString(strings.TrimSpace(m[2]), "…")
		}
	}
	return ""
}

var assertion = regexp.MustCompile(`(?m)^ +1\. (\S+  - \S+)`)

func firstAssertion(body string) string {
	if m := assertion.FindStringSubmatch(body); m != nil {
		return m[1]
	}
	return "FAILED"
}
