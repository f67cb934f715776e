package packaging

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

	"nas-target/internal/initiator"
)

const target = "iqn.2026-11.test.packaging:disks"

func configFor(dir, portal string) string {
	return fmt.Sprintf("data_dir: %s\npage: {listen: \"\"}\nportals: [{group: 1, listen: [%q]}]\n"+
		"targets: [{name: %q, access: open, luns: [{lun: 0, name: disk, size: 8MiB}, {lun: 1, name: direct, size: 8MiB, direct: true, preallocate: true}, {lun: 2, name: ram, backstore: ram, size: 1MiB}]}]\n", dir, portal, target)
}

// systemd opens the portal and starts the daemon when somebody connects. The
// daemon takes the socket, says when it is ready, and that it lives.
func TestSocketActivation(t *testing.T) {
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	portal := free.Addr().String()
	require.NoError(t, free.Close())
	conf := filepath.Join(dir, "nas-target.yaml")
	require.NoError(t, os.WriteFile(conf, []byte(configFor(filepath.Join(dir, "data"), portal)), 0o600))
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	require.NoError(t, err)
	defer notify.Close()

	cmd := exec.Command("systemd-socket-activate", "-l", portal, "--fdname=portal",
		"-E", "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "-E", "WATCHDOG_USEC=3000000",
		program(t), "serve", "--config", conf)
	var log strings.Builder
	cmd.Stderr = &log
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	var s *initiator.Session
	require.Eventually(t, func() bool {
		s, err = initiator.Dial(t.Context(), initiator.Config{Addr: portal, Target: target, InitiatorName: "iqn.2026-11.test:a"})
		return err == nil
	}, 30*time.Second, 50*time.Millisecond, "nobody listens")
	require.NoError(t, s.Logout(t.Context()))

	said := map[string]bool{}
	b := make([]byte, 4096)
	for !said["READY=1"] || !said["WATCHDOG=1"] {
		require.NoError(t, notify.SetReadDeadline(time.Now().Add(30*time.Second)))
		n, err := notify.Read(b)
		require.NoError(t, err, "heard %v", said)
		for _, line := range strings.Split(string(b[:n]), "\n") {
			said[line] = true
		}
	}
	require.True(t, said["STATUS=serving at "+portal], "%v", said)

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-ended:
		require.NoError(t, err, log.String())
	case <-time.After(30 * time.Second):
		t.Fatal("it does not stop")
	}
}
