package kill

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"nas-target/test/sim"
)

// daemon is the program under test with a directory of its own.
type daemon struct {
	t      testing.TB
	dir    string
	remote *sim.Remote

	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
	log  *bytes.Buffer // of the running process; read it when gone is closed
}

const (
	targetName = "iqn.2026-11.test:target"
	diskBlocks = 8192
)

// build compiles the daemon once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nas-target")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "nas-target")
	out, err := exec.Command("go", "build", "-o", bin, "nas-target/cmd/nas-target").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return bin, err
})

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if bin, err := build(); err == nil {
			os.RemoveAll(filepath.Dir(bin))
		}
		os.Exit(code)
	}))
}

// newDaemon prepares a daemon with two portal groups and one disk.
func newDaemon(t testing.TB) *daemon {
	d := &daemon{t: t, dir: t.TempDir(), remote: &sim.Remote{Target: targetName, Addrs: []string{freeAddr(t), freeAddr(t)}}}
	d.configure()
	t.Cleanup(d.end)
	return d
}

// configure writes the configuration.
func (d *daemon) configure() {
	var portals strings.Builder
	for i, addr := range d.remote.Addrs {
		fmt.Fprintf(&portals, "  - {group: %d, listen: [%q]}\n", i+1, addr)
	}
	conf := fmt.Sprintf(`page: {listen: ""}
portals:
%stargets:
  - name: %s
    access: open
    luns:
      - {lun: 0, name: disk, size: %d, lock_wait: 60s}
`, portals.String(), targetName, diskBlocks*sim.BlockSize)
	require.NoError(d.t, os.WriteFile(d.conf(), []byte(conf), 0o600))
}

func (d *daemon) conf() string { return filepath.Join(d.dir, "conf.yaml") }

// freeAddr is an address to listen on later: below the ports that the kernel
// gives to connections, so that none of them takes it meanwhile.
func freeAddr(t testing.TB) string {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

// start starts the process and returns once it serves.
func (d *daemon) start() {
	d.t.Helper()
	d.launch()
	d.await()
}

// await returns once the daemon serves.
func (d *daemon) await() {
	d.t.Helper()
	if !d.comesUp() {
		d.t.Fatalf("the daemon ended at its start:\n%s", d.log)
	}
}

// comesUp waits until the daemon serves, or has ended at its start.
func (d *daemon) comesUp() bool {
	d.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		nc, err := net.Dial("tcp", d.remote.Addrs[1])
		if err == nil {
			nc.Close()
			return true
		}
		select {
		case <-d.gone:
			return false
		case <-time.After(2 * time.Millisecond):
		}
		require.True(d.t, time.Now().Before(end), "the daemon does not serve")
	}
}

// launch starts the process. The kernel kills it when this one dies.
func (d *daemon) launch() {
	d.t.Helper()
	bin, err := build()
	require.NoError(d.t, err)
	d.cmd = exec.Command(bin, "serve", "--config", d.conf(), "--data-dir", filepath.Join(d.dir, "data"))
	d.log = new(bytes.Buffer)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd, gone, started := d.cmd, make(chan struct{}), make(chan error)
	d.gone = gone
	go func() {
		// The signal is tied to the thread that forks.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(gone)
		}
	}()
	require.NoError(d.t, <-started)
}

// kill is SIGKILL.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.gone
	// It must not have ended by itself before: then there is a panic in its log.
	if strings.Contains(d.log.String(), "goroutine ") {
		d.t.Errorf("the daemon died by itself:\n%s", d.log)
	}
}

// end stops what may be running.
func (d *daemon) end() {
	if d.cmd == nil || d.cmd.Process == nil {
		return
	}
	d.cmd.Process.Signal(syscall.SIGCONT)
	d.cmd.Process.Kill()
	<-d.gone
}
