package docs

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/config"
)

const root = "../.."

func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, glob := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "docs/guides/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, glob))
		require.NoError(t, err)
		all = append(all, files...)
	}
	require.NotEmpty(t, all)
	return all
}

func TestDocumentedCommands(t *testing.T) {
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		blocks := shellBlocks(filepath.Base(path), string(text))
		if len(blocks) == 0 {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			// The data directory is the only thing that differs from what a
			// reader does.
			data := filepath.Join(t.TempDir(), "nas-data")
			var daemon *daemon
			for _, b := range blocks {
				switch b.mode {
				case "serve":
					daemon.stop(t)
					daemon = serve(t, b, data)
				case "run":
					for _, line := range b.lines {
						command(t, b, line, data)
					}
				case "self":
				case "elsewhere":
					require.Contains(t, strings.ToLower(b.before), "not run here", "%s: say so right before the block", b)
				default:
					t.Errorf("%s: say what becomes of it: serve, run, self or elsewhere (see test/docs)", b)
				}
			}
			daemon.stop(t)
		})
	}
}

// Every configuration that the documentation shows is one.
func TestDocumentedConfigurations(t *testing.T) {
	seen := 0
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, example := range yamlBlocks(string(text)) {
			_, err := config.Parse(filepath.Base(path), []byte(example))
			require.NoError(t, err, example)
			seen++
		}
	}
	require.NotZero(t, seen)
}

func shell(ctx context.Context, line, data string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "NAS_TARGET_DATA_DIR="+data, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

func command(t *testing.T, b block, line, data string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := shell(ctx, line, data).CombinedOutput()
	require.NoError(t, err, "%s: %s\n%s", b, line, out)
}

// daemon is what a serve block started.
type daemon struct {
	cmd  *exec.Cmd
	out  *bytes.Buffer
	done chan error
}

const portal = "127.0.0.1:3260"

// serve runs the block's one line and waits for the portal it promises.
func serve(t *testing.T, b block, data string) *daemon {
	t.Helper()
	require.Len(t, b.lines, 1, "%s: a serve block is one command", b)
	c, err := net.Dial("tcp", portal)
	if err == nil {
		c.Close()
		t.Fatalf("something listens on %s already: stop it, the documented commands need that port", portal)
	}
	d := &daemon{out: new(bytes.Buffer), done: make(chan error, 1)}
	d.cmd = shell(context.Background(), b.lines[0], data)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	require.NoError(t, d.cmd.Start())
	t.Cleanup(func() { _ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL) })
	go func() { d.done <- d.cmd.Wait() }()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if c, err := net.Dial("tcp", portal); err == nil {
			c.Close()
			return d
		}
		select {
		case err := <-d.done:
			t.Fatalf("%s: %s ended: %v\n%s", b, b.lines[0], err, d.out)
		case <-time.After(50 * time.Millisecond):
			require.True(t, time.Now().Before(deadline), "%s: %s does not listen on %s", b, b.lines[0], portal)
		}
	}
}

// stop presses Ctrl-C.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	if d == nil {
		return
	}
	require.NoError(t, syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT))
	select {
	case <-d.done:
	case <-time.After(20 * time.Second):
		t.Fatalf("the daemon did not stop\n%s", d.out)
	}
}

func TestShellBlocks(t *testing.T) {
	text := strings.Join([]string{
		"First.", "", "Try", "it:", "", "```sh run", "# a comment", "one", "", "two", "```",
		"```", "ps aux", "```", "Not run", "here:", "```sh elsewhere", "three", "```", "```sh", "four", "```",
	}, "\n")
	got := shellBlocks("x.md", text)
	require.Equal(t, []block{
		{"x.md", 6, "run", "Try it: ", []string{"one", "two"}},
		{"x.md", 17, "elsewhere", "Not run here:", []string{"three"}},
		{"x.md", 20, "", "", []string{"four"}},
	}, got)
}
