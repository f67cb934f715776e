package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"nas-target/internal/admin"
)

// leaves are the commands that do something.
func leaves(c *cobra.Command) []*cobra.Command {
	if !c.HasSubCommands() {
		return []*cobra.Command{c}
	}
	var all []*cobra.Command
	for _, s := range c.Commands() {
		all = append(all, leaves(s)...)
	}
	return all
}

// speaksForItself are the commands whose output has a form of its own.
var speaksForItself = map[string]string{
	"nas-target serve":         "it logs until it ends",
	"nas-target config import": "it writes a configuration",
}

var object = regexp.MustCompile(`\b(NAME|LUN|ID|ADDRESS)\b`)

// Every command has its answer for programs, and every object its completion.
func TestEveryCommand(t *testing.T) {
	all := leaves(newRoot())
	require.Greater(t, len(all), 20)
	for _, c := range all {
		path, args := c.CommandPath(), strings.TrimPrefix(c.Use, c.Name())
		require.NotEmpty(t, c.Short, path)
		require.Equal(t, speaksForItself[path] == "", c.Flags().Lookup("output") != nil, "%s: -o", path)
		if object.MatchString(args) {
			require.NotNil(t, c.ValidArgsFunction, "%s: no completion of %s", path, args)
		}
	}
}

// What commands without a daemon answer, for programs.
func TestVersionAndValidateForPrograms(t *testing.T) {
	code, out, stderr := run(t, "version", "-o", "json")
	require.Equal(t, exitOK, code, stderr)
	var b build
	require.NoError(t, json.Unmarshal([]byte(out), &b))
	require.NotEmpty(t, b.Version)

	code, out, stderr = run(t, "config", "validate", "../../configs/lab.yaml", "-o", "yaml")
	require.Equal(t, exitOK, code, stderr)
	var v validated
	require.NoError(t, yaml.Unmarshal([]byte(out), &v))
	require.Equal(t, validated{"../../configs/lab.yaml", 1, 2}, v)
}

// The help says what scripts may rely on.
func TestExitCodesAreDocumented(t *testing.T) {
	_, out, _ := run(t, "--help")
	words := strings.Join(strings.Fields(out), " ")
	for code, word := range map[string]string{"0": "ok", "1": "error", "2": "wrong usage", "3": "not found", "4": "refused", "5": "the daemon cannot be reached"} {
		require.Contains(t, words, code+" "+word)
	}
}

func TestFilesAreCompleted(t *testing.T) {
	for _, args := range [][]string{{"config", "validate", ""}, {"serve", "--config", ""}} {
		_, out, _ := run(t, append([]string{"__complete"}, args...)...)
		require.Contains(t, out, "yaml\nyml\n:8\n", args)
	}
	_, out, _ := run(t, "__complete", "status", "--data-dir", "")
	require.Contains(t, out, ":16\n", "directories")
}

// What was changed, as it is afterwards; the talk with people goes elsewhere.
func TestActionsForPrograms(t *testing.T) {
	_, at := serveCluster(t)
	answer := func(v any, args ...string) (talk string) {
		t.Helper()
		code, out, stderr := run(t, append(args, "-o", "json", at)...)
		require.Equal(t, exitOK, code, stderr)
		require.NoError(t, json.Unmarshal([]byte(out), v), out)
		return stderr
	}
	var l admin.LUN
	answer(&l, "lun", "resize", "witness", "2GiB")
	require.Equal(t, int64(2<<30), l.Bytes)
	var s admin.Session
	answer(&s, "session", "kill", "3")
	require.Equal(t, "3", s.ID)
	var r admin.Reservations
	require.Contains(t, answer(&r, "pr", "clear", "shared", "--yes"), "This removes:")
	require.Equal(t, "shared", r.LUN)
	require.Empty(t, r.Registrations)
	answer(&r, "pr", "clear", "shared", "--yes")
	require.Empty(t, r.Registrations)
}
