package daemon

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func openTestDir(t *testing.T, root string) *dataDir {
	t.Helper()
	d, err := openDataDir(root)
	require.NoError(t, err)
	t.Cleanup(func() { d.close() })
	return d
}

func TestIdentityStaysWithTheName(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a/b")
	d := openTestDir(t, root)
	first, err := d.lun("witness")
	require.NoError(t, err)
	other, err := d.lun("shared")
	require.NoError(t, err)
	require.NotEqual(t, first.UUID, other.UUID)
	again, err := d.lun("witness")
	require.NoError(t, err)
	require.Same(t, first, again)
	require.NoError(t, d.close())

	d = openTestDir(t, root)
	again, err = d.lun("witness")
	require.NoError(t, err)
	require.Equal(t, first.UUID, again.UUID)
	require.Equal(t, first.UUID.naa(), again.UUID.naa())
	require.Equal(t, first.UUID.serial(), again.UUID.serial())
}

func TestDataDirectoryIsPrivate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "data")
	d := openTestDir(t, root)
	id, err := d.lun("a")
	require.NoError(t, err)
	for _, path := range []string{root, filepath.Join(root, "luns"), id.dir} {
		st, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), st.Mode().Perm(), path)
	}
	st, err := os.Stat(filepath.Join(id.dir, "lun.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
}

// Another process that holds the lock keeps us out, and its death lets us in.
func TestSecondDaemonIsRefused(t *testing.T) {
	root := t.TempDir()
	openTestDir(t, root).close()
	holder := exec.Command("flock", filepath.Join(root, "lock"), "sh", "-c", "echo locked; read _")
	stdin, err := holder.StdinPipe()
	require.NoError(t, err)
	stdout, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	_, err = stdout.Read(make([]byte, 8)) // it says so once it has the lock
	require.NoError(t, err)

	_, err = openDataDir(root)
	var inUse *InUseError
	require.ErrorAs(t, err, &inUse)
	require.Equal(t, root, inUse.Dir)

	require.NoError(t, stdin.Close())
	_ = holder.Wait()
	openTestDir(t, root)
}

// A crash before the rename leaves nothing that counts.
func TestHalfMadeIdentityIsNone(t *testing.T) {
	root := t.TempDir()
	d := openTestDir(t, root)
	half := filepath.Join(root, "luns", newPrefix+newUUID().String())
	require.NoError(t, os.Mkdir(half, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(half, "lun.json"), []byte(`{"version":1`), 0o600))
	d.close()

	d = openTestDir(t, root)
	require.Empty(t, d.luns)
	require.NoDirExists(t, half)
}

// What cannot be read must not become a new disk.
func TestUnreadableIdentityIsNoNewDisk(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, id *identity){
		"garbage": func(t *testing.T, id *identity) {
			require.NoError(t, os.WriteFile(filepath.Join(id.dir, "lun.json"), []byte("{"), 0o600))
		},
		"gone": func(t *testing.T, id *identity) {
			require.NoError(t, os.Remove(filepath.Join(id.dir, "lun.json")))
		},
		"of a later version": func(t *testing.T, id *identity) {
			text := `{"version":2,"uuid":"` + id.UUID.String() + `","name":"a"}`
			require.NoError(t, os.WriteFile(filepath.Join(id.dir, "lun.json"), []byte(text), 0o600))
		},
		"copied": func(t *testing.T, id *identity) {
			require.NoError(t, os.CopyFS(filepath.Join(filepath.Dir(id.dir), newUUID().String()), os.DirFS(id.dir)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			d := openTestDir(t, root)
			id, err := d.lun("a")
			require.NoError(t, err)
			d.close()
			spoil(t, id)
			d = openTestDir(t, root)
			if again, err := d.lun("a"); err == nil {
				require.Equal(t, id.UUID, again.UUID)
			}
			_, err = d.lun("b")
			require.ErrorContains(t, err, "lun.json")
			require.Len(t, d.luns, len(d.luns)&1) // a at most
		})
	}
}

func TestNAAIsLocallyAssigned(t *testing.T) {
	seen := map[string]bool{}
	for range 10000 {
		naa := newUUID().naa()
		require.Len(t, naa, 8)
		require.Equal(t, byte(3), naa[0]>>4)
		require.False(t, seen[string(naa)])
		seen[string(naa)] = true
	}
	// Fixed for ever: initiators have stored it.
	require.Equal(t, "31aaadbaa3b7ef26", hex.EncodeToString(uuid{1, 2, 3}.naa()))
}
