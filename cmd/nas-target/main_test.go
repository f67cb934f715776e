package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// run executes the command line and returns its exit code and output.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = executeTo(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

func TestExitCodes(t *testing.T) {
	nowhere := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":               {[]string{"--help"}, exitOK, ""},
		"version":            {[]string{"version"}, exitOK, ""},
		"good file":          {[]string{"config", "validate", "../../configs/lab.yaml"}, exitOK, ""},
		"bad file":           {[]string{"config", "validate", "../../internal/config/testdata/unknown-key.bad.yaml"}, exitError, "did you mean luns?"},
		"unknown command":    {[]string{"sreve"}, exitUsage, "serve"},
		"unknown flag":       {[]string{"serve", "--prot", "1"}, exitUsage, "--help"},
		"too many arguments": {[]string{"version", "x"}, exitUsage, "--help"},
		"no configuration":   {[]string{"serve", "--config", nowhere + "/none.yaml"}, exitError, "none.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := run(t, c.args...)
			require.Equal(t, c.code, code, stderr)
			require.Contains(t, stderr, c.says)
		})
	}
}

// An environment without HOME makes nobody run a program: gotgt's package would,
// before main begins.
func TestNoProgramIsRunWithoutHome(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "mark")
	for _, name := range []string{"getent", "sh"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho $0 >>"+mark+"\n"), 0o700))
	}
	cmd := exec.Command(os.Args[0], "version")
	cmd.Env = []string{playEnv + "=1", "PATH=" + dir}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NoFileExists(t, mark)
}
