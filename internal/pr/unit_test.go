package pr_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nexus(host byte) pr.Nexus {
	return pr.Nexus{
		Initiator: pr.InitiatorPort(node(string(host)), [6]byte{0x00, 0x02, 0x3d, 0, 0, 1}),
		Target:    pr.TargetPort(scriptTarget, 1),
	}
}

var oneport = pr.Env{TargetPorts: []pr.Port{{Name: pr.TargetPort(scriptTarget, 1), RelativeID: 1}}}

// hookedStore calls save before it saves, and returns what it says.
type hookedStore struct {
	prstore.Mem
	save func(pr.State) error
}

func (h *hookedStore) Save(unit string, s pr.State, from pr.Revision) (pr.Revision, error) {
	if h.save != nil {
		if err := h.save(s); err != nil {
			return 0, err
		}
	}
	return h.Mem.Save(unit, s, from)
}

func openUnit(t testing.TB, c pr.Config) *pr.Unit {
	t.Helper()
	if c.Store == nil {
		c.Store = &prstore.Mem{}
	}
	u, err := pr.Open(c)
	require.NoError(t, err)
	return u
}

func mustApply(t testing.TB, u *pr.Unit, op pr.Op) pr.Outcome {
	t.Helper()
	out := u.Apply(op, oneport, nil)
	require.True(t, out.Verdict.OK(), "%v: %v", op.Action, out.Verdict)
	return out
}

func registered(t testing.TB, u *pr.Unit, hosts ...byte) {
	t.Helper()
	for _, h := range hosts {
		mustApply(t, u, pr.Op{Action: pr.RegisterAndIgnore, From: nexus(h), ServiceKey: pr.Key(h), APTPL: true})
	}
}

// The order of things in Apply: the losers are refused before the drain, the
// drain is over before the state is saved, the state is saved before it is in
// force, and it is in force before Apply returns.
func TestApplyOrder(t *testing.T) {
	var u *pr.Unit
	var order []string
	store := &hookedStore{}
	u = openUnit(t, pr.Config{Store: store})
	registered(t, u, 'a', 'b')
	mustApply(t, u, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.ExclusiveAccessRegistrantsOnly})
	old, before := u.Access(), u.State()

	look := func(when string) {
		a := u.Access()
		order = append(order, fmt.Sprintf("%s: a %s, b %s, c %s, published %t", when,
			rightsText(a.Rights(nexus('a'))), rightsText(a.Rights(nexus('b'))), rightsText(a.Rights(nexus('c'))),
			!u.State().Equal(before)))
	}
	store.save = func(pr.State) error { look("save"); return nil }
	look("before")
	out := u.Apply(pr.Op{Action: pr.Preempt, From: nexus('b'), Key: 'b', ServiceKey: 'a', Type: pr.WriteExclusive}, oneport,
		func(was, will *pr.Access) {
			look("drain")
			require.Same(t, old, was)
			require.Equal(t, pr.Rights(1<<pr.Write), pr.Lost(was, will, nexus('a')))
			require.Zero(t, pr.Lost(was, will, nexus('b')))
			require.Zero(t, pr.Lost(was, will, nexus('c')))
		})
	require.True(t, out.Verdict.OK())
	look("after")
	require.Equal(t, []string{
		"before: a rw, b rw, c --, published false",
		// a loses writing; c would gain reading, but not yet.
		"drain: a r-, b rw, c --, published false",
		"save: a r-, b rw, c --, published false",
		"after: a r-, b rw, c r-, published true",
	}, order)
}

func rightsText(r pr.Rights) string {
	text := []byte("--")
	if r.Allows(pr.Read) {
		text[0] = 'r'
	}
	if r.Allows(pr.Write) {
		text[1] = 'w'
	}
	return string(text)
}

// Nobody is drained if nobody loses anything.
func TestNoDrainWithoutLosers(t *testing.T) {
	u := openUnit(t, pr.Config{})
	never := func(_, _ *pr.Access) { t.Error("drained") }
	for _, op := range []pr.Op{
		{Action: pr.Register, From: nexus('a'), ServiceKey: 'a'},
		{Action: pr.Register, From: nexus('b'), ServiceKey: 'b'},
		{Action: pr.PreemptAndAbort, From: nexus('a'), Key: 'a', ServiceKey: 'b', Type: pr.WriteExclusive},
		{Action: pr.Register, From: nexus('b'), ServiceKey: 'b'},
	} {
		require.True(t, u.Apply(op, oneport, never).Verdict.OK())
	}
	mustApply(t, u, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.ExclusiveAccess})
	for _, op := range []pr.Op{
		{Action: pr.Register, From: nexus('c'), ServiceKey: 'c'},
		{Action: pr.Preempt, From: nexus('a'), Key: 'a', ServiceKey: 'b', Type: pr.WriteExclusive},
		{Action: pr.Release, From: nexus('a'), Key: 'a', Type: pr.ExclusiveAccess},
	} {
		require.True(t, u.Apply(op, oneport, never).Verdict.OK())
	}
}

