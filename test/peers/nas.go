package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// NAS is this repository's daemon.
var NAS = Kind{Name: "nas-target", start: startNAS}

const nasIQN = "iqn.2026-11.test.peer:nas-target"

// Build compiles the daemon into dir and returns its path.
func Build(ctx context.Context, dir string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "nas-target")
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", bin}, buildFlags...), "./cmd/nas-target")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

func startNAS(ctx context.Context, dir string, port int, d Disk) (*Target, error) {
	bin, err := Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	conf := filepath.Join(dir, "nas-target.yaml")
	text := fmt.Sprintf(`portals:
  - group: 1
    listen: ["%s"]
targets:
  - name: %s
    access: open
    luns:
      - lun: 1
        name: disk
        backstore: file
        path: %s
        physical_block_size: %d
        read_only: %t
`, addr, nasIQN, d.Path, d.PhysicalBlock, d.ReadOnly)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, "serve", "--config", conf, "--data-dir", filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1") // a race ends it, which no test misses
	p, err := start(cmd, filepath.Join(dir, "nas-target.log"))
	if err != nil {
		return nil, err
	}
	if err := await(ctx, p, addr); err != nil {
		return nil, err
	}
	return &Target{Addr: addr, IQN: nasIQN, LUN: 1, proc: p}, nil
}
