package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/config"
)

const importSamples = "../../internal/config/importer/testdata/"

func TestConfigImport(t *testing.T) {
	dir := t.TempDir()
	secrets := filepath.Join(dir, "chap-secrets")
	file := importSamples + "saveconfig.json"
	const canary = "secret-of-the-storage"

	code, stdout, stderr := run(t, "config", "import", "--from", "lio", file)
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "name a new file for them with --secrets")

	code, stdout, stderr = run(t, "config", "import", "--from", "lio", "--secrets", secrets, file)
	require.Equal(t, exitOK, code, stderr)
	require.NotContains(t, stdout+stderr, canary)
	require.Contains(t, stderr, "things to look at:\n")
	require.Contains(t, stderr, "saveconfig.json:704: not carried over: the target naa.5001405a1b2c3d4e of the fabric loopback")
	require.Contains(t, stderr, "there is no disk here yet: stat /srv/lio/witness.img")
	c, err := config.Parse("imported.yaml", []byte(stdout))
	require.NoError(t, err)
	require.Equal(t, secrets, c.CHAP.SecretsFile)
	st, err := os.Stat(secrets)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	found, err := config.LoadSecrets(c)
	require.NoError(t, err)
	require.Equal(t, canary, found["storage"].Reveal())

	code, stdout, stderr = run(t, "config", "import", "--from", "lio", "--secrets", secrets, file)
	require.Equal(t, exitError, code, "a file that exists is left alone")
	require.Empty(t, stdout)
	require.Contains(t, stderr, "file exists")
}

func TestConfigImportIncludes(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf.d")
	require.NoError(t, os.Mkdir(conf, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(conf, "a.conf"), []byte("<target iqn.2026-11.com.example:a>\nbacking-store /srv/a.img\n</target>\n"), 0o644))
	main := filepath.Join(dir, "targets.conf")
	for what, included := range map[string]string{"a pattern": conf + "/*.conf", "a directory": conf, "a file": conf + "/a.conf"} {
		require.NoError(t, os.WriteFile(main, []byte("include "+included+"\n"), 0o644))
		code, stdout, stderr := run(t, "config", "import", "--from", "tgt", "--portal", "192.0.2.5:3260", "--portal", "[2001:db8::5]:3260", main)
		require.Equal(t, exitOK, code, "%s: %s", what, stderr)
		c, err := config.Parse("imported.yaml", []byte(stdout))
		require.NoError(t, err)
		require.Equal(t, "iqn.2026-11.com.example:a", c.Targets[0].Name)
		require.Len(t, c.Portals[0].Listen, 2)
	}
	require.NoError(t, os.WriteFile(main, []byte("# nothing here\ninclude "+dir+"/none.conf\n"), 0o644))
	code, _, stderr := run(t, "config", "import", "--from", "tgt", main)
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "targets.conf:2: include "+dir+"/none.conf: open")
}

func TestConfigImportUsage(t *testing.T) {
	for _, args := range [][]string{
		{importSamples + "gotgt.json"},
		{"--from", "scst", importSamples + "gotgt.json"},
		{"--from", "gotgt", "--portal", "here", importSamples + "gotgt.json"},
		{"--from", "gotgt"},
	} {
		code, stdout, _ := run(t, append([]string{"config", "import"}, args...)...)
		require.Equal(t, exitUsage, code, args)
		require.Empty(t, stdout)
	}
}
