package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"nas-target/test/peers"
)

// measured is what one measurement saw from the client's side.
type measured struct {
	IOs      int64
	Took     time.Duration
	P50, P99 time.Duration
	P999     time.Duration // of the bare protocol only
	Max      time.Duration
}

// A subject is what is measured: a target, or the bare limit.
type subject interface {
	name() string
	start(ctx context.Context) error
	stop()
	load(ctx context.Context, r row, d time.Duration) (measured, error)
	pid() int
	digests() bool // whether it knows any
	log() string   // the end of what it wrote, for whoever looks into a failure
}

// target is an iSCSI target that serves a disk of its own.
type target struct {
	kind peers.Kind
	dir  string // for its log and state
	disk string
	gen  generator
	t    *peers.Target
	runs int
}

func (s *target) name() string { return s.kind.Name }

func (s *target) start(ctx context.Context) error {
	s.runs++
	dir := filepath.Join(s.dir, fmt.Sprintf("%s%d", s.kind.Name, s.runs))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	s.t, err = s.kind.Start(ctx, dir, peers.Disk{Path: s.disk})
	return err
}

func (s *target) stop() {
	if s.t != nil {
		s.t.Kill()
		s.t = nil
	}
}

func (s *target) pid() int { return s.t.PID() }

// digests: gotgt agrees to use them and then does not.
func (s *target) digests() bool { return s.kind.Name != peers.GOTGT.Name }

func (s *target) log() string { return s.t.Log() }

// load measures under a hard limit: a target that hangs is killed, which
// closes its sockets, which ends the generator.
func (s *target) load(ctx context.Context, r row, d time.Duration) (measured, error) {
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	stop := context.AfterFunc(ctx, s.t.Kill)
	defer stop()
	l, err := s.gen(ctx, s.t, r, d)
	switch {
	case ctx.Err() != nil:
		return measured{}, fmt.Errorf("hung: killed after %v", d+patience)
	case s.t.Gone():
		return measured{}, errors.New("its process ended")
	}
	return l, err
}

// patience is how much longer than asked a measurement may take: logins,
// the last commands, a slow start.
const patience = 15 * time.Second

// bare is the limit without iSCSI, a second process of this program.
type bare struct {
	cmd  *exec.Cmd
	addr string
}

// bareEnv makes this program the server of the bare protocol.
const bareEnv = "NAS_TARGET_BENCH_BARE"

func (b *bare) name() string { return "bare" }

func (b *bare) start(context.Context) error {
	l, addr, err := listenFile()
	if err != nil {
		return err
	}
	defer l.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.addr = addr
	b.cmd = exec.Command(self)
	b.cmd.Env = append(os.Environ(), bareEnv+"=1")
	b.cmd.ExtraFiles = []*os.File{l}
	b.cmd.Stderr = os.Stderr
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return b.cmd.Start()
}

func (b *bare) stop() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

func (b *bare) pid() int { return b.cmd.Process.Pid }

func (b *bare) digests() bool { return false }

func (b *bare) log() string { return "" }

func (b *bare) load(ctx context.Context, r row, d time.Duration) (measured, error) {
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	return loadBare(ctx, b.addr, r, d)
}
