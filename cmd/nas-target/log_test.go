package main

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"nas-target/internal/admin"
	"nas-target/internal/config"
)

// A flag of serve stands over the file, at every reload, too.
func TestLogLevelFlag(t *testing.T) {
	code, _, stderr := run(t, "serve", "--log-level", "chatty")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, `--log-level "chatty" is none of debug, info, warn, error`)
	file := filepath.Join(t.TempDir(), "n.yaml")
	require.NoError(t, os.WriteFile(file, []byte("data_dir: /srv/a\nlog: {level: warn}\n"), 0o600))
	for _, x := range []struct {
		over       overrides
		dir, level string
	}{{overrides{}, "/srv/a", "warn"}, {overrides{"/srv/b", "debug"}, "/srv/b", "debug"}} {
		c, o, err := loadConfig(file, x.over)
		require.NoError(t, err)
		require.Equal(t, []string{x.dir, x.level}, []string{c.DataDir, c.Log.Level})
		again, err := config.Parse(file, []byte("log: {level: error}\n"))
		require.NoError(t, err)
		o.Override(again)
		require.Equal(t, cmp.Or(x.over.logLevel, "error"), again.Log.Level)
	}
}

// The format changes under a logger that is in use, whatever it was given.
func TestLogFormatChanges(t *testing.T) {
	var out bytes.Buffer
	log, level, format, err := newLogger(config.Log{Level: "info", Format: "console"}, &out)
	require.NoError(t, err)
	log = log.With(zap.String("lun", "shared"))
	line := func() string {
		out.Reset()
		log.Info("said")
		return out.String()
	}
	require.Regexp(t, `  INFO  said  \{"lun": "shared"\}\n$`, line())
	format("json")
	require.Regexp(t, `^\{"level":"info",.*"msg":"said","lun":"shared"\}\n$`, line())
	level.SetLevel(zapcore.WarnLevel)
	require.Empty(t, line())
	format("console")
	require.Empty(t, line())
}

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
