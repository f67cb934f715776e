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

// Binary is the daemon that NAS starts. Empty: one is built for each start.
var Binary string

func startNAS(ctx context.Context, dir string, port int, d Disk) (*Target, error) {
	bin := Binary
	if bin == "" {
		var err error
		if bin, err = Build(ctx, dir); err != nil {
			return nil, err
		}
	}
	addr, also := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.2:%d", port)
	conf := filepath.Join(dir, "nas-target.yaml")
	medium := "backstore: file\n        path: " + d.Path
	if d.Block {
		medium = "backstore: block\n        path: " + d.Path
	}
	if d.RAM != 0 {
		medium = fmt.Sprintf("backstore: ram\n        size: %d", d.RAM)
	}
	if d.Direct {
		medium += "\n        direct: true"
	}
	if d.NoWriteCache {
		medium += "\n        write_cache: false"
	}
	beside := ""
	for i, path := range d.Beside {
		beside += fmt.Sprintf("      - {lun: %d, name: beside%d, path: %s}\n", i+2, i+2, path)
	}
	digest := "offered"
	if d.Digests {
		digest = "required"
	}
	ping := "5s"
	if d.NoPings {
		ping = "0s"
	}
	text := fmt.Sprintf(`limits: {ping_interval: %s}
portals:
  - group: 1
    listen: ["%s"]
  - group: 2
    listen: ["%s"]
targets:
  - name: %s
    access: open
    header_digest: %s
    data_digest: %[5]s
    luns:
      - lun: 1
        name: disk
        physical_block_size: %d
        read_only: %t
        erase_speed: %d
        %s
%s`, ping, addr, also, nasIQN, digest, d.PhysicalBlock, d.ReadOnly, d.EraseSpeed, medium, beside)
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
	return &Target{Addr: addr, Also: also, IQN: nasIQN, LUN: 1, proc: p}, nil
}
