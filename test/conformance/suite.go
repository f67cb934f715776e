package conformance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"nas-target/test/peers"
)

// diskSize is large enough for every test (those of 256 blocks at the end of
// the medium included) and small enough that whole-disk tests stay short.
const diskSize = 100 << 20

// Suite runs tests against targets of one kind that it starts itself.
type Suite struct {
	Tool     Tool
	Kind     peers.Kind
	Dir      string       // for disks and logs
	Physical int          // physical block size of our daemon's disk, in bytes; 0: its default
	Observed func(Result) // called after each test; may be nil
}

// Run runs the named tests and returns a result for each. A target that hung
// or went away is replaced by a fresh one before the next test.
func (s Suite) Run(ctx context.Context, tests []string) ([]Result, error) {
	var (
		all    []Result
		target *peers.Target
		starts int
	)
	stop := func() {
		if target != nil {
			target.Kill()
			target = nil
		}
	}
	defer stop()
	for _, test := range tests {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		if target == nil {
			starts++
			var err error
			if target, err = s.start(ctx, starts); err != nil {
				return all, err
			}
		}
		r := s.Tool.Run(ctx, test, target.URL())
		if target.Gone() {
			r.Status, r.Reason = Crashed, "the target went away"
			r.Output += "\n" + target.Log()
		}
		if r.Status == Hung || r.Status == Crashed {
			stop()
		}
		all = append(all, r)
		if s.Observed != nil {
			s.Observed(r)
		}
	}
	return all, nil
}

func (s Suite) start(ctx context.Context, n int) (*peers.Target, error) {
	dir := filepath.Join(s.Dir, fmt.Sprintf("run%d", n))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	disk := filepath.Join(dir, "disk.img")
	f, err := os.Create(disk)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(diskSize); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return s.Kind.Start(ctx, dir, peers.Disk{Path: disk, PhysicalBlock: s.Physical})
}
