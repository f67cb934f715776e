package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
)

// playEnv makes a process of this test binary the program.
const playEnv = "NAS_TARGET_TEST_PLAYS"

func TestMain(m *testing.M) {
	if os.Getenv(playEnv) != "" {
		main() // which does not come back
	}
	os.Exit(m.Run())
}

// process is a daemon in a process of its own, as people start it.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	dir     string
	data    string
	portals []string
	page    string
	log     output
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startProcess serves the configuration that text makes of DATA, PORT0, PORT1
// and PAGE.
func startProcess(t *testing.T, text string, secrets string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir()}
	p.data = filepath.Join(p.dir, "data")
	require.NoError(t, os.Mkdir(p.data, 0o700))
	if secrets != "" {
		require.NoError(t, os.WriteFile(filepath.Join(p.data, "chap-secrets"), []byte(secrets), 0o600))
	}
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		p.portals = append(p.portals, l.Addr().String())
	}
	p.page = p.portals[2]
	p.write(text)
	p.cmd = p.command("serve", "--config", p.file())
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	for _, s := range p.portals {
		l, err := net.Listen("tcp", s)
		if err == nil { // still ours to free
			l.Close()
		}
	}
	return p
}

func (p *process) file() string { return filepath.Join(p.dir, "nas-target.yaml") }

func (p *process) write(text string) {
	p.t.Helper()
	for from, to := range map[string]string{"DATA": p.data, "PORT0": p.portals[0], "PORT1": p.portals[1], "PAGE": p.page} {
		text = strings.ReplaceAll(text, from, to)
	}
	require.NoError(p.t, os.WriteFile(p.file(), []byte(text), 0o600))
}

func (p *process) command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(p.t, err)
	c := exec.Command(self, args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), playEnv+"=1", "NAS_TARGET_DATA_DIR="+p.data)
	return c
}

// run starts the daemon and waits until it answers.
func (p *process) run() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = p.cmd.Process.Kill()
			<-ended
		}
	})
	require.Eventually(p.t, func() bool { return strings.Contains(p.log.String(), "serving") }, 30*time.Second, 20*time.Millisecond, "%s", &p.log)
}

// ask runs a command against the daemon.
func (p *process) ask(args ...string) (out string, code int) {
	p.t.Helper()
	b, err := p.command(args...).CombinedOutput()
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(p.t, err, &exit)
		return string(b), exit.ExitCode()
	}
	return string(b), 0
}

const processConfig = `
data_dir: DATA
log: {level: debug}
page: {listen: "PAGE"}
portals: [{group: 1, listen: ["PORT0"]}]
targets:
  - name: iqn.2026-11.test.process:disks
    initiators:
      - {name: iqn.2026-11.test:one, chap: {user: node1}}
      - {name: iqn.2026-11.test:both, chap: {user: node1, mutual_user: storage}}
    luns: [{lun: 0, name: zero, size: 1MiB}]
`

// A secret is seen by nobody: not in the log at debug, not in any answer of the
// API, the page or the metrics, not in what commands print, and not in the
// command line of any of our processes, whether logins succeed or fail.
func TestSecretsAreSeenByNobody(t *testing.T) {
	const canary, other = "canary-fe9d2b7a41c6", "canary-of-storage-81d2"
	p := startProcess(t, processConfig, "node1 "+canary+"\nstorage "+other+"\n")
	p.run()
	login := func(chap *initiator.CHAP) error {
		s, err := initiator.Dial(t.Context(), initiator.Config{
			Addr: p.portals[0], Target: "iqn.2026-11.test.process:disks", InitiatorName: "iqn.2026-11.test:both", CHAP: chap,
		})
		if err != nil {
			return err
		}
		t.Cleanup(func() { s.Close() })
		_, err = s.Unit(0).DrainUA(t.Context())
		return err
	}
	require.NoError(t, login(&initiator.CHAP{User: "node1", Secret: canary, MutualUser: "storage", MutualSecret: other}))
	require.Error(t, login(&initiator.CHAP{User: "node1", Secret: "not this one at all"}))
	require.Error(t, login(&initiator.CHAP{User: "storage", Secret: other}))

	seen := map[string]string{}
	for _, args := range []string{
		"config show", "config show -o json", "config show -o yaml", "config diff", "config apply", "status -o json", "target list -o json",
		"target show iqn.2026-11.test.process:disks", "initiator list", "initiator show iqn.2026-11.test:both", "session list -o yaml", "pr history", "lun list", "log level",
		"config validate " + p.file(), "initiator set iqn.2026-11.test:both --target iqn.2026-11.test.process:disks --chap-user node1",
	} {
		seen[args], _ = p.ask(strings.Fields(args)...)
		require.NotEmpty(t, seen[args], args)
	}
	require.Contains(t, seen["config show"], "node1")
	for _, args := range []string{"config show", "config apply"} {
		require.NotContains(t, seen[args], "nas-target:", "%s: %s", args, seen[args])
	}
	for _, path := range []string{"/", "/metrics", "/openapi.json", "/v1/config", "/v1/status", "/v1/targets", "/v1/initiators", "/v1/sessions", "/v1/history", "/debug/tasks"} {
		resp, err := http.Get("http://" + p.page + path)
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		seen["page "+path] = string(b)
	}
	require.Contains(t, seen["page /metrics"], "nas_target_login_failures_total")
	for _, name := range []string{"cmdline", "comm", "status"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
		require.NoError(t, err)
		seen["/proc "+name] = string(b)
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(p.log.String(), "SIGHUP") }, 30*time.Second, 20*time.Millisecond)
	// A secrets file that is bad is complained about without a word of it.
	require.NoError(t, os.WriteFile(filepath.Join(p.data, "chap-secrets"), []byte(canary+"\nstorage "+other+"\n"), 0o600))
	out, code := p.ask("config", "apply")
	require.Equal(t, exitRefused, code, out)
	seen["bad secrets"] = out
	seen["log"] = p.log.String()
	require.Contains(t, seen["log"], "login refused")
	require.NoError(t, filepath.WalkDir(p.data, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "chap-secrets" && !strings.HasSuffix(path, ".img") {
			b, err := os.ReadFile(path)
			seen[path] = string(b)
			return err
		}
		return err
	}))
	for where, text := range seen {
		require.NotContains(t, text, canary, where)
		require.NotContains(t, text, other, where)
		require.NotContains(t, text, fmt.Sprintf("%x", canary), where)
	}
}