// Each command that can take rights away drains.
func TestDrainOfEveryKind(t *testing.T) {
	for name, c := range map[string]struct {
		setup []pr.Op
		op    pr.Op
		loser byte
		lost  pr.Rights
	}{
		"RESERVE": {nil, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.WriteExclusive}, 'b', 1<<pr.Write | 1<<pr.Unclassified},
		"PREEMPT of a holder": {
			[]pr.Op{{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.ExclusiveAccess}},
			pr.Op{Action: pr.Preempt, From: nexus('b'), Key: 'b', ServiceKey: 'a', Type: pr.ExclusiveAccess}, 'a', 1<<pr.Write | 1<<pr.Read},
		"PREEMPT AND ABORT of a registrant": {
			[]pr.Op{{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.WriteExclusiveRegistrantsOnly}},
			pr.Op{Action: pr.PreemptAndAbort, From: nexus('a'), Key: 'a', ServiceKey: 'b', Type: pr.WriteExclusiveRegistrantsOnly}, 'b', 1 << pr.Write},
		"unregister": {
			[]pr.Op{{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.WriteExclusiveRegistrantsOnly}},
			pr.Op{Action: pr.Register, From: nexus('b'), Key: 'b'}, 'b', 1 << pr.Write},
		"REGISTER AND MOVE": {
			[]pr.Op{{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.ExclusiveAccess}},
			pr.Op{Action: pr.RegisterAndMove, From: nexus('a'), Key: 'a', ServiceKey: 'b', RelativePort: 1,
				Transports: []pr.TransportID{{Node: node("b"), Port: true, ISID: [6]byte{0x00, 0x02, 0x3d, 0, 0, 1}}}}, 'a', 1<<pr.Write | 1<<pr.Read},
	} {
		t.Run(name, func(t *testing.T) {
			u := openUnit(t, pr.Config{})
			registered(t, u, 'a', 'b')
			for _, op := range c.setup {
				mustApply(t, u, op)
			}
			drained := 0
			out := u.Apply(c.op, oneport, func(was, will *pr.Access) {
				drained++
				require.Equal(t, c.lost, pr.Lost(was, will, nexus(c.loser)))
				require.Zero(t, u.Access().Rights(nexus(c.loser))&c.lost, "refused already")
			})
			require.True(t, out.Verdict.OK(), "%v", out.Verdict)
			require.Equal(t, 1, drained)
		})
	}
	t.Run("RESERVE of SPC-2", func(t *testing.T) {
		u := openUnit(t, pr.Config{})
		drained := 0
		u.Apply(pr.Op{Action: pr.LegacyReserve, From: nexus('a')}, oneport, func(_, _ *pr.Access) { drained++ })
		require.Equal(t, 1, drained)
	})
}

// While one command drains or saves, PERSISTENT RESERVE IN and the I/O path
// go on, events that find nothing to do return, and the next command waits.
func TestOthersGoOnWhileOneDrains(t *testing.T) {
	store := &hookedStore{}
	u := openUnit(t, pr.Config{Store: store})
	registered(t, u, 'a', 'b')
	before := u.State()
	inDrain, leaveDrain, inSave, leaveSave := make(chan int), make(chan int), make(chan int), make(chan int)
	store.save = func(pr.State) error {
		inSave <- 1
		<-leaveSave
		return nil
	}
	done := make(chan pr.Outcome)
	go func() {
		done <- u.Apply(pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.WriteExclusive}, oneport,
			func(_, _ *pr.Access) { inDrain <- 1; <-leaveDrain })
	}()
	look := func() {
		require.True(t, u.State().Equal(before))
		require.True(t, u.Access().Rights(nexus('a')).Allows(pr.Write))
		require.False(t, u.Access().Rights(nexus('b')).Allows(pr.Write))
		u.Apply(pr.Op{Action: pr.NexusLoss, From: nexus('b')}, oneport, nil)
		u.Apply(pr.Op{Action: pr.LUReset}, oneport, nil)
	}
	<-inDrain
	look()
	var second atomic.Bool
	next := make(chan pr.Outcome)
	go func() {
		out := u.Apply(pr.Op{Action: pr.Reserve, From: nexus('b'), Key: 'b', Type: pr.WriteExclusive}, oneport, nil)
		second.Store(true)
		next <- out
	}()
	look()
	leaveDrain <- 1
	<-inSave
	look()
	require.False(t, second.Load(), "two commands at once")
	leaveSave <- 1
	require.True(t, (<-done).Verdict.OK())
	require.Equal(t, pr.Conflict, (<-next).Verdict.Status)
}

