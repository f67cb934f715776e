package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain plays the service that a manager starts, when asked to.
func TestMain(m *testing.M) {
	if os.Getenv("NAS_TARGET_TEST_ACTIVATED") != "" {
		playActivated()
		return
	}
	goleak.VerifyTestMain(m)
}

// manager listens for notifications as systemd does.
func manager(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return c
}

func heard(t *testing.T, c *net.UnixConn) map[string]string {
	t.Helper()
	b := make([]byte, 4096)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	n, err := c.Read(b)
	require.NoError(t, err)
	said := map[string]string{}
	for _, line := range strings.Split(string(b[:n]), "\n") {
		key, value, ok := strings.Cut(line, "=")
		require.True(t, ok, "%q is no assignment", line)
		said[key] = value
	}
	return said
}

func TestNotifications(t *testing.T) {
	for name, address := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@nas-target-test-%d", os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			c := manager(t, address)
			m, err := Find()
			require.NoError(t, err)
			require.Empty(t, os.Getenv("NOTIFY_SOCKET"), "a child would speak in our name")

			require.NoError(t, m.Ready("serving at\n127.0.0.1:3260"))
			require.Equal(t, map[string]string{"READY": "1", "STATUS": "serving at 127.0.0.1:3260"}, heard(t, c))

			require.NoError(t, m.Reloading())
			said := heard(t, c)
			require.Equal(t, "1", said["RELOADING"])
			at, err := strconv.ParseInt(said["MONOTONIC_USEC"], 10, 64)
			require.NoError(t, err)
			require.Positive(t, at)

			require.NoError(t, m.Stopping(90*time.Second))
			said = heard(t, c)
			require.Equal(t, "1", said["STOPPING"])
			require.Equal(t, "90000000", said["EXTEND_TIMEOUT_USEC"])

			require.NoError(t, c.Close())
			os.Remove(address)
			require.Error(t, m.Ready(""), "nobody listens any more")
		})
	}
}

// In a terminal there is no manager, and nothing to do.
func TestNobodyStartedIt(t *testing.T) {
	m, err := Find()
	require.NoError(t, err)
	require.NoError(t, m.Ready("x"))
	require.NoError(t, m.Reloading())
	require.NoError(t, m.Stopping(time.Second))
	require.Empty(t, m.Sockets())
	m.Watch(t.Context(), nil, nil) // returns at once
}

func TestSignsOfLifeStopWhenLifeDoes(t *testing.T) {
	c := manager(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	m, err := Find()
	require.NoError(t, err)
	require.Empty(t, os.Getenv("WATCHDOG_USEC"))

	var dead atomic.Bool
	missed := make(chan error, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Watch(ctx, func(context.Context) error {
			if dead.Load() {
				return errors.New("stuck")
			}
			return nil
		}, func(err error) { missed <- err })
	}()
	for range 3 {
		require.Equal(t, map[string]string{"WATCHDOG": "1"}, heard(t, c))
	}
	dead.Store(true)
	require.EqualError(t, <-missed, "stuck")
	quiet(t, c) // what was said before
	for range 3 {
		require.EqualError(t, <-missed, "stuck")
	}
	require.Zero(t, quiet(t, c), "a sign of life of the dead")
	cancel()
	<-ended
}

// quiet drops what was said until now and returns how much it was.
func quiet(t *testing.T, c *net.UnixConn) (n int) {
	t.Helper()
	for b := make([]byte, 4096); ; n++ {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
		if _, err := c.Read(b); err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			return n
		}
	}
}

// A watchdog that is meant for another process is not ours, and one that makes
// no sense is an error.
func TestOthersWatchdog(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", "1")
	m, err := Find()
	require.NoError(t, err)
	m.Watch(t.Context(), nil, nil) // returns at once

	t.Setenv("WATCHDOG_USEC", "soon")
	_, err = Find()
	require.ErrorContains(t, err, "watchdog")
}

// playActivated says which sockets it was given.
func playActivated() {
	m, err := Find()
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	for _, s := range m.Sockets() {
		fmt.Println(s.Name, s.Addr())
	}
	fmt.Printf("environment %q\n", os.Getenv("LISTEN_FDS")+os.Getenv("LISTEN_PID")+os.Getenv("LISTEN_FDNAMES"))
}

// activated starts this test as a service with the sockets. The shell does what
// a manager does between fork and exec: it knows the process id.
func activated(t *testing.T, names string, files ...*os.File) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), "NAS_TARGET_TEST_ACTIVATED=1", fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func TestSocketsHandedOver(t *testing.T) {
	var files []*os.File
	var at []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		require.NoError(t, err)
		defer f.Close()
		files, at = append(files, f), append(at, l.Addr().String())
	}
	require.Equal(t, fmt.Sprintf("portal %s\nportal %s\nenvironment \"\"\n", at[0], at[1]), activated(t, "portal:portal", files...))

	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	require.Contains(t, activated(t, "portal:odd", files[0], r), "error: socket activation: odd is not a listening socket")
}
