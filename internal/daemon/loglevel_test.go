package daemon

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"nas-target/internal/admin"
)

// An operator sees more of a running daemon, and less again, and the trail
// says who asked for it.
func TestLogLevelChangesAtRunTime(t *testing.T) {
	dir := t.TempDir()
	level := zap.NewAtomicLevelAt(zapcore.InfoLevel)
	core, seen := observer.New(level)
	d, err := Start(t.Context(), parse(t, dir, openTarget), Options{Log: zap.New(core), LogLevel: level})
	require.NoError(t, err)
	defer stopTest(t, d)
	ctx, c := t.Context(), ask(t, dir)
	s, u := node(t, d, "node1", 1)
	nonsense := func() int {
		require.Error(t, u.Write(ctx, 1<<40, make([]byte, 512)), "the disk ends before")
		return seen.FilterMessage("command refused").Len()
	}
	require.Zero(t, nonsense())
	require.NoError(t, c.SetLogLevel(ctx, admin.LogLevel{Level: "debug"}))
	l, err := c.LogLevel(ctx)
	require.NoError(t, err)
	require.Equal(t, "debug", l.Level)
	require.NotZero(t, nonsense())
	require.NoError(t, c.SetLogLevel(ctx, admin.LogLevel{Level: "error"}))
	n := seen.FilterMessage("command refused").Len()
	require.Equal(t, n, nonsense())
	require.Error(t, c.SetLogLevel(ctx, admin.LogLevel{Level: "fatal"}), "there are four levels")
	h, err := c.History(ctx, admin.HistoryQuery{Kind: "admin"})
	require.NoError(t, err)
	require.Contains(t, h.Entries[0].Text, "set the log level: error")
	require.NoError(t, s.Close())
}

// A log that the daemon did not make keeps its level, and says so.
func TestLogLevelOfAForeignLog(t *testing.T) {
	dir := t.TempDir()
	startTest(t, parse(t, dir, openTarget))
	ctx, c := t.Context(), ask(t, dir)
	require.ErrorIs(t, c.SetLogLevel(ctx, admin.LogLevel{Level: "debug"}), admin.ErrRefused)
}
