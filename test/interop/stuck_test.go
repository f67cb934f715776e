package interop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"nas-target/internal/initiator"
	"nas-target/test/peers"
)

// frozen is a file system of its own that can be stopped: what writes to it
// then waits in the kernel, where no signal reaches it, as below a controller
// that answers no more.
type frozen struct {
	dir  string
	root *os.File
	on   bool

	watchdog *exec.Cmd
}

func newFrozen(t *testing.T) *frozen {
	t.Helper()
	image := sparse(t, t.TempDir(), 128*mib)
	device := loop(t, image)
	run(t, "mke2fs", "-q", "-F", "-t", "ext4", device)
	f := &frozen{dir: t.TempDir()}
	if err := syscall.Mount(device, f.dir, "ext4", 0, ""); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENODEV) {
		cannot(t, "mount: %v", err)
	} else {
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(f.dir, 0); err != nil {
			t.Error(err)
		}
	})
	var err error
	f.root, err = os.Open(f.dir)
	require.NoError(t, err)
	t.Cleanup(func() {
		f.thaw()
		f.root.Close()
	})
	return f
}

func (f *frozen) ioctl(op uintptr) error {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.root.Fd(), op, 0); e != 0 {
		return e
	}
	return nil
}

func (f *frozen) freeze(t *testing.T) {
	const fifreeze = 0xC0045877
	// If the test dies, nobody else would ever let go of what waits there.
	f.watchdog = exec.Command("sh", "-c", "sleep 60; exec fsfreeze --unfreeze "+f.dir)
	f.watchdog.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	f.watchdog.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	require.NoError(t, f.watchdog.Start())
	f.on = true
	require.NoError(t, f.ioctl(fifreeze))
}

func (f *frozen) thaw() {
	const fithaw = 0xC0045878
	if f.on {
		f.on = false
		_ = f.ioctl(fithaw)
		_ = syscall.Kill(-f.watchdog.Process.Pid, syscall.SIGKILL)
		_ = f.watchdog.Wait()
	}
}

func threads(t *testing.T, pid int) int {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	require.NoError(t, err)
	return len(tasks)
}

// A disk that answers nothing delays nothing else: not the LUN beside it, not
// pings, logins, the commands that need no medium, task management. It takes a
// bounded number of threads, and once it goes on, all that was sent is done.
// F17.
func TestStuckDisk(t *testing.T) {
	if *targetKind != peers.NAS.Name {
		return // peers serve one disk here
	}
	const size, writes, sessions = 64 * mib, 64, 4
	stuck := newFrozen(t)
	tgt := serve(t, peers.Disk{Path: sparse(t, t.TempDir(), size), Beside: []string{sparse(t, stuck.dir, size)}})
	ctx := t.Context()
	block := bytes.Repeat([]byte{0xa5}, 4096)

	var hosts []*initiator.Session
	for i := range sessions {
		s, healthy := login(t, tgt, fmt.Sprintf("iqn.2026-11.test:stuck%d", i))
		defer s.Close()
		hosts = append(hosts, s)
		require.NoError(t, healthy.Write(ctx, uint64(i*8), block))
		_, err := s.Unit(2).DrainUA(ctx)
		require.NoError(t, err)
	}
	before := threads(t, tgt.PID())
	stuck.freeze(t)
	defer stuck.thaw() // before anything is closed that would wait
	var waiting []*initiator.Task
	for i := range writes {
		s := hosts[i%sessions]
		task, err := s.Unit(2).Start(ctx, initiator.Write16(uint64(i*8), block, 512, 0))
		require.NoError(t, err)
		waiting = append(waiting, task)
	}
	// Somebody is in the kernel, and it stays so.
	require.Eventually(t, func() bool {
		states, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", tgt.PID()))
		for _, path := range states {
			b, _ := os.ReadFile(path)
			if _, after, ok := bytes.Cut(b, []byte(") ")); ok && after[0] == 'D' {
				return true
			}
		}
		return false
	}, 20*time.Second, time.Millisecond)

	quick := func(what string, f func() error) {
		t.Helper()
		start, over := time.Now(), make(chan error, 1)
		go func() { over <- f() }()
		select {
		case err := <-over:
			require.NoError(t, err, what)
		case <-time.After(10 * time.Second):
			stuck.thaw()
			t.Fatalf("%s waits for the stuck disk", what)
		}
		t.Logf("%-40s %v", what, time.Since(start).Round(10*time.Microsecond))
	}
	for round := range 3 {
		s := hosts[round]
		healthy, sick := s.Unit(1), s.Unit(2)
		quick("ping", func() error { return s.Ping(ctx, nil) })
		quick("write to the LUN beside it", func() error { return healthy.Write(ctx, uint64(round*8), block) })
		quick("read from the LUN beside it", func() error { _, err := healthy.Read(ctx, uint64(round*8), 8); return err })
		quick("flush of the LUN beside it", func() error { _, err := healthy.Run(ctx, initiator.SyncCache10(0, 0, false)); return err })
		quick("TEST UNIT READY of the stuck disk", func() error { _, err := sick.Run(ctx, initiator.TestUnitReady()); return err })
		quick("INQUIRY of the stuck disk", func() error { _, err := sick.Inquiry(ctx); return err })
		quick("READ KEYS of the stuck disk", func() error { _, err := sick.Run(ctx, initiator.PRIn(initiator.PRReadKeys, 256)); return err })
		quick("LOGICAL UNIT RESET beside it", func() error {
			r, err := s.LUReset(ctx, initiator.FlatLUN(1))
			if err == nil && r.Status != initiator.TMFComplete {
				err = fmt.Errorf("%v", r.Status)
			}
			return err
		})
		for _, h := range hosts[:3] {
			quick("unit attentions beside it", func() error { _, err := h.Unit(1).DrainUA(ctx); return err })
		}
		quick("login", func() error {
			s, err := initiator.Dial(ctx, initiator.Config{Addr: tgt.Addr, Target: tgt.IQN, InitiatorName: fmt.Sprintf("iqn.2026-11.test:new%d", round)})
			if err == nil {
				_, err = s.ReportLUNs(ctx)
				s.Close()
			}
			return err
		})
	}
	now := threads(t, tgt.PID())
	t.Logf("%d writes are stuck, the daemon has %d threads, before it had %d", writes, now, before)
	const perUnit = 8 + 16 + 4 // workers, spare ones, transports' own goroutines
	require.LessOrEqual(t, now, before+perUnit+8, "threads")

	stuck.thaw()
	for _, task := range waiting {
		r, err := task.Wait(ctx)
		require.NoError(t, err)
		require.NoError(t, r.Err())
	}
	for i := range writes {
		got, err := hosts[0].Unit(2).Read(ctx, uint64(i*8), 8)
		require.NoError(t, err)
		require.Equal(t, block, got)
	}
	for _, s := range hosts {
		require.Empty(t, s.Violations())
	}
}
