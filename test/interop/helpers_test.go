package interop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/peers"
)

var targetKind = flag.String("target", peers.NAS.Name, "the target to test")

const mib = 1 << 20

// start runs the target on a fresh sparse disk of n bytes.
func start(t *testing.T, n int64) *peers.Target {
	t.Helper()
	return serve(t, peers.Disk{Path: sparse(t, t.TempDir(), n)})
}

// sparse makes a file of n bytes that takes no space yet.
func sparse(t *testing.T, dir string, n int64) string {
	t.Helper()
	f, err := os.CreateTemp(dir, "disk*.img")
	require.NoError(t, err)
	require.NoError(t, f.Truncate(n))
	require.NoError(t, f.Close())
	return f.Name()
}

// allocated is the space that a file really takes, in bytes.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &st))
	return st.Blocks * 512
}

// cannot ends a test that needs what only root has, and only on some machines:
// block devices and mounts of its own.
func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Skipf(format, args...)
}

// loop makes a block device out of a file, or skips the test.
func loop(t *testing.T, path string) string {
	t.Helper()
	device, detach, err := peers.Loop(t.Context(), path)
	if errors.Is(err, peers.ErrNoLoop) {
		cannot(t, "%v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := detach(); err != nil {
			t.Error(err)
		}
	})
	return device
}

// serve runs the target on a disk.
func serve(t *testing.T, d peers.Disk) *peers.Target {
	t.Helper()
	kind, err := peers.ByName(*targetKind)
	require.NoError(t, err)
	tgt, err := kind.Start(t.Context(), t.TempDir(), d)
	require.NoError(t, err)
	t.Cleanup(func() {
		switch {
		case tgt.Gone():
		case kind.Name != peers.NAS.Name:
			tgt.Kill() // tgtd does not stop when asked
		default:
			if err := tgt.Stop(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", tgt.Kind, tgt.Log())
		}
	})
	return tgt
}

// run executes a tool and returns what it printed; failure fails the test.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if path, err := exec.LookPath(name); err != nil {
		cmd.Path, cmd.Err = filepath.Join("/usr/sbin", name), nil
	} else {
		cmd.Path = path
	}
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), "%s %v\n%s", name, args, out.String())
	return out.String()
}

// login opens a session with our initiator. Its strict checks of everything
// the target sends count against our daemon, not against peers.
func login(t *testing.T, tgt *peers.Target, name string) (*initiator.Session, *initiator.Unit) {
	t.Helper()
	s, err := initiator.Dial(t.Context(), initiator.Config{
		Addr: tgt.Addr, Target: tgt.IQN, InitiatorName: name, Tolerant: tgt.Kind != peers.NAS.Name,
	})
	require.NoError(t, err)
	u := s.Unit(uint16(tgt.LUN))
	_, err = u.DrainUA(t.Context())
	require.NoError(t, err)
	return s, u
}

func sha(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	require.NoError(t, err)
	return hex.EncodeToString(h.Sum(nil))
}
