package takeover

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/test/peers"
)

// startTGT runs an empty tgtd and has tgt-admin fill it from a file.
func startTGT(t *testing.T, text string) (addr string, stop func()) {
	t.Helper()
	dir := t.TempDir()
	port, err := peers.FreePort()
	require.NoError(t, err)
	addr = fmt.Sprintf("127.0.0.1:%d", port)
	const control = "1" // ends the path of the management socket
	env := append(os.Environ(), "TGT_IPC_SOCKET="+filepath.Join(dir, "tgt"), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")

	log, err := os.Create(filepath.Join(dir, "tgtd.log"))
	require.NoError(t, err)
	defer log.Close()
	tgtd := program(t, env, "tgtd", "-D", "-C", control, "--iscsi", "portal="+addr)
	tgtd.Stdout, tgtd.Stderr = log, log
	require.NoError(t, tgtd.Start())
	ended := make(chan struct{})
	go func() { _ = tgtd.Wait(); close(ended) }()
	stop = func() {
		_ = tgtd.Process.Kill()
		<-ended
	}
	t.Cleanup(stop)
	listens := func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
	require.Eventually(t, listens, 20*time.Second, 20*time.Millisecond, "tgtd does not listen")

	file := filepath.Join(dir, "targets.conf")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	out, err := program(t, env, "tgt-admin", "-C", control, "-c", file, "--execute").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return addr, stop
}

// program looks in sbin, too, and runs as root of a namespace of its own where
// it is not root: tgt-admin insists.
func program(t *testing.T, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	path := ""
	for _, kv := range env {
		if list, ok := strings.CutPrefix(kv, "PATH="); ok {
			for _, dir := range filepath.SplitList(list) {
				if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
					path = p
				}
			}
		}
	}
	require.NotEmpty(t, path, "%s is not installed: apt-get install tgt", name)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	return cmd
}
