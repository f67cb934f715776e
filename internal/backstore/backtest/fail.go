package backtest

import (
	"sync"

	"nas-target/internal/backstore"
)

// Fail makes chosen calls of a Volume fail. Counting starts when a rule is
// added; the first rule that strikes a call decides.
type Fail struct {
	backstore.Volume
	plan plan

	mu    sync.Mutex
	latch error
}

var _ interface {
	backstore.Volume
	backstore.Failing
} = (*Fail)(nil)

// NewFail wraps v. Without rules every call passes.
func NewFail(v backstore.Volume) *Fail {
	f := &Fail{}
	f.Volume = Wrap(v, f.around)
	return f
}

// Nth lets the nth call of op from now on (1 is the next) return err without
// reaching the volume.
func (f *Fail) Nth(op Op, nth int, err error) {
	f.plan.add(rule{op: string(op), nth: nth, err: err, short: -1})
}

// From is Nth for that call and all after it.
func (f *Fail) From(op Op, nth int, err error) {
	f.plan.add(rule{op: string(op), nth: nth, on: true, err: err, short: -1})
}

// Short lets the nth OpRead, OpWrite or OpWriteDurable move only the first k
// bytes and then return err. With a nil err ReadAt and WriteAt break their
// contract, which callers must survive.
func (f *Fail) Short(op Op, nth, k int, err error) {
	f.plan.add(rule{op: string(op), nth: nth, err: err, short: k})
}

// Flush lets the nth OpSync or OpWriteDurable fail in its flush with errno: the
// data may or may not be there, and a *backstore.FlushError latches.
func (f *Fail) Flush(op Op, nth int, errno error) {
	f.plan.add(rule{op: string(op), nth: nth, err: &backstore.FlushError{Path: "backtest", Err: errno}, short: -1, latch: true})
}

// Pass removes all rules. What has latched stays.
func (f *Fail) Pass() { f.plan.clear() }

// Calls is how often op was called.
func (f *Fail) Calls(op Op) int { return f.plan.count(string(op)) }

// Failure keeps the backstore.Failing contract.
func (f *Fail) Failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.latch != nil {
		return f.latch
	}
	return f.Volume.(backstore.Failing).Failure()
}

// ClearFailure keeps the backstore.Failing contract.
func (f *Fail) ClearFailure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latch = nil
	f.Volume.(backstore.Failing).ClearFailure()
}

func (f *Fail) around(c *Call, do func() error) error {
	r := f.plan.next(string(c.Op))
	f.mu.Lock()
	latched := f.latch
	if latched == nil && r != nil && r.latch {
		f.latch = r.err
	}
	f.mu.Unlock()
	switch {
	case latched != nil && (c.Op.Changes() || c.Op == OpSync):
		return latched
	case r == nil:
		return do()
	case r.short >= 0:
		c.Data = c.Data[:min(r.short, len(c.Data))]
		if err := do(); err != nil {
			return err
		}
	case r.latch && c.Op == OpWriteDurable:
		if err := do(); err != nil {
			return err
		}
	}
	return r.err
}
