package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// TGT is Debian's tgtd (package tgt).
var TGT = Kind{Name: "tgt", start: startTGT}

const tgtIQN = "iqn.2026-11.test.peer:tgt"

// startTGT gives each tgtd a management socket in its own directory, so that
// it needs no root and meets no other tgtd.
func startTGT(ctx context.Context, dir string, port int, d Disk) (*Target, error) {
	tgtd, err := look("tgtd", "tgt")
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), "TGT_IPC_SOCKET="+filepath.Join(dir, "tgt"))
	const control = "1" // ends the socket's path; the directory makes it unique
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(tgtd, "-D", "-C", control, "--iscsi", "portal="+addr)
	cmd.Env = env
	p, err := start(cmd, filepath.Join(dir, "tgtd.log"))
	if err != nil {
		return nil, err
	}
	if err := await(ctx, p, addr); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"--mode", "target", "--op", "new", "--tid", "1", "-T", tgtIQN},
		{"--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "1", "-b", d.Path},
		{"--mode", "target", "--op", "bind", "--tid", "1", "-I", "ALL"},
	} {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		adm := exec.CommandContext(ctx, filepath.Join(filepath.Dir(tgtd), "tgtadm"), append([]string{"-C", control, "--lld", "iscsi"}, args...)...)
		adm.Env = env
		out, err := adm.CombinedOutput()
		cancel()
		if err != nil {
			_ = p.stop(0)
			return nil, fmt.Errorf("tgtadm %v: %w: %s", args, err, out)
		}
	}
	return &Target{Addr: addr, IQN: tgtIQN, LUN: 1, proc: p}, nil
}

// look finds a program that a Debian package brings, sbin included.
func look(name, pkg string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed: apt-get install %s", name, pkg)
}
