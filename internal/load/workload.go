package load

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"nas-target/internal/initiator"
)

// Kind is what a workload does.
type Kind string

// Kinds of workload.
const (
	Read   Kind = "read"
	Write  Kind = "write"
	Mix    Kind = "mix"    // ReadPercent reads, the rest writes
	NoData Kind = "nodata" // TEST UNIT READY: the protocol alone
	Verify Kind = "verify" // stamped writes, read back and compared
)

// Workload says what is sent. Sizes are in bytes.
type Workload struct {
	Kind        Kind          `json:"kind"`
	ReadPercent int           `json:"read_percent"`
	Random      bool          `json:"random"`
	Block       int           `json:"block_bytes"`
	Depth       int           `json:"depth"` // commands outstanding per session
	Sessions    int           `json:"sessions"`
	Duration    time.Duration `json:"duration_ns"`
	Warmup      time.Duration `json:"warmup_ns"`    // before Duration; not counted
	Count       uint64        `json:"count"`        // ends the run early after so many I/Os; 0: no limit
	Region      uint64        `json:"region_bytes"` // from LBA 0; 0: the whole unit
	Seed        uint64        `json:"seed"`
	FUA         bool          `json:"fua"`
}

// Options describe a run.
type Options struct {
	Target initiator.Config // how each session logs in; ISIDs are random unless one session asks for its own
	LUN    uint16
	Workload
	Workers int           // 0: half of the processors, at most one per session
	Poll    time.Duration // how long to look at the sockets before waiting; 0: wait at once
	// CheckDigests verifies the data digests that were negotiated.
	CheckDigests bool
	// Progress is called every Every (default 200 ms) from one goroutine.
	Progress func(Sample)
	Every    time.Duration
}

// Bounds of a workload.
const (
	maxBlock    = 1<<24 - 512 // EDTL has more bits; nobody transfers more at once
	maxDepth    = 4096
	maxSessions = 4096
)

// ErrWorkload is wrapped by every complaint about a workload.
var ErrWorkload = errors.New("load: impossible workload")

func (o *Options) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrWorkload, fmt.Sprintf(format, args...))
	}
	switch o.Kind {
	case Read, Write, Mix, Verify:
		if o.Block <= 0 || o.Block > maxBlock {
			return bad("block of %d bytes", o.Block)
		}
	case NoData:
		o.Block = 0
	default:
		return bad("kind %q", o.Kind)
	}
	switch {
	case o.Depth < 1 || o.Depth > maxDepth:
		return bad("depth %d", o.Depth)
	case o.Sessions < 1 || o.Sessions > maxSessions:
		return bad("%d sessions", o.Sessions)
	case o.Duration <= 0:
		return bad("duration %v", o.Duration)
	case o.Warmup < 0 || o.Poll < 0 || o.Workers < 0:
		return bad("negative warmup, poll or workers")
	case o.Kind == Mix && (o.ReadPercent < 0 || o.ReadPercent > 100):
		return bad("%d %% reads", o.ReadPercent)
	}
	if o.Kind == Verify {
		o.ReadPercent, o.Random, o.Warmup = 50, true, 0
	}
	if o.Workers == 0 {
		o.Workers = max(1, runtime.NumCPU()/2)
	}
	o.Workers = min(o.Workers, o.Sessions)
	if o.Every <= 0 {
		o.Every = 200 * time.Millisecond
	}
	return nil
}