// A store that refuses: the command fails with the right verdict, nothing has
// changed, and the unit still works.
func TestFailedSaveChangesNothing(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		err    error
		op     pr.Op
		status pr.Code
		reason pr.Reason
	}{
		"EIO on PREEMPT":     {boom, pr.Op{Action: pr.Preempt, From: nexus('a'), Key: 'a', ServiceKey: 'b'}, pr.StoreFailed, pr.ReasonStoreFailed},
		"EIO on RESERVE":     {boom, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: 3}, pr.StoreFailed, pr.ReasonStoreFailed},
		"ENOSPC on RESERVE":  {pr.ErrNoSpace, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: 3}, pr.InsufficientReservationResources, pr.ReasonStoreFull},
		"ENOSPC on REGISTER": {pr.ErrNoSpace, pr.Op{Action: pr.Register, From: nexus('c'), ServiceKey: 'c'}, pr.InsufficientRegistrationResources, pr.ReasonStoreFull},
		"ENOSPC on CLEAR":    {pr.ErrNoSpace, pr.Op{Action: pr.Clear, From: nexus('a'), Key: 'a'}, pr.InsufficientRegistrationResources, pr.ReasonStoreFull},
	} {
		t.Run(name, func(t *testing.T) {
			store := &hookedStore{}
			var told []pr.Record
			u := openUnit(t, pr.Config{Store: store, Events: pr.Events{Out: func(r pr.Record) { told = append(told, r) }}})
			registered(t, u, 'a', 'b')
			before, access := u.State(), u.Access()
			store.save = func(pr.State) error { return fmt.Errorf("wrapped: %w", c.err) }
			out := u.Apply(c.op, oneport, nil)
			require.Equal(t, c.status, out.Verdict.Status)
			require.Equal(t, c.reason, out.Verdict.Reason)
			require.ErrorIs(t, out.Err, c.err)
			require.Empty(t, out.Effects)
			require.True(t, out.After.Equal(before))
			require.True(t, u.State().Equal(before))
			require.Same(t, access, u.Access())
			require.ErrorIs(t, told[len(told)-1].Err, c.err)
			store.save = nil
			mustApply(t, u, c.op)
		})
	}
}

// Somebody else saved: this unit no longer owns the state and stands down.
func TestStaleUnitStandsDown(t *testing.T) {
	store := &prstore.Mem{}
	one, other := openUnit(t, pr.Config{ID: "lun", Store: store}), openUnit(t, pr.Config{ID: "lun", Store: store})
	registered(t, one, 'a')
	out := other.Apply(pr.Op{Action: pr.Register, From: nexus('b'), ServiceKey: 'b'}, oneport, nil)
	require.Equal(t, pr.BecomingReady, out.Verdict.Status)
	require.Equal(t, pr.ReasonStoreStale, out.Verdict.Reason)
	require.Equal(t, pr.NotReady, other.State().Condition)
	require.Equal(t, pr.NotReady, other.Access().Condition())
	require.Zero(t, other.Access().Rights(nexus('b')))
	require.Zero(t, other.Access().Rights(nexus('a')))
	// Made the owner again, it goes on from what is saved.
	require.NoError(t, other.Reload())
	require.NoError(t, other.Reload(), "nothing to do")
	require.Equal(t, "lun", other.ID())
	require.True(t, other.State().Equal(one.State()))
	registered(t, other, 'b')
}

// A state that no rule could have made is information lost, whatever store
// it comes from.
func TestImpossibleSavedStateIsLost(t *testing.T) {
	u, err := pr.Open(pr.Config{Store: &badStore{}})
	require.ErrorIs(t, err, pr.ErrLost)
	require.Equal(t, pr.InformationLost, u.Access().Condition())
	require.Zero(t, u.Access().Rights(nexus('a')))
}

type badStore struct{ prstore.Mem }

func (*badStore) Load(string) (pr.State, pr.Revision, error) {
	return pr.State{Reservation: pr.Reservation{Type: pr.WriteExclusive, Holder: nexus('a')}}, 1, nil
}

