package verify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"nas-target/internal/initiator"
)

// Path is one way to the logical unit.
type Path struct {
	URL      string // for the report, without a secret
	Login    initiator.Config
	LUN      uint16
	GroupTag int // target portal group tag, once known
}

// Options say what is asked of whom.
type Options struct {
	Paths      []Path   // at least one
	Initiators []string // names of the nexuses, in turn; empty: one of ours
	Cases      []Case

	Destructive     bool
	ClearRegistered bool  // others' registrations are removed first
	Offset          int64 // bytes; negative: the range lies at the end of the unit
	Range           int64 // bytes that may be written
	RestartHook     func(context.Context) error
	PowerCycle      bool // the hook takes the target's power away
	Patience        time.Duration
	Rounds          int // of each race
	Nodes           int // of a simulated cluster

	Began func(c Case, index, of int)
	Ended func(Result)
}

// Defaults of Options.
const (
	DefaultRange    = 1 << 20
	DefaultPatience = 10 * time.Second
	DefaultRounds   = 20
	DefaultNodes    = 16
)

// The ways in which a run is refused or cannot begin.
var (
	ErrUnreachable = errors.New("the target cannot be reached")
	ErrRefused     = errors.New("refused")
	ErrUsage       = errors.New("wrong usage")
)

type runner struct {
	opt Options
	run [3]byte // in every ISID of the run
	tag uint16  // in every key of the run

	facts
	blockSize int
	blocks    uint64
	lba       uint64 // first block that may be written
	span      uint64 // blocks that may be written
	saved     []byte // what was there

	janitor *initiator.Session
	report  Report

	mu         sync.Mutex // guards what follows
	sessions   []*initiator.Session
	violations map[initiator.Rule]found
	current    string
}

// found is a rule that the target broke, and where first.
type found struct {
	initiator.Violation
	in    string
	count int
}

// Run asks the questions, one after the other. A report comes even with an
// error, unless the run was refused. When ctx ends, the case that runs ends, and
// everything is cleaned up.
func Run(ctx context.Context, opt Options) (*Report, error) {
	r := &runner{opt: opt, violations: map[initiator.Rule]found{}}
	r.defaults()
	var seed [5]byte
	rand.Read(seed[:])
	copy(r.run[:], seed[:3])
	r.tag = binary.BigEndian.Uint16(seed[3:])
	r.report = Report{Began: time.Now(), Suites: map[string]Count{}, Cases: []Result{}}
	defer r.dismiss()
	if err := r.open(ctx); err != nil {
		if ctx.Err() != nil { // whatever open took it for
			err = fmt.Errorf("interrupted before the first case: %w", ctx.Err())
		}
		return nil, err
	}
	for i, c := range opt.Cases {
		if opt.Began != nil {
			opt.Began(c, i, len(opt.Cases))
		}
		res := r.one(ctx, c)
		r.report.add(res)
		if opt.Ended != nil {
			opt.Ended(res)
		}
		if ctx.Err() != nil && r.report.Stopped == "" {
			r.report.Stopped = interrupted
		}
		if r.report.Stopped != "" {
			break
		}
	}
	r.restore(context.WithoutCancel(ctx))
	r.report.Seconds = time.Since(r.report.Began).Seconds()
	return &r.report, nil
}

func (r *runner) defaults() {
	o := &r.opt
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Range == 0 {
		o.Range = DefaultRange
	}
	if o.Rounds == 0 {
		o.Rounds = DefaultRounds
	}
	if o.Nodes == 0 {
		o.Nodes = DefaultNodes
	}
	if len(o.Initiators) == 0 {
		o.Initiators = []string{"iqn.2026-11.local.nas-target:verify"}
	}
}

func (r *runner) path(i int) *Path { return &r.opt.Paths[i%len(r.opt.Paths)] }

// config is the login of nexus i by a path. Its ISID has the random format, and
// differs with the run and the seat.
func (r *runner) config(path, i, seat int) initiator.Config {
	c := r.path(path).Login
	c.InitiatorName = r.opt.Initiators[i%len(r.opt.Initiators)]
	c.ISID = [6]byte{0x80, r.run[0], r.run[1], r.run[2], byte(seat >> 8), byte(seat + 1)}
	c.Tolerant = true
	c.LoginTimeout = r.opt.Patience
	c.OnViolation = r.violated
	return c
}

// watch ends the session with the case.
func (r *runner) watch(s *initiator.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions = append(r.sessions, s)
}

func (r *runner) violated(v initiator.Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.violations[v.Rule]
	if !ok {
		f = found{Violation: v, in: r.current}
	}
	f.count++
	r.violations[v.Rule] = f
}

// one runs a case and leaves nothing behind.
func (r *runner) one(ctx context.Context, c Case) Result {
	t := &T{r: r, c: c, run: ctx, nexuses: map[int]*Nexus{}, res: Result{
		ID: c.ID, Suite: c.Suite(), Title: c.Title, Clause: c.Clause, Level: c.Level,
		Destructive: c.Destructive, Expected: c.Demand,
	}}
	var cancel context.CancelFunc
	t.ctx, cancel = context.WithTimeout(ctx, caseTime)
	defer cancel()
	r.mu.Lock()
	r.current = c.ID
	r.mu.Unlock()
	began := time.Now()
	if reason := r.missing(c); reason != "" {
		t.verdict(Skipped, reason)
	} else {
		t.protect(func() { c.run(t) })
		if ctx.Err() != nil { // what had gone well so far says nothing
			t.verdict(Errored, interrupted)
		}
		r.tidy(context.WithoutCancel(ctx), t)
	}
	t.verdict(Pass, "")
	t.res.Seconds = time.Since(began).Seconds()
	if t.res.Verdict == Pass {
		t.res.Reason = ""
	}
	return t.res
}

