package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
)

func TestLogLevel(t *testing.T) {
	cluster, at := serveCluster(t)
	code, out, _ := run(t, "log", "level", at)
	require.Equal(t, exitOK, code)
	require.Equal(t, "info\n", out)
	code, out, _ = run(t, "log", "level", "debug", at, "-o", "json")
	require.Equal(t, exitOK, code)
	require.JSONEq(t, `{"level": "debug"}`, out)
	require.Equal(t, admin.SetLogLevel{Level: "debug"}, cluster.Changes[0].Change)
	code, _, stderr := run(t, "log", "level", "chatty", at)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, `"chatty"`)
	require.Len(t, cluster.Changes, 1)
}
