package peers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child in its own process group.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process has been reaped
	err  error         // valid after done
}

// start runs the command with its output in the file log. If the test dies
// first, the kernel kills the child: the signal is tied to the thread that
// forked it, so that thread waits for it.
func start(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop asks with SIGTERM, waits for patience, then kills the whole group.
func (p *process) stop(patience time.Duration) error {
	_ = p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		_ = p.signal(syscall.SIGKILL) // what it may have left behind
		return nil
	case <-time.After(patience):
		_ = p.signal(syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not stop in %v", p.cmd.Path, patience)
	}
}

func (p *process) signal(s syscall.Signal) error {
	return syscall.Kill(-p.cmd.Process.Pid, s)
}

func (p *process) exited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Usage is what a process has cost so far.
type Usage struct {
	CPU time.Duration // user and system time of all its threads, gone ones included
	RSS int64         // bytes resident now, shared file pages included
}

// clockTick is USER_HZ, which Linux fixes at 100 for every architecture Go
// supports; the kernel scales these ticks by the exact run time.
const clockTick = 10 * time.Millisecond

// UsageOf reads what a process has cost so far.
func UsageOf(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	// Field 2 is the name in parentheses and may hold blanks: count behind it.
	_, rest, ok := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	if !ok || len(f) < 22 {
		return Usage{}, errors.New("unexpected form of /proc/pid/stat")
	}
	var n [3]int64
	for i, field := range []int{11, 12, 21} { // utime, stime, rss in pages
		if n[i], err = strconv.ParseInt(f[field], 10, 64); err != nil {
			return Usage{}, err
		}
	}
	return Usage{
		CPU: time.Duration(n[0]+n[1]) * clockTick,
		RSS: n[2] * int64(os.Getpagesize()),
	}, nil
}
