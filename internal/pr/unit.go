package pr

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Config is what a Unit needs. All fields but ID and Store may be left out.
type Config struct {
	ID    string // names the unit in the store
	Store Store

	Events Events
	Clock  func() int64 // nanoseconds of any clock, for Record; nil reads 0
}

// Unit is the live reservation manager of one logical unit. It is safe for
// concurrent use.
type Unit struct {
	// Immutable.
	id     string
	store  Store
	events Events
	clock  func() int64

	access atomic.Pointer[Access] // what the I/O path sees; ahead of state while a drain runs
	state  atomic.Pointer[State]  // what is in force and saved

	mu  sync.Mutex // serialises Apply and Reload
	rev Revision   // of state in the store, guarded by mu
}

// Open loads the unit. It does not fail: a unit whose state cannot be had is
// there, in the condition InformationLost or NotReady, and refuses. The error
// says why, for whoever watches.
func Open(c Config) (*Unit, error) {
	u := &Unit{id: c.ID, store: c.Store, events: c.Events, clock: c.Clock}
	if u.clock == nil {
		u.clock = func() int64 { return 0 }
	}
	u.publish(State{Condition: NotReady})
	return u, u.Reload()
}

// Reload tries again to read a state that could not be read. It does nothing
// in the other conditions.
func (u *Unit) Reload() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state.Load().Condition != NotReady {
		return nil
	}
	s, rev, err := u.store.Load(u.id)
	switch {
	case err == nil:
		if err = s.Check(); err != nil { // a checksum that fits a state that cannot be
			err = fmt.Errorf("%w: %w", ErrLost, err)
			s = State{Condition: InformationLost}
		}
	case errors.Is(err, ErrLost):
		s = State{Condition: InformationLost}
	default:
		return err
	}
	u.rev = rev
	u.publish(s)
	return err
}

func (u *Unit) publish(s State) {
	u.access.Store(NewAccess(s))
	u.state.Store(&s)
}

// ID returns Config.ID.
func (u *Unit) ID() string { return u.id }

// Access returns the picture in force. It is one atomic load: no lock, no
// allocation. Check it again, inside whatever the drain of Apply waits for,
// immediately before the medium is touched.
func (u *Unit) Access() *Access { return u.access.Load() }

// Outcome is what became of an Op.
type Outcome struct {
	Verdict Verdict
	Before  State
	After   State // as Before unless Verdict is Good
	Err     error // of the store, if that is why Verdict is not Good

	// Effects are to be carried out before the command is answered, and before
	// the next op is applied to this unit: a service action is one indivisible
	// event (SPC-4 r36f 5.13.1), and a nexus that registers again in between
	// must not lose the commands it sends then.
	Effects []Effect
}

// Apply carries out op. One op at a time:
//
//	lock ▸ Step ▸ refuse the losers, drain ▸ Store.Save ▸ publish ▸ unlock
//
// If anybody loses a right, Apply publishes the Meet of the old and the new
// Access and calls drain(old, new). drain returns once no call of a class that
// Lost(old, new, nexus) allows is left in the medium; from the moment it is
// called every nexus finds the Meet in Access, so no such call can begin. Who
// lost nothing is not to be kept waiting. A nil drain waits for nobody.
//
// If the state cannot be saved nothing has changed: the old Access is in force
// again, and the Verdict and Err say why. Apply panics with *Broken if the
// state after Step breaks an invariant. That must end the process: see Broken.
//
// Events with nothing to do (NexusLoss and LUReset without a legacy
// reservation) return without waiting for a PERSISTENT RESERVE OUT under way.
// Call NexusLoss after the last RESERVE of that nexus has returned.
func (u *Unit) Apply(op Op, env Env, drain func(before, after *Access)) Outcome {
	if s := u.state.Load(); s.idle(op) {
		return Outcome{Before: *s, After: *s}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.applyAndTell(op, env, drain)
}

// ApplyIf is Apply for a change that is meant for one state: it does nothing,
// and reports false, unless accept approves of the state that op will change.
func (u *Unit) ApplyIf(accept func(State) bool, op Op, env Env, drain func(before, after *Access)) (Outcome, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.state.Load(); !accept(*s) {
		return Outcome{Before: *s, After: *s}, false
	}
	return u.applyAndTell(op, env, drain), true
}

// applyAndTell is Apply with u.mu held.
func (u *Unit) applyAndTell(op Op, env Env, drain func(before, after *Access)) Outcome {
	r := Record{Unit: u.id, Op: op, Before: *u.state.Load(), Started: u.clock()}
	u.apply(&r, env, drain)
	if u.events.Out != nil {
		u.events.Out(r)
	}
	return Outcome{Verdict: r.Verdict, Before: r.Before, After: r.After, Err: r.Err, Effects: r.Effects}
}

// idle reports whether op is an event that changes nothing in s.
func (s State) idle(op Op) bool {
	switch op.Action {
	case NexusLoss:
		return s.Legacy != op.From
	case LUReset:
		return s.Legacy == Nexus{}
	}
	return false
}

func (u *Unit) apply(r *Record, env Env, drain func(before, after *Access)) {
	before := r.Before
	r.Drained, r.Saved, r.Done, r.After = r.Started, r.Started, r.Started, before
	next, fx, v := Step(before, env, r.Op)
	verify(before, next, r.Op, v)
	r.Verdict = v
	if !v.OK() {
		return
	}

	old, access := u.access.Load(), NewAccess(next)
	if shrinks(old, access) {
		u.access.Store(Meet(old, access))
		if drain != nil {
			drain(old, access)
		}
		r.Drained = u.clock()
	}
	r.Saved = r.Drained
	if !before.sameSaved(next) || before.Condition != next.Condition {
		rev, err := u.store.Save(u.id, next, u.rev)
		r.Saved = u.clock()
		if err != nil {
			u.access.Store(old)
			r.Verdict, r.Err = saveVerdict(r.Op, err), err
			r.Done = r.Saved
			if errors.Is(err, ErrStale) { // somebody else owns the state
				r.After = State{Condition: NotReady}
				u.publish(r.After)
			}
			return
		}
		u.rev = rev
	}
	u.access.Store(access)
	u.state.Store(&next)
	r.Effects, r.After, r.Done = fx, next, u.clock()
}

// saveVerdict answers for a store that refused. Without space it is the
// resources of the device server that are lacking, of which SPC-4 has a code
// for registrations and one for reservations.
func saveVerdict(op Op, err error) Verdict {
	switch {
	case errors.Is(err, ErrStale):
		return Verdict{Status: BecomingReady, Reason: ReasonStoreStale}
	case errors.Is(err, ErrNoSpace) && op.Action == Reserve:
		return Verdict{Status: InsufficientReservationResources, Reason: ReasonStoreFull}
	case errors.Is(err, ErrNoSpace):
		return Verdict{Status: InsufficientRegistrationResources, Reason: ReasonStoreFull}
	}
	return Verdict{Status: StoreFailed, Reason: ReasonStoreFailed}
}

// State returns what is in force, for PERSISTENT RESERVE IN. It never waits:
// while a PERSISTENT RESERVE OUT drains or saves, the state before it is in
// force.
func (u *Unit) State() State { return *u.state.Load() }
