package peers

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

// GOTGT is gotgt's library in the small program of test/peers/gotgt.
var GOTGT = Kind{Name: "gotgt", start: startGOTGT}

const gotgtIQN = "iqn.2026-11.test.peer:gotgt"

func startGOTGT(ctx context.Context, dir string, port int, d Disk) (*Target, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	bin := filepath.Join(dir, "gotgt")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, ".")
	build.Dir = filepath.Join(root, "test/peers/gotgt")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	p, err := start(exec.Command(bin, "-port", strconv.Itoa(port), "-file", d.Path, "-target", gotgtIQN),
		filepath.Join(dir, "gotgt.log"))
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	if err := await(ctx, p, addr); err != nil {
		return nil, err
	}
	return &Target{Addr: addr, IQN: gotgtIQN, LUN: 1, proc: p}, nil
}
