package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const canary = "canary-0123456789-do-not-tell"

// withCHAP is a configuration whose initiators must prove themselves.
func withCHAP(t *testing.T, dir string) *Config {
	t.Helper()
	c, err := Parse("x.yaml", fmt.Appendf(nil, `
data_dir: %s
portals: [{group: 1, listen: ["10.0.0.5:3260"]}]
targets:
  - name: iqn.2026-11.com.example:a
    initiators:
      - {name: iqn.2026-11.com.example:i, chap: {user: node1}}
      - {name: iqn.2026-11.com.example:j, chap: {user: node2, mutual_user: storage}}
`, dir))
	require.NoError(t, err)
	return c
}

func writeSecrets(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chmod(path, mode))
}

func TestSecretsFile(t *testing.T) {
	c := withCHAP(t, t.TempDir())
	require.True(t, c.UsesCHAP())
	writeSecrets(t, c.secretsPath(), "# nodes\n\nnode1 "+canary+"\n\tnode2\t  twelve bytes and # more  \r\nstorage 0x123456789012", 0o600)
	s, err := LoadSecrets(c)
	require.NoError(t, err)
	require.Len(t, s, 3)
	require.Equal(t, canary, s["node1"].Reveal())
	require.Equal(t, "twelve bytes and # more", s["node2"].Reveal())
	require.Equal(t, "0x123456789012", s["storage"].Reveal())
}

// Environment and credential add to the file, and to each other.
func TestSecretsFromElsewhere(t *testing.T) {
	c := withCHAP(t, t.TempDir())
	credentials := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	// systemd's own files may carry an access list, which shows as group bits.
	writeSecrets(t, filepath.Join(credentials, "chap-secrets"), "storage the-secret-of-storage\n", 0o440)
	t.Setenv("NAS_TARGET_CHAP_SECRETS", "node1 the-secret-of-node1\nnode2 the-secret-of-node2")
	s, err := LoadSecrets(c)
	require.NoError(t, err)
	require.Equal(t, "the-secret-of-node1", s["node1"].Reveal())
	require.Equal(t, "the-secret-of-node2", s["node2"].Reveal())
	require.Equal(t, "the-secret-of-storage", s["storage"].Reveal())

	writeSecrets(t, c.secretsPath(), "node2 another-secret-of-node2", 0o600)
	_, err = LoadSecrets(c)
	require.EqualError(t, err, "NAS_TARGET_CHAP_SECRETS:2: user node2 has a secret already, at "+c.secretsPath()+":1")
}

func TestBadSecrets(t *testing.T) {
	good := "node1 " + canary + "\nnode2 the-secret-of-node2\nstorage the-secret-of-storage\n"
	long := strings.Repeat("x", 256)
	for name, x := range map[string]struct {
		text string
		mode os.FileMode
		want []string // FILE stands for the path
	}{
		"readable by the group":  {good, 0o640, []string{"FILE: has mode 0640, so that others may read it; run: chmod 600 FILE"}},
		"writable by the others": {good, 0o602, []string{"FILE: has mode 0602, so that others may read it; run: chmod 600 FILE"}},
		"too short":              {"node1 elevenbytes\n" + good, 0o600, []string{"FILE:1: the secret of node1 has 11 bytes; it must have at least 12"}},
		"too long":               {"node1 " + long, 0o600, []string{"FILE:1: the secret of node1 has 256 bytes; it may have at most 255"}},
		"no secret":              {good + canary, 0o600, []string{"FILE:4: is not a user, a blank and a secret"}},
		"twice":                  {good + "node1 " + canary, 0o600, []string{"FILE:4: user node1 has a secret already, at FILE:1"}},
		"one missing": {"node1 " + canary + "\nnode2 the-secret-of-node2", 0o600,
			[]string{"FILE: the CHAP user storage has no secret, here, in $NAS_TARGET_CHAP_SECRETS or in the credential chap-secrets"}},
		"both directions alike": {"node1 " + canary + "\nnode2 the-secret-of-both\nstorage the-secret-of-both", 0o600,
			[]string{"FILE: node2 and storage must have different secrets: they are the two directions of one login"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := withCHAP(t, t.TempDir())
			writeSecrets(t, c.secretsPath(), x.text, x.mode)
			_, err := LoadSecrets(c)
			require.Error(t, err)
			require.Equal(t, strings.Join(x.want, "\n"), strings.ReplaceAll(err.Error(), c.secretsPath(), "FILE"))
			require.NotContains(t, err.Error(), canary)
		})
	}
}

func TestSecretsOfAStranger(t *testing.T) {
	path := filepath.Join(t.TempDir(), SecretsName)
	writeSecrets(t, path, "node1 "+canary, 0o600)
	self, owner := os.Geteuid(), os.Geteuid()
	if self == 0 {
		owner = 65534
		require.NoError(t, os.Chown(path, owner, -1))
	}
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Empty(t, tooOpen(f, owner))
	require.Contains(t, tooOpen(f, owner+1), fmt.Sprintf("belongs to user %d, who is neither root nor the one nas-target runs as", owner))
}

// Only the file of the default name may be absent.
func TestNoSecretsFile(t *testing.T) {
	c := withCHAP(t, t.TempDir())
	_, err := LoadSecrets(c)
	require.ErrorContains(t, err, "the CHAP user node1 has no secret")
	c.Targets = nil
	s, err := LoadSecrets(c)
	require.NoError(t, err)
	require.Empty(t, s)
	c.CHAP.SecretsFile = "elsewhere"
	_, err = LoadSecrets(c)
	require.ErrorContains(t, err, "elsewhere: no such file or directory")
}

// However a secret is printed, it does not show.
func TestSecretsDoNotPrint(t *testing.T) {
	type holder struct{ hidden Secrets }
	s := Secrets{"node1": newSecret(canary)}
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{s, s["node1"], &s, holder{s}, &holder{s}, []any{s["node1"]}} {
			text := fmt.Sprintf(form, v)
			require.NotContains(t, text, canary, "%s of %T", form, v)
			require.NotContains(t, text, fmt.Sprintf("%x", canary), "%s of %T", form, v)
		}
	}
	b, err := json.Marshal(s)
	require.NoError(t, err)
	require.JSONEq(t, `{"node1": "***"}`, string(b))
}
