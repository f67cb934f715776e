package peers

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Disk is what a target is asked to serve.
type Disk struct {
	Path string // an existing file; its size is the LUN's

	// What follows only our daemon heeds.

	PhysicalBlock int // bytes; 0: the default
	ReadOnly      bool
	EraseSpeed    int64    // bytes per second of FORMAT UNIT and SANITIZE; 0: no limit
	RAM           int64    // not the file: a disk of so many bytes in memory
	Block         bool     // Path is a block device
	Beside        []string // existing files; LUN 2 and up
	NoWriteCache  bool
	Direct        bool // O_DIRECT
	NoPings       bool // initiators may be silent
	Digests       bool // no login without header and data digests
}

// Kind knows how to start one sort of target.
type Kind struct {
	Name  string
	start func(ctx context.Context, dir string, port int, d Disk) (*Target, error)
}

// Kinds are the targets known here, ours first.
func Kinds() []Kind { return []Kind{NAS, TGT, GOTGT} }

// ByName finds a kind.
func ByName(name string) (Kind, error) {
	var names []string
	for _, k := range Kinds() {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("no target named %q; there are %s", name, strings.Join(names, ", "))
}

// Target is a running target that serves one LUN.
type Target struct {
	Kind string
	Addr string // host:port
	Also string // host:port of another target port, if it has one
	IQN  string
	LUN  int

	proc    *process
	restart func(context.Context) (*Target, error)
}

// startPatience bounds how long a target may take until it accepts
// connections; stopPatience how long it may take to go when asked.
const (
	startPatience = 20 * time.Second
	stopPatience  = 15 * time.Second
)

// Start runs a target of this kind on a free port. Its log and whatever it
// keeps live in dir.
func (k Kind) Start(ctx context.Context, dir string, d Disk) (*Target, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	start := func(ctx context.Context) (*Target, error) {
		t, err := k.start(ctx, dir, port, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Name, err)
		}
		t.Kind = k.Name
		return t, nil
	}
	t, err := start(ctx)
	if err == nil {
		t.restart = start
	}
	return t, err
}

// Restart starts the target again after its end, with the same address, disk
// and state.
func (t *Target) Restart(ctx context.Context) error {
	next, err := t.restart(ctx)
	if err != nil {
		return err
	}
	next.restart = t.restart
	*t = *next
	return nil
}

// FreePort asks the kernel for a port that nobody listens on at this moment.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// URL addresses the LUN in libiscsi's form.
func (t *Target) URL() string {
	return fmt.Sprintf("iscsi://%s/%s/%d", t.Addr, t.IQN, t.LUN)
}

// Path2 addresses the LUN by another way: another target port where there is
// one, another session where there is not.
func (t *Target) Path2() string {
	if t.Also == "" {
		return t.URL()
	}
	return fmt.Sprintf("iscsi://%s/%s/%d", t.Also, t.IQN, t.LUN)
}

// PID is the process's id.
func (t *Target) PID() int { return t.proc.cmd.Process.Pid }

// Gone reports whether the process has ended.
func (t *Target) Gone() bool { return t.proc.exited() }

// Stop ends the process: politely first, then by force, which is an error.
func (t *Target) Stop() error { return t.proc.stop(stopPatience) }

// Kill ends it as a power switch would.
func (t *Target) Kill() {
	_ = t.proc.signal(syscall.SIGKILL)
	<-t.proc.done
}

// Log returns the end of what the process has written, for messages.
func (t *Target) Log() string { return tail(t.proc.log) }

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 4 << 10
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return string(b)
}

// await returns once addr accepts a connection, or says why it never will.
func await(ctx context.Context, p *process, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	var d net.Dialer
	for {
		if c, err := d.DialContext(ctx, "tcp", addr); err == nil {
			return c.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("ended while starting: %v\n%s", p.err, tail(p.log))
		case <-ctx.Done():
			_ = p.stop(0)
			return fmt.Errorf("does not listen on %s: %w\n%s", addr, ctx.Err(), tail(p.log))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// moduleRoot finds the directory of go.mod above the working directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if b, err := os.ReadFile(filepath.Join(d, "go.mod")); err == nil &&
			strings.HasPrefix(string(b), "module nas-target\n") {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not inside the nas-target module", dir)
		}
	}
}
