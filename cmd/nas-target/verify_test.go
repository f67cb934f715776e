package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/verify"
)

func TestVerifyAnswersInEveryForm(t *testing.T) {
	url := startDaemon(t)
	dir := t.TempDir()
	junit, html := filepath.Join(dir, "report.xml"), filepath.Join(dir, "report.html")
	code, out, progress := run(t, "verify", url, "--destructive", "--case", "pr.register.*", "--case", "iscsi.nop.echo", "--junit", junit, "--html", html)
	require.Equal(t, exitOK, code, "%s%s", out, progress)
	require.Contains(t, out, "written blocks 6144 to 8191 of 8192, and put back")
	require.Contains(t, out, "required: ")
	require.Contains(t, progress, "pass     pr.register.new\n")
	require.NotContains(t, progress, "\x1b", "an escape sequence where there is no terminal")
	for _, line := range strings.Split(out, "\n") {
		require.LessOrEqual(t, len([]rune(line)), width, line)
	}

	b, err := os.ReadFile(junit)
	require.NoError(t, err)
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name string `xml:"name,attr"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(b, &suites))
	require.Len(t, suites.Suites, 2)
	require.Equal(t, suites.Tests, len(suites.Suites[0].Cases)+len(suites.Suites[1].Cases))
	require.Zero(t, suites.Failures)

	b, err = os.ReadFile(html)
	require.NoError(t, err)
	require.Contains(t, string(b), "<code>pr.register.new</code>")
	require.NotContains(t, string(b), "src=", "the page must need nothing else")

	code, out, progress = run(t, "verify", url, "--case", "scsi.inquiry.standard", "-o", "json")
	require.Equal(t, exitOK, code, progress)
	var r verify.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, []string{url}, r.Target.URLs)
	require.Len(t, r.Cases, 1)
	require.Equal(t, verify.Pass, r.Cases[0].Verdict)
	require.NotEmpty(t, r.Cases[0].Steps)

	code, out, _ = run(t, "verify", "--list", "--profile", "windows-cluster", "-o", "yaml")
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "id: windows-cluster.multiple-arbitration")
	code, out, _ = run(t, "verify", "--list")
	require.Equal(t, exitOK, code)
	for _, line := range strings.Split(out, "\n") {
		require.LessOrEqual(t, len([]rune(line)), width, line)
	}
}

func TestVerifyRefuses(t *testing.T) {
	const nowhere = "iscsi://127.0.0.1:1/iqn.2026-11.test.cmd:disks/0"
	open := filepath.Join(t.TempDir(), "secrets")
	require.NoError(t, os.WriteFile(open, []byte("node a-long-secret-of-node\n"), 0o644))
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no URL":              {nil, exitUsage, "--help"},
		"list of a URL":       {[]string{nowhere, "--list"}, exitUsage, "--help"},
		"no LUN":              {[]string{"iscsi://127.0.0.1:1"}, exitUsage, "names no LUN"},
		"no such suite":       {[]string{nowhere, "--suite", "prr"}, exitUsage, "iscsi, scsi, pr"},
		"no such profile":     {[]string{nowhere, "--profile", "linux"}, exitUsage, "mpathpersist"},
		"no such case":        {[]string{nowhere, "--case", "pr.nothing"}, exitUsage, "--list"},
		"odd range":           {[]string{nowhere, "--range", "much"}, exitUsage, "--range"},
		"secret in the URL":   {[]string{"iscsi://node%geheim12345678@127.0.0.1:1/iqn.a:b/0"}, exitUsage, "--secrets"},
		"no secret":           {[]string{"iscsi://node@127.0.0.1:1/iqn.a:b/0"}, exitUsage, "the secret of node is nowhere"},
		"secrets for all":     {[]string{"iscsi://node@127.0.0.1:1/iqn.a:b/0", "--secrets", open}, exitUsage, "chmod 600"},
		"clear, but harmless": {[]string{nowhere, "--clear-registered"}, exitUsage, "--destructive"},
		"nobody there":        {[]string{nowhere}, exitUnreachable, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := run(t, append([]string{"verify"}, c.args...)...)
			require.Equal(t, c.code, code, stderr)
			require.Contains(t, stderr, c.says)
			require.NotContains(t, out+stderr, "geheim")
		})
	}
}

// A unit that a cluster uses is left alone, until somebody says otherwise.
func TestVerifyLeavesClustersAlone(t *testing.T) {
	url := startDaemon(t)
	u, err := initiator.ParseURL(url)
	require.NoError(t, err)
	conf := u.Config()
	conf.InitiatorName = "iqn.2026-11.test.cluster:node1"
	s, err := initiator.Dial(t.Context(), conf)
	require.NoError(t, err)
	defer s.Close()
	unit := s.Unit(u.LUN)
	_, err = unit.DrainUA(t.Context())
	require.NoError(t, err)
	require.NoError(t, unit.Register(t.Context(), 0, 0xa1))

	code, _, stderr := run(t, "verify", url, "--destructive", "--case", "pr.register.new")
	require.Equal(t, exitRefused, code, stderr)
	require.Contains(t, stderr, "iqn.2026-11.test.cluster:node1,i,0x")
	require.Contains(t, stderr, "0xa1")
	require.Contains(t, stderr, "--clear-registered")
	keys, err := unit.ReadKeys(t.Context())
	require.NoError(t, err)
	require.Equal(t, []uint64{0xa1}, keys.Keys)

	code, _, stderr = run(t, "verify", url, "--case", "pr.in.*")
	require.Equal(t, exitOK, code, "what changes nothing may run: %s", stderr)

	code, out, stderr := run(t, "verify", url, "--destructive", "--clear-registered", "--case", "pr.register.new")
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, strings.Join(strings.Fields(out), " "), "cleared the registrations of iqn.2026-11.test.cluster:node1")
}

func TestVerifyExitCodes(t *testing.T) {
	for _, c := range []struct {
		report verify.Report
		says   string
	}{
		{verify.Report{Required: verify.Count{Pass: 3, Skipped: 2}, Rest: verify.Count{Fail: 1}}, ""},
		{verify.Report{Required: verify.Count{Pass: 3, Fail: 1}}, "1 required case failed"},
		{verify.Report{Required: verify.Count{Pass: 3, Error: 2}}, "2 required cases could not be judged"},
		{verify.Report{Stopped: "interrupted"}, "stopped interrupted"},
	} {
		err := verdictError(&c.report)
		require.Equal(t, c.says == "", c.report.OK())
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, c.says)
	}
	for err, code := range map[error]int{verify.ErrUsage: exitUsage, verify.ErrRefused: exitRefused, verify.ErrUnreachable: exitUnreachable} {
		var coded *codedError
		require.ErrorAs(t, verifyError(fmt.Errorf("%w: so", err)), &coded)
		require.Equal(t, code, coded.code)
	}
}