// interrupted is why a run stopped, and how the case ended that ran then.
const interrupted = "interrupted"

// caseTime bounds a case, whatever it waits for.
const caseTime = 5 * time.Minute

// protect catches the end of a case.
func (t *T) protect(f func()) {
	defer func() {
		switch p := recover().(type) {
		case nil, stop:
		default:
			panic(p)
		}
	}()
	f()
}

// missing says what a case needs that is not there.
func (r *runner) missing(c Case) string {
	switch {
	case c.Destructive && !r.opt.Destructive:
		return "changes reservations or data, or disturbs others: needs --destructive"
	case c.Ports > r.ports():
		return fmt.Sprintf("needs %d target ports: give one URL for each", c.Ports)
	case c.Restart && r.opt.RestartHook == nil:
		return "needs a command that restarts the target: --restart-hook"
	case c.needsPR && r.noPR != "":
		return "the target has no persistent reservations: " + r.noPR
	}
	return ""
}

// ports counts the target ports of the paths.
func (r *runner) ports() int {
	seen := map[string]bool{}
	for _, p := range r.opt.Paths {
		seen[fmt.Sprint(p.Login.Target, p.GroupTag)] = true
	}
	return len(seen)
}

// tidy ends the sessions of a case and removes what it registered.
func (r *runner) tidy(ctx context.Context, t *T) {
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	slices.Reverse(t.undo)
	for _, f := range t.undo {
		t.protect(func() { f(ctx) })
	}
	r.mu.Lock()
	sessions := r.sessions
	r.sessions = nil
	r.mu.Unlock()
	for _, s := range sessions {
		s.Close()
	}
	if !r.alive(ctx, t) || !t.c.Destructive {
		return
	}
	if err := r.sweep(ctx); err != nil {
		t.Note("cleaning up: %v", err)
		r.report.Stopped = fmt.Sprintf("after %s: %v", t.c.ID, err)
	}
}

// alive tells whether the target still serves after a case that went wrong. A
// target that a case brought down is restarted, if somebody said how.
func (r *runner) alive(ctx context.Context, t *T) bool {
	t.mu.Lock()
	suspect := t.res.Verdict == Fail || t.res.Verdict == Errored
	t.mu.Unlock()
	if !suspect {
		return true
	}
	_, err := r.waitKeeper(ctx, r.soon())
	if err == nil {
		return true
	}
	t.verdict(Fail, "the target does not serve any more: "+errText(err))
	if r.opt.RestartHook != nil {
		if err = r.opt.RestartHook(ctx); err == nil {
			_, err = r.waitKeeper(ctx, restartTime)
		}
	}
	if err != nil {
		r.report.Stopped = fmt.Sprintf("after %s: the target does not serve any more: %s", t.c.ID, errText(err))
		return false
	}
	t.Note("restarted the target")
	return true
}

// waitKeeper logs in as the one who cleans up, as soon as that works.
func (r *runner) waitKeeper(ctx context.Context, patience time.Duration) (*initiator.Unit, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		u, err := r.keeper(ctx)
		if err == nil {
			return u, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// tidyTime bounds the cleaning up after a case.
const tidyTime = time.Minute

// restore puts the data back and looks once more that nothing of ours is left.
func (r *runner) restore(ctx context.Context) {
	if !r.opt.Destructive {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tidyTime)
	defer cancel()
	err := r.sweep(ctx)
	if err == nil && r.saved != nil {
		err = r.restoreData(ctx)
	}
	switch {
	case err == nil:
	case r.report.Stopped == "":
		r.report.Stopped = "at the end: " + err.Error()
	default:
		r.report.Stopped += "; at the end: " + err.Error()
	}
}

func (r *runner) restoreData(ctx context.Context) error {
	u, err := r.keeper(ctx)
	if err != nil {
		return err
	}
	now, err := r.readRange(ctx, u)
	if err != nil {
		return fmt.Errorf("reading the range back: %w", err)
	}
	const chunk = 64 << 10
	for from := 0; from < len(now); from += chunk {
		to := min(from+chunk, len(now))
		if bytes.Equal(now[from:to], r.saved[from:to]) {
			continue
		}
		if err := u.Write(ctx, r.lba+uint64(from/r.blockSize), r.saved[from:to]); err != nil {
			return fmt.Errorf("putting the data back: %w", err)
		}
	}
	return nil
}

// readRange reads the range in pieces that any target takes.
func (r *runner) readRange(ctx context.Context, u *initiator.Unit) ([]byte, error) {
	var data []byte
	per := uint64(64<<10) / uint64(r.blockSize)
	for at := uint64(0); at < r.span; at += per {
		b, err := u.Read(ctx, r.lba+at, uint32(min(per, r.span-at)))
		if err != nil {
			return nil, err
		}
		data = append(data, b...)
	}
	return data, nil
}
