package packaging

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// machine is a systemd of its own (see the script).
type machine struct {
	t   *testing.T
	pid string // of its first process, as seen here
}

// boot starts a machine that has the files in /root.
func boot(t *testing.T, files ...string) *machine {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command("./machine", append([]string{t.TempDir()}, files...)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and with it all that it started
		<-ended
	})
	m := &machine{t: t}
	require.Eventually(t, func() bool {
		select {
		case <-ended:
			ended <- nil
			require.Fail(t, "the machine did not boot", log.String())
		default:
		}
		// unshare has one child, the machine's first process.
		out, err := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) + "/children")
		if m.pid = strings.TrimSpace(string(out)); err != nil || m.pid == "" {
			return false
		}
		name, _ := os.ReadFile("/proc/" + m.pid + "/comm")
		if strings.TrimSpace(string(name)) != "systemd" {
			return false
		}
		state, _ := m.try("systemctl", "is-system-running")
		return strings.HasPrefix(state, "running") || strings.HasPrefix(state, "degraded") // a host's leftovers may fail
	}, time.Minute, 50*time.Millisecond, "the machine does not boot: %s", &log)
	return m
}

// try runs a program in the machine.
func (m *machine) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	enter := []string{"-t", m.pid, "-m", "-p", "-n", "-u", "-i", "-r", "-w", "env", "-i",
		"HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	out, err := exec.CommandContext(ctx, "nsenter", append(enter, args...)...).CombinedOutput()
	return string(out), err
}

// run runs one that must succeed.
func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	require.NoError(m.t, err, "%s\n%s\n%s", strings.Join(args, " "), out, m.journal())
	return out
}

func (m *machine) journal() string {
	out, _ := m.try("journalctl", "--no-pager", "-b", "-n", "60")
	return out
}

func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "-p", name, "--value", "nas-target.service"))
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	m.run("sh", "-c", `mkdir -p "$(dirname "$1")"; printf %s "$2" >"$1"`, "sh", path, text)
}