// From a disk that is made to its end, with the commands that people type.
func TestConfigurationByCommand(t *testing.T) {
	p := startProcess(t, strings.ReplaceAll(strings.ReplaceAll(processConfig, ", chap: {user: node1}", ""), ", chap: {user: node1, mutual_user: storage}", ""), "")
	p.run()
	granted := func(line string, says ...string) {
		t.Helper()
		out, code := p.ask(strings.Fields(line)...)
		require.Zero(t, code, "%s: %s", line, out)
		for _, s := range says {
			require.Contains(t, out, s, line)
		}
	}
	refused := func(code int, line, says string) {
		t.Helper()
		out, got := p.ask(strings.Fields(line)...)
		require.Equal(t, code, got, "%s: %s", line, out)
		require.Contains(t, out, says, line)
	}
	const theirs, ours = "iqn.2026-11.test.process:disks", "iqn.2026-11.test.process:more"
	granted("target create "+ours+" --alias more", "+ target "+ours, "alias more")
	granted("lun create csv --target "+ours+" --size 4MiB --write-cache=false", "+ LUN csv", "lun 0", "write_cache false")
	granted("lun create extra --target "+theirs+" --size 1MiB", "lun 1")
	granted("initiator create iqn.2026-11.test:k --target "+ours+" --network 127.0.0.0/8 --lun 0", "+ initiator iqn.2026-11.test:k from 127.0.0.0/8")
	granted("portal create "+p.portals[1]+" --group 1", "+ portal "+p.portals[1])
	s, err := initiator.Dial(t.Context(), initiator.Config{Addr: p.portals[1], Target: ours, InitiatorName: "iqn.2026-11.test:k"})
	require.NoError(t, err)
	defer s.Close()
	granted("lun set csv --size 8MiB --read-only", "size 4MiB → 8MiB", "read_only false → true")
	granted("lun set csv --read-only=false")
	granted("lun list", "csv", "8 MiB")
	refused(exitUsage, "lun set csv", "nothing to change")
	refused(exitUsage, "lun set csv --path /x", "unknown flag")
	refused(exitUsage, "lun create x --size 1MiB", "--target")
	refused(exitRefused, "lun create csv --target "+theirs+" --size 1MiB", "exists already")
	refused(exitRefused, "lun set csv --size 1MiB", "only grows")
	refused(exitRefused, "lun set zero --read-only", "stands in the configuration file")
	refused(exitRefused, "lun delete zero --yes", "stands in the configuration file")
	refused(exitNotFound, "lun delete nothing --yes", "there is no such thing")
	refused(exitRefused, "target delete "+ours+" --yes", "delete those first")
	refused(exitRefused, "lun delete csv", "nothing was changed") // nobody says yes
	granted("target set "+ours+" --alias=", "alias more → none")
	granted("initiator set iqn.2026-11.test:k --target "+ours+" --network=", "- initiator iqn.2026-11.test:k from 127.0.0.0/8", "+ initiator iqn.2026-11.test:k")
	granted("config diff", "Nothing is different")

	p.write(strings.Replace(processConfig, "level: debug", "level: warn", 1) + "bad: 1\n")
	refused(exitRefused, "config diff", "nas-target.yaml:12: bad: unknown key")
	granted("log level", "debug")
	p.write(strings.ReplaceAll(strings.ReplaceAll(strings.Replace(processConfig, "level: debug", "level: warn", 1), ", chap: {user: node1}", ""), ", chap: {user: node1, mutual_user: storage}", "") + "limits: {ping_interval: 7s}\n")
	granted("config diff", "log.level debug → warn", "limits.ping_interval 5s → 7s")
	granted("log level", "debug")
	granted("config apply", "log.level debug → warn", "limits.ping_interval 5s → 7s")
	granted("log level", "warn")
	granted("status", "all is well")

	refused(exitRefused, "lun delete csv --yes", "the target has no LUN 0") // which an initiator is shown
	granted("initiator delete iqn.2026-11.test:k --target " + ours + " --yes")
	granted("lun delete csv --yes", "- LUN csv")
	granted("portal delete "+p.portals[1]+" --yes", "- portal")
	granted("target delete "+ours+" --yes", "- target")
	granted("lun delete extra --yes")
	granted("config show", "# "+p.file())
	b, err := os.ReadFile(filepath.Join(p.data, "managed.yaml"))
	require.NoError(t, err)
	require.NotContains(t, string(b), "name:")
}
