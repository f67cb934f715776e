package packaging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/daemon"
)

// containerfile is what the image says of itself.
type containerfile struct {
	from, user, stop             string
	entrypoint, command, healthy []string
	volumes, environment         []string
	copies                       []string
}

// readContainerfile understands what ours uses, and fails at anything else.
func readContainerfile(t *testing.T, path string) containerfile {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var c containerfile
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
			c.copies = append(c.copies, rest)
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
	require.Equal(t, []string{"nas-target /nas-target", "--chown=65532:65532 state/ /var/lib/"}, c.copies)
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
	output(t, "cp", program(t), filepath.Join(image, c.entrypoint[0]))
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

// Where there is an engine it builds the image, and the image is what the file
// says. Without one the tests above are all that can be had.
func TestContainerImage(t *testing.T) {
	tool := ""
	for _, candidate := range []string{"buildah", "podman"} { // docker needs a daemon
		if path, err := exec.LookPath(candidate); err == nil {
			tool = path
			break
		}
	}
	if tool == "" {
		t.Log("NOT BUILT: neither buildah nor podman is here")
		return
	}
	store := t.TempDir()
	flags := []string{"--root", store + "/root", "--runroot", store + "/run", "--storage-driver", "vfs"}
	t.Setenv("CONTAINER_TOOL", tool)
	t.Setenv("CONTAINER_FLAGS", strings.Join(flags, " "))
	deb(t)
	require.NoError(t, buildIn(top, dist, "container"))
	c := readContainerfile(t, filepath.Join(top, "packaging/Containerfile"))
	said := output(t, tool, append(flags, "inspect", "--type", "image", "nas-target:"+daemon.Version)...)
	for _, word := range append(append(c.healthy, c.entrypoint...), c.user, c.volumes[0], c.stop) {
		require.Contains(t, said, strconv.Quote(word))
	}
}