func (m *machine) eventually(what string, ok func() bool) {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			m.t.Fatalf("%s: not within a minute\n%s", what, m.journal())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const (
	inMachine = "127.0.0.1:3260"
	url       = "iscsi://" + inMachine + "/" + target + "/0"
)

// The life of an installation, under the unit's whole sandbox.
func TestInstalled(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can boot a machine to install the package in; contents, units and scripts are tested without")
	}
	m := boot(t, deb(t))
	pkg := "/root/" + debName()

	// Installed, it runs, as nobody in particular, and serves no disk.
	m.run("rm", "-f", "/var/lib/man-db/auto-update") // the manual's index takes longer than all the rest
	m.run("dpkg", "-i", pkg)
	require.Equal(t, "active", m.property("ActiveState"))
	require.Equal(t, "serving at "+inMachine, m.property("StatusText"))
	require.Contains(t, m.run("systemctl", "is-enabled", "nas-target.service"), "enabled")
	require.Empty(t, m.run("systemd-analyze", "verify", "nas-target.service", "nas-target.socket"))
	status := m.run("cat", "/proc/"+m.property("MainPID")+"/status")
	for _, line := range []string{"CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		require.Contains(t, status, line)
	}
	require.NotContains(t, status, "Uid:\t0")
	require.Equal(t, "nas-target 700\n", m.run("stat", "-c", "%U %a", "/var/lib/nas-target"))
	require.Contains(t, m.run("nas-target", "status"), "all is well")
	out, err := m.try("runuser", "-u", "nobody", "--", "nas-target", "status")
	require.Error(t, err, "anybody may ask: %s", out)

	// A reload serves what it is told to; a mistake changes nothing and is told.
	conf := configFor("/var/lib/nas-target", inMachine)
	m.write("/etc/nas-target/nas-target.yaml", conf)
	before := m.property("MainPID")
	m.run("systemctl", "reload", "nas-target")
	m.eventually("the disk", func() bool { _, err := m.try("iscsi-inq", url); return err == nil })
	m.write("/etc/nas-target/nas-target.yaml", "tragets: []\n")
	out, err = m.try("systemctl", "reload", "nas-target")
	require.Error(t, err, out)
	require.Contains(t, m.journal(), "did you mean targets?")
	m.run("iscsi-inq", url)
	m.write("/etc/nas-target/nas-target.yaml", conf)
	require.Equal(t, before, m.property("MainPID"))

	// The sandbox lets it do all that it does to a disk.
	m.run("systemctl", "restart", "nas-target")
	m.run("nas-target", "bench", url, "--kind", "verify", "--destructive", "--time", "500ms", "--depth", "16")
	for _, family := range []string{"Unmap", "WriteSame10", "ProutReserve"} {
		out := m.run("iscsi-test-cu", "--dataloss", "--test=SCSI."+family, url)
		require.Regexp(t, `asserts +[1-9]\d* +[1-9]\d* +[1-9]\d* +0 `, out, family)
	}
	m.run("nas-target", "lun", "resize", "disk", "16MiB")
	require.Contains(t, m.run("nas-target", "__complete", "lun", "show", ""), "disk\t16 MiB")
	uuid := m.uuid()

	// Its stop is clean and leaves nothing running.
	m.run("systemctl", "stop", "nas-target")
	require.Equal(t, "success", m.property("Result"))

	// With the socket unit it starts when an initiator comes.
	m.run("systemctl", "start", "nas-target.socket")
	require.Equal(t, "inactive", m.property("ActiveState"))
	m.run("iscsi-inq", url)
	m.eventually("the service", func() bool { return m.property("ActiveState") == "active" })

	// A hung process is replaced.
	m.write("/run/systemd/system/nas-target.service.d/test.conf", "[Service]\nWatchdogSec=1s\nTimeoutAbortSec=1s\nRestartSec=100ms\n")
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "restart", "nas-target")
	hung := m.property("MainPID")
	m.run("kill", "-STOP", hung)
	m.eventually("another process", func() bool { return m.property("NRestarts") == "1" && m.property("ActiveState") == "active" })
	require.Contains(t, m.run("journalctl", "--no-pager", "-b", "-u", "nas-target"), "Watchdog timeout")
	require.NotEqual(t, hung, m.property("MainPID"))
	m.run("iscsi-inq", url)
	m.run("rm", "/run/systemd/system/nas-target.service.d/test.conf")
	m.run("systemctl", "daemon-reload")

	// An upgrade restarts it, keeps what the administrator wrote, and the disks.
	before = m.property("MainPID")
	m.run("dpkg", "-i", pkg)
	require.NotEqual(t, before, m.property("MainPID"))
	require.Equal(t, uuid, m.uuid())
	m.run("systemctl", "disable", "nas-target.service")
	m.run("dpkg", "-i", pkg)
	out, _ = m.try("systemctl", "is-enabled", "nas-target.service")
	require.Contains(t, out, "disabled", "what was disabled stays so")

	// Removed, it is gone; the configuration stays, purged that goes too. The
	// disks stay.
	m.run("dpkg", "-r", "nas-target")
	require.Equal(t, "inactive", m.property("ActiveState"))
	_, err = m.try("test", "-e", "/usr/bin/nas-target")
	require.Error(t, err)
	m.run("test", "-e", "/etc/nas-target/nas-target.yaml")
	require.Contains(t, m.run("dpkg", "-P", "nas-target"), "are kept")
	_, err = m.try("test", "-e", "/etc/nas-target")
	require.Error(t, err)
	require.Len(t, strings.Fields(m.run("sh", "-c", "ls /var/lib/nas-target/luns/*/disk.img")), 2)
	require.Empty(t, m.run("find", "/etc/systemd", "-name", "nas-target*"), "purge leaves links behind")

	// And are found again.
	m.run("dpkg", "-i", pkg)
	m.write("/etc/nas-target/nas-target.yaml", configFor("/var/lib/nas-target", inMachine))
	m.run("systemctl", "restart", "nas-target")
	require.Equal(t, uuid, m.uuid())
	require.NotContains(t, m.run("journalctl", "--no-pager", "-b", "-u", "nas-target", "-o", "cat"), "ERROR")
}

// uuid is the disk's.
func (m *machine) uuid() string {
	m.t.Helper()
	m.eventually("the admin socket", func() bool { _, err := m.try("nas-target", "status"); return err == nil })
	for _, line := range strings.Split(m.run("nas-target", "lun", "show", "disk"), "\n") {
		if name, value, _ := strings.Cut(line, " "); name == "UUID" {
			return strings.TrimSpace(value)
		}
	}
	m.t.Fatal("no UUID")
	return ""
}

// The maintainer scripts and the machine itself are shell that a shell accepts.
func TestScripts(t *testing.T) {
	for _, script := range []string{"packaging/deb/postinst", "packaging/deb/prerm", "packaging/deb/postrm"} {
		output(t, "sh", "-n", filepath.Join(top, script))
	}
	output(t, "bash", "-n", filepath.Join(top, "packaging/build"))
	output(t, "bash", "-n", "machine")
}
