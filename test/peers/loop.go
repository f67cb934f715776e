package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ErrNoLoop is why Loop cannot make a block device here.
var ErrNoLoop = errors.New("needs root, losetup and loop devices to make a block device of its own")

// Loop makes a block device out of a file. detach takes it away again.
func Loop(ctx context.Context, path string) (device string, detach func() error, err error) {
	losetup, err := look("losetup", "util-linux")
	if err != nil || os.Geteuid() != 0 {
		return "", nil, ErrNoLoop
	}
	out, err := exec.CommandContext(ctx, losetup, "--find", "--show", "--direct-io=off", path).CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("%w: losetup: %w: %s", ErrNoLoop, err, out)
	}
	device = strings.TrimSpace(string(out))
	return device, func() error {
		// Not bound to ctx: it has ended when a test cleans up.
		out, err := exec.Command(losetup, "--detach", device).CombinedOutput()
		if err != nil {
			return fmt.Errorf("losetup: %w: %s", err, out)
		}
		return nil
	}, nil
}
