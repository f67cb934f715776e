package backstore_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"nas-target/internal/backstore"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

var kills = flag.Int("kills", 5, "how often TestKill kills the daemon")

const (
	childEnv   = "BACKSTORE_TEST_CHILD"
	childSpots = 64
)

// child is another daemon: it takes the file, writes stamps in turn and says
// so after each one that was acknowledged, until it is killed.
func child(path string) {
	f, err := backstore.OpenFile(context.Background(), backstore.FileOptions{Path: path, LockWait: 10 * time.Second})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("open")
	for i := uint64(1); ; i++ {
		if _, err := f.WriteAt(stamp(i), int64(i%childSpots)*512); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

func stamp(i uint64) []byte {
	p := make([]byte, 512)
	for k := 0; k < 512; k += 8 {
		binary.LittleEndian.PutUint64(p[k:], i)
	}
	return p
}

func startChild(t testing.TB, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "open", lines.Text())
	return cmd, lines
}

// F12, F28: another process is kept out while a daemon lives; after kill -9 the
// file is free and holds all that was acknowledged.
func TestKill(t *testing.T) {
	path := filepath.Join(memoryDir(t), "d")
	require.NoError(t, newFile(t, backstore.FileOptions{Path: path}).Close())
	for range *kills {
		cmd, lines := startChild(t, path)
		_, err := openFile(backstore.FileOptions{Path: path})
		require.ErrorIs(t, err, backstore.ReasonLocked)

		for range 200 {
			require.True(t, lines.Scan())
		}
		require.NoError(t, cmd.Process.Kill())
		last := uint64(0) // the last one the dead process could report
		for ok := true; ok; ok = lines.Scan() {
			fmt.Sscan(lines.Text(), &last)
		}
		f, err := openFile(backstore.FileOptions{Path: path, LockWait: 10 * time.Second})
		require.NoError(t, err)
		for i := max(1, last-childSpots+1); i <= last; i++ {
			got := make([]byte, 512)
			_, err := f.ReadAt(got, int64(i%childSpots)*512)
			require.NoError(t, err)
			n := binary.LittleEndian.Uint64(got)
			require.Equal(t, stamp(n), got, "a torn stamp")
			require.GreaterOrEqual(t, n, i, "acknowledged write %d is lost", i)
		}
		require.NoError(t, f.Close())
		cmd.Wait()
	}
}

// F29: a write that is stuck in the kernel when its daemon is killed holds the
// lock; the next daemon must not open the file before that write is over.
func TestZombieWriteKeepsTheFile(t *testing.T) {
	dev := loopDevice(t, 32<<20)
	require.NoError(t, exec.Command("mkfs.ext4", "-q", dev).Run())
	dir := t.TempDir()
	require.NoError(t, unix.Mount(dev, dir, "ext4", 0, ""))
	defer func() { require.NoError(t, unix.Unmount(dir, 0)) }()
	path := filepath.Join(dir, "d")
	require.NoError(t, newFile(t, backstore.FileOptions{Path: path}).Close())

	root, err := os.Open(dir)
	require.NoError(t, err)
	defer root.Close()
	cmd, lines := startChild(t, path)
	const fifreeze, fithaw = 0xC0045877, 0xC0045878
	require.NoError(t, unix.IoctlSetInt(int(root.Fd()), fifreeze, 0))
	frozen := true
	thaw := func() {
		if frozen {
			frozen = false
			require.NoError(t, unix.IoctlSetInt(int(root.Fd()), fithaw, 0))
		}
	}
	defer thaw()
	go func() {
		for lines.Scan() {
		}
	}()
	require.Eventually(t, func() bool { return threadStuck(cmd.Process.Pid) }, 20*time.Second, time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	_, err = openFile(backstore.FileOptions{Path: path, LockWait: 200 * time.Millisecond})
	require.ErrorIs(t, err, backstore.ReasonLocked, "the killed daemon's write is still in the kernel")
	opened := make(chan *backstore.File)
	go func() {
		f, err := openFile(backstore.FileOptions{Path: path, LockWait: 20 * time.Second})
		if err != nil {
			t.Error(err)
		}
		opened <- f
	}()
	thaw()
	f := <-opened
	require.NotNil(t, f)
	before := readAll(t, f)
	cmd.Wait()
	require.Equal(t, before, readAll(t, f), "nothing is applied after the next daemon has opened the file")
	require.NoError(t, f.Close())
}

// threadStuck tells whether a thread of the process is in uninterruptible
// sleep.
func threadStuck(pid int) bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		var id int
		var name, state string
		fmt.Sscan(string(b), &id, &name, &state)
		if state == "D" {
			return true
		}
	}
	return false
}