// I4: of nodes that preempt each other at the same time exactly one wins, and
// every loser gets RESERVATION CONFLICT.
func TestMutualPreemptHasOneWinner(t *testing.T) {
	hosts := []byte("abcdefgh")
	for round := range 200 {
		n := 2 + round%7
		u := openUnit(t, pr.Config{})
		registered(t, u, hosts[:n]...)
		mustApply(t, u, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.WriteExclusiveAllRegistrants})
		var wins, conflicts atomic.Int32
		start := make(chan struct{})
		var wg sync.WaitGroup
		for _, h := range hosts[:n] {
			wg.Go(func() {
				<-start
				out := u.Apply(pr.Op{Action: pr.PreemptAndAbort, From: nexus(h), Key: pr.Key(h), Type: pr.WriteExclusiveAllRegistrants}, oneport, func(_, _ *pr.Access) {})
				switch out.Verdict.Status {
				case pr.Good:
					wins.Add(1)
				case pr.Conflict:
					conflicts.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		require.EqualValues(t, 1, wins.Load())
		require.EqualValues(t, n-1, conflicts.Load())
		require.Len(t, u.State().Registrations, 1)
	}
}

// G48: every command, granted or refused, is in the record, in the order in
// which it took effect.
func TestEveryCommandIsRecorded(t *testing.T) {
	var told []pr.Record
	var now int64
	u := openUnit(t, pr.Config{ID: "lun-7", Clock: func() int64 { now++; return now },
		Events: pr.Events{Out: func(r pr.Record) { told = append(told, r) }}})
	ops := []pr.Op{
		{Action: pr.Register, From: nexus('a'), ServiceKey: 'a', Peer: "192.0.2.1:5000"},
		{Action: pr.Register, From: nexus('b'), Key: 7, ServiceKey: 'b'},
		{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.WriteExclusive},
		{Action: pr.Clear, From: nexus('b')},
		{Action: 0x1f, From: nexus('b')},
		{Action: pr.NexusLoss, From: nexus('b')},
		{Action: pr.Release, From: nexus('a'), Key: 'a', Type: pr.WriteExclusive},
	}
	var last pr.State
	n := 0
	for _, op := range ops {
		out := u.Apply(op, oneport, func(_, _ *pr.Access) { now += 100 })
		if op.Action == pr.NexusLoss {
			continue // nothing to do, nothing to tell
		}
		r := told[n]
		n++
		require.Equal(t, "lun-7", r.Unit)
		require.Equal(t, op, r.Op)
		require.Equal(t, out.Verdict, r.Verdict)
		require.True(t, r.Before.Equal(last))
		require.True(t, r.After.Equal(u.State()))
		last = r.After
		require.LessOrEqual(t, r.Started, r.Drained)
		require.LessOrEqual(t, r.Drained, r.Saved)
		require.LessOrEqual(t, r.Saved, r.Done)
		if op.Action == pr.Reserve {
			require.Greater(t, r.Drained-r.Started, int64(100))
		} else {
			require.Equal(t, r.Started, r.Drained)
		}
	}
	require.Len(t, told, n)
}

// Commands that change nothing are not written: RESERVE by the holder, RELEASE
// by somebody else, everything refused.
func TestOnlyChangesAreSaved(t *testing.T) {
	store := &hookedStore{}
	u := openUnit(t, pr.Config{Store: store})
	registered(t, u, 'a', 'b')
	mustApply(t, u, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.WriteExclusiveAllRegistrants})
	mustApply(t, u, pr.Op{Action: pr.Release, From: nexus('a'), Key: 'a', Type: pr.WriteExclusiveAllRegistrants})
	mustApply(t, u, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.ExclusiveAccess})
	store.save = func(pr.State) error { t.Error("saved"); return nil }
	mustApply(t, u, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.ExclusiveAccess})
	mustApply(t, u, pr.Op{Action: pr.Release, From: nexus('b'), Key: 'b', Type: pr.ExclusiveAccess})
	u.Apply(pr.Op{Action: pr.Clear, From: nexus('b'), Key: 9}, oneport, nil)
	mustApply(t, u, pr.Op{Action: pr.LegacyReserve, From: nexus('a')})
	mustApply(t, u, pr.Op{Action: pr.NexusLoss, From: nexus('a')})
}

