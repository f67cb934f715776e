package admin

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type nothing struct{ Control }

func (nothing) Status(context.Context) Status { return Status{} }

func listen(t *testing.T) (string, net.Listener) {
	t.Helper()
	path := filepath.Join(t.TempDir(), SocketName)
	l, err := Listen(path)
	require.NoError(t, err)
	return path, l
}

func serve(t *testing.T, l net.Listener) {
	t.Helper()
	s := Serve(l, New(Options{Control: nothing{}}).Socket())
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
}

func TestSocketIsPrivate(t *testing.T) {
	path, l := listen(t)
	serve(t, l)
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
}

// The kernel's word about the peer decides, whatever the file's mode became.
func TestOtherUsersAreCutOff(t *testing.T) {
	path, l := listen(t)
	var asked []uint32
	l.(*trusted).allowed = func(uid uint32) bool {
		asked = append(asked, uid)
		return len(asked) > 1
	}
	serve(t, l)
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
	client := NewClient(path)
	defer client.Close()
	_, err = client.Overview(t.Context())
	require.NoError(t, err)
	require.Equal(t, []uint32{uint32(os.Getuid()), uint32(os.Getuid())}, asked)
}

// The socket file of a daemon that was killed is no obstacle.
func TestListenInThePlaceOfADeadDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), SocketName)
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	require.FileExists(t, path)
	l, err = Listen(path)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestNoDaemonIsToldApart(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"no socket": filepath.Join(dir, "none.sock"), "dead socket": filepath.Join(dir, "dead.sock")} {
		t.Run(name, func(t *testing.T) {
			if name == "dead socket" {
				l, err := net.Listen("unix", path)
				require.NoError(t, err)
				l.(*net.UnixListener).SetUnlinkOnClose(false)
				require.NoError(t, l.Close())
			}
			client := NewClient(path)
			defer client.Close()
			_, err := client.Overview(t.Context())
			require.ErrorIs(t, err, ErrUnreachable)
			require.ErrorContains(t, err, path)
		})
	}
}

func TestToken(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, TokenName)
	token, err := LoadToken(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(token), 26, "128 bits")
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	again, err := LoadToken(dir)
	require.NoError(t, err)
	require.Equal(t, token, again)

	require.NoError(t, os.Chmod(path, 0o640))
	_, err = LoadToken(dir)
	require.ErrorContains(t, err, "open to others")
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.WriteFile(path, []byte("short\n"), 0o600))
	_, err = LoadToken(dir)
	require.ErrorContains(t, err, "16 characters")
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink("/etc/hostname", path))
	_, err = LoadToken(dir)
	require.Error(t, err)
	_, err = LoadToken(filepath.Join(dir, "none"))
	require.Error(t, err)
}

func TestSources(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1",
		"[2001:db8::1:2:3:4]:5": "2001:db8::/64", "[fe80::1%eth0]:5": "fe80::/64", "@": "unknown",
	} {
		require.Equal(t, want, sourceOf(remote))
	}
}

func TestFailuresAreForgottenAndBounded(t *testing.T) {
	now := time.Now()
	f := newFailures()
	for range maxFailures {
		require.False(t, f.blocked("a", now))
		f.note("a", now)
	}
	require.True(t, f.blocked("a", now.Add(failureWindow-1)))
	require.False(t, f.blocked("b", now))
	require.False(t, f.blocked("a", now.Add(failureWindow)))
	f.note("a", now.Add(failureWindow))
	require.False(t, f.blocked("a", now.Add(failureWindow)), "counting begins anew")

	for i := range 2 * maxSources {
		f.note(string(rune('Ā'+i)), now)
	}
	require.LessOrEqual(t, len(f.from), maxSources+1)
	require.True(t, f.blocked("nobody seen yet", now), "many at once share a count")
	require.False(t, f.blocked("nobody seen yet", now.Add(failureWindow)))
}
