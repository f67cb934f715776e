package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"nas-target/test/peers"
)

// diskSize is large enough for every test (those of 256 blocks at the end of
// the medium included) and small enough that whole-disk tests stay short.
const diskSize = 100 << 20

// special tests need another disk than the others; ours can be told to be one.
var special = map[string]peers.Disk{
	// It asks for the status of a block and expects the answer to begin with
	// the next physical one: it needs physical blocks of one logical block.
	// Others need larger ones, which are our default.
	"GetLBAStatus.UnmapSingle": {PhysicalBlock: 512},
	"ReadOnly.ReadOnlySBC":     {ReadOnly: true},
	// It resets and cuts and comes back while an erasure goes on: some seconds,
	// and on a busy machine more. Then it sleeps, and answers nothing.
	"Sanitize.Reset": {EraseSpeed: diskSize / 30, NoPings: true},
	// A file promises no atomic writes unless the kernel does; memory does.
	"WriteAtomic16.Simple":       {RAM: diskSize},
	"WriteAtomic16.BeyondEol":    {RAM: diskSize},
	"WriteAtomic16.ZeroBlocks":   {RAM: diskSize},
	"WriteAtomic16.WriteProtect": {RAM: diskSize},
	"WriteAtomic16.DpoFua":       {RAM: diskSize},
	"WriteAtomic16.VPD":          {RAM: diskSize},
}

// NeedsOwnDisk reports whether a test says nothing about an ordinary disk.
func NeedsOwnDisk(test string) bool {
	_, own := special[test]
	return own
}

// Suite runs tests against targets of one kind that it starts itself.
type Suite struct {
	Tool     Tool
	Kind     peers.Kind
	Dir      string       // for disks and logs
	Digests  *Digested    // not nil: header and data digests on every connection
	Observed func(Result) // called after each test; may be nil
}

// Run runs the named tests and returns a result for each, in the same order. A
// target that hung or went away is replaced by a fresh one before the next
// test. Those with a disk of their own run beside the others: most of their
// time is waiting.
func (s Suite) Run(ctx context.Context, tests []string) ([]Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	all := make([]Result, len(tests))
	var seen sync.Mutex
	run := func(dir string, own bool) {
		r := runner{Suite: s}
		r.Dir = filepath.Join(s.Dir, dir)
		defer func() {
			if err := r.stop(); err != nil {
				cancel(err)
			}
		}()
		for i, test := range tests {
			if _, is := special[test]; is != own || ctx.Err() != nil {
				continue
			}
			result, err := r.run(ctx, test)
			if err != nil {
				cancel(err)
				return
			}
			all[i] = result
			if s.Observed != nil {
				seen.Lock()
				s.Observed(result)
				seen.Unlock()
			}
		}
	}
	var beside sync.WaitGroup
	beside.Go(func() { run("own", true) })
	run("shared", false)
	beside.Wait()
	return all, context.Cause(ctx)
}

// runner keeps a target from test to test.
type runner struct {
	Suite
	target *peers.Target
	before []*digester // where its initiators connect, if they know no data digests
	starts int
}

func (r *runner) run(ctx context.Context, test string) (Result, error) {
	disk, own := special[test]
	if own {
		if err := r.stop(); err != nil {
			return Result{}, err
		}
	}
	if r.target == nil {
		var err error
		if r.target, err = r.start(ctx, disk); err != nil {
			return Result{}, err
		}
	}
	result := r.Tool.Run(ctx, test, r.target.URL(), r.target.Path2())
	if r.target.Gone() {
		result.Status, result.Reason = Crashed, "the target went away"
		result.Output += "\n" + r.target.Log()
	}
	if own || result.Status == Hung || result.Status == Crashed {
		return result, r.stop()
	}
	return result, nil
}

func (r *runner) stop() error {
	if r.target != nil {
		r.target.Kill()
		r.target = nil
	}
	var err error
	for _, d := range r.before {
		err = errors.Join(err, d.stop())
	}
	r.before = nil
	return err
}

func (r *runner) start(ctx context.Context, d peers.Disk) (*peers.Target, error) {
	r.starts++
	dir := filepath.Join(r.Dir, fmt.Sprintf("run%d", r.starts))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d.Digests = r.Digests != nil
	d.Path = filepath.Join(dir, "disk.img")
	if err := os.WriteFile(d.Path, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(d.Path, diskSize); err != nil {
		return nil, err
	}
	t, err := r.Kind.Start(ctx, dir, d)
	if err != nil || r.Digests == nil {
		return t, err
	}
	for _, addr := range []*string{&t.Addr, &t.Also} {
		between, err := newDigester(*addr, r.Digests)
		if err != nil {
			t.Kill()
			return nil, err
		}
		r.before = append(r.before, between)
		*addr = between.addr()
	}
	return t, nil
}