func TestGenerationWraps(t *testing.T) {
	s := pr.State{Generation: 1<<32 - 1}
	next, _, v := pr.Step(s, oneport, pr.Op{Action: pr.Register, From: nexus('a'), ServiceKey: 'a'})
	require.True(t, v.OK())
	require.Zero(t, next.Generation)
	require.NoError(t, next.Check())
	// And a unit takes it for right, not for a broken invariant.
	store := &prstore.Mem{}
	_, err := store.Save("", s, 0)
	require.NoError(t, err)
	u := openUnit(t, pr.Config{Store: store})
	registered(t, u, 'a')
	require.Zero(t, u.State().Generation)
}

// A name that cannot be kept is refused, not registered and not fatal.
func TestUnstorableNamesAreRefused(t *testing.T) {
	long := make([]byte, pr.MaxPortName+1)
	for i := range long {
		long[i] = 'x'
	}
	u := openUnit(t, pr.Config{})
	registered(t, u, 'a')
	mustApply(t, u, pr.Op{Action: pr.Reserve, From: nexus('a'), Key: 'a', Type: pr.WriteExclusive})
	for _, n := range []pr.Nexus{{Initiator: string(long), Target: "t"}, {Initiator: "i", Target: string(long)}, {Initiator: "i"}, {Target: "t"}} {
		out := u.Apply(pr.Op{Action: pr.Register, From: n, ServiceKey: 1}, oneport, nil)
		require.Equal(t, pr.Verdict{Status: pr.InsufficientRegistrationResources, Reason: pr.ReasonPortName}, out.Verdict)
	}
	bad := oneport
	bad.TargetPorts = []pr.Port{{Name: string(long), RelativeID: 9}}
	out := u.Apply(pr.Op{Action: pr.RegisterAndMove, From: nexus('a'), Key: 'a', ServiceKey: 1, RelativePort: 9,
		Transports: []pr.TransportID{{Node: "b", Port: true}}}, bad, nil)
	require.Equal(t, pr.ReasonPortName, out.Verdict.Reason)
	lost, err := pr.Open(pr.Config{Store: &lossyStore{err: pr.ErrLost}})
	require.ErrorIs(t, err, pr.ErrLost)
	out = lost.Apply(pr.Op{Action: pr.ReplaceLostReservation, From: pr.Nexus{Initiator: string(long), Target: "t"}, ServiceKey: 1, Type: 1}, oneport, nil)
	require.Equal(t, pr.ReasonPortName, out.Verdict.Reason)
	for _, id := range []pr.TransportID{{Port: true}, {Node: string(long[:224]), Port: true}} {
		out := u.Apply(pr.Op{Action: pr.Register, From: nexus('b'), ServiceKey: 1, SpecIPt: true, Transports: []pr.TransportID{id}}, oneport, nil)
		require.Equal(t, pr.ReasonTransportID, out.Verdict.Reason)
	}
}

// Every reason has a branch that gives it: the scripts and the tests of the
// unit reach all of them.
func TestEveryReasonIsReached(t *testing.T) {
	seen := map[pr.Reason]bool{
		// Reached above, through a store.
		pr.ReasonStoreFull: true, pr.ReasonStoreFailed: true, pr.ReasonStoreStale: true, pr.ReasonPortName: true,
	}
	for _, text := range scriptTexts(t) {
		for _, r := range pr.Reasons {
			if containsReason(text, r) {
				seen[r] = true
			}
		}
	}
	distinct := map[pr.Reason]bool{}
	for _, r := range pr.Reasons {
		require.True(t, seen[r], "no script shows %s", r)
		require.False(t, distinct[r], "%s twice", r)
		distinct[r] = true
	}
}

// A change that was meant for one state does not meet another, not even one
// that comes in between its look and its turn.
func TestApplyIfMeetsTheStateItWasMeantFor(t *testing.T) {
	var told []pr.Record
	u := openUnit(t, pr.Config{Events: pr.Events{Out: func(r pr.Record) { told = append(told, r) }}})
	registered(t, u, 'a')
	seen := u.State()
	registered(t, u, 'b')
	told = nil

	same := func(s pr.State) bool { return s.Equal(seen) }
	out, ok := u.ApplyIf(same, pr.Op{Action: pr.OperatorClear}, pr.Env{}, nil)
	require.False(t, ok)
	require.Equal(t, u.State(), out.After)
	require.Len(t, u.State().Registrations, 2)
	require.Empty(t, told)

	seen = u.State()
	out, ok = u.ApplyIf(same, pr.Op{Action: pr.OperatorClear}, pr.Env{}, nil)
	require.True(t, ok)
	require.True(t, out.Verdict.OK())
	require.Empty(t, u.State().Registrations)
	require.Len(t, told, 1)
}
