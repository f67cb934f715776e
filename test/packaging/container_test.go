package packaging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// containerfile is what the image says of itself.
type containerfile struct {
	from, user, stop             string
	entrypoint, command, healthy []string
	volumes, environment         []string
	copies                       [][2]string // from, to
	args                         map[string]string
}

// readContainerfile understands what ours uses, and fails at anything else.
func readContainerfile(t *testing.T, path string) containerfile {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	c := containerfile{args: map[string]string{}}
	list := func(s string) []string {
		var words []string
		require.NoError(t, json.Unmarshal([]byte(s), &words), "not in exec form, there is no shell: %s", s)
		return words
	}
	for _, line := range strings.Split(strings.ReplaceAll(string(text), "\\\n", " "), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "FROM":
			c.from = rest
		case "ARG":
			name, value, _ := strings.Cut(rest, "=")
			c.args[name] = value
		case "USER":
			c.user = rest
		case "STOPSIGNAL":
			c.stop = rest
		case "ENTRYPOINT":
			c.entrypoint = list(rest)
		case "CMD":
			c.command = list(rest)
		case "HEALTHCHECK":
			_, cmd, ok := strings.Cut(rest, "CMD ")
			require.True(t, ok)
			c.healthy = list(cmd)
		case "VOLUME":
			c.volumes = list(rest)
		case "ENV":
			c.environment = append(c.environment, rest)
		case "COPY":
			f := strings.Fields(rest)
			require.Len(t, f, 3)
			require.Equal(t, "--chmod=0755", f[0])
			c.copies = append(c.copies, [2]string{os.Expand(f[1], func(n string) string { return c.args[n] }), f[2]})
		case "LABEL", "EXPOSE":
		default:
			t.Fatalf("%s: this test does not know %s", path, word)
		}
	}
	return c
}

// The image has one program, no shell and no root, and its health check is the
// program's own.
func TestContainerfile(t *testing.T) {
	c := readContainerfile(t, filepath.Join(top, "packaging/Containerfile"))
	require.Equal(t, "scratch", c.from)
	require.Equal(t, "65532:65532", c.user)
	require.Equal(t, "SIGTERM", c.stop)
	require.Len(t, c.copies, 1)
	require.Equal(t, "/nas-target", c.copies[0][1])
	require.Equal(t, []string{"/nas-target"}, c.entrypoint)
	require.Equal(t, []string{"/nas-target", "status"}, c.healthy)
	require.Equal(t, []string{"/var/lib/nas-target"}, c.volumes)
}

// What a container engine would start, in a root directory that holds nothing
// but the image's program, as the image's user: it starts, is healthy, ends.
func TestContainerRuns(t *testing.T) {
	c := readContainerfile(t, filepath.Join(top, "packaging/Containerfile"))
	image := t.TempDir()
	const id = 65532
	for _, dir := range []string{"etc/nas-target", "var/lib/nas-target"} {
		require.NoError(t, os.MkdirAll(filepath.Join(image, dir), 0o755))
	}
	output(t, "cp", program(t), filepath.Join(image, c.copies[0][1]))
	require.NoError(t, os.WriteFile(filepath.Join(image, "etc/nas-target/nas-target.yaml"), []byte(configFor("/var/lib/nas-target", "127.0.0.3:3260")), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(image, "proc"), 0o755))
	unshare, user := []string{"--mount", "--user", "--map-root-user"}, []string(nil)
	if os.Getuid() == 0 {
		for dir := image; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			require.NoError(t, os.Chmod(dir, 0o755))
		}
		require.NoError(t, os.Chown(filepath.Join(image, "var/lib/nas-target"), id, id))
		unshare, user = []string{"--mount"}, []string{"--userspec", c.user}
	}
	command := func(args []string) *exec.Cmd {
		enter := append(unshare, "sh", "-c", `image=$0; mount --rbind /proc "$image/proc" && exec chroot "$@"`, image)
		cmd := exec.Command("unshare", append(append(append(enter, user...), image), args...)...)
		cmd.Env = append(os.Environ(), c.environment...)
		return cmd
	}
	var log bytes.Buffer
	serve := command(append(c.entrypoint, c.command...))
	serve.Stdout, serve.Stderr = &log, &log
	require.NoError(t, serve.Start())
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	t.Cleanup(func() { _ = serve.Process.Kill() })
	for deadline := time.Now().Add(30 * time.Second); ; {
		out, err := command(c.healthy).CombinedOutput()
		if err == nil {
			require.Contains(t, string(out), "all is well")
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
			require.True(t, time.Now().Before(deadline), "never healthy: %s", out)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", serve.Process.Pid))
	require.NoError(t, err)
	require.NotContains(t, string(status), "Uid:\t0\t")
	require.NoError(t, serve.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("it does not stop")
	}
}
