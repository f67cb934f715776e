package prstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"nas-target/internal/pr"
)

// Names long enough that a record crosses sectors, so that it can be torn.
var (
	crashPort = pr.TargetPort("iqn.2026-11.local.nas-target:lab", 1)
	crashEnv  = pr.Env{TargetPorts: []pr.Port{{Name: crashPort, RelativeID: 1}}}
	crashA    = crashNexus("a")
	crashB    = crashNexus("b")
	crashC    = crashNexus("c")
)

func crashNode(host string) string {
	return "iqn.2026-11.local." + host + ":" + strings.Repeat(host, 150)
}

func crashNexus(host string) pr.Nexus {
	return pr.Nexus{Initiator: pr.InitiatorPort(crashNode(host), [6]byte{0, 2, 0x3d, 0, 0, 1}), Target: crashPort}
}

// crashOps is the alphabet: every action that changes what is saved, of two
// hosts, with and without APTPL.
var crashOps = []pr.Op{
	{Action: pr.RegisterAndIgnore, From: crashA, ServiceKey: 1, APTPL: true},
	{Action: pr.RegisterAndIgnore, From: crashB, ServiceKey: 2, APTPL: true},
	{Action: pr.RegisterAndIgnore, From: crashB, ServiceKey: 2},
	{Action: pr.Register, From: crashA, Key: 1, APTPL: true},
	{Action: pr.Reserve, From: crashA, Key: 1, Type: pr.WriteExclusiveRegistrantsOnly},
	{Action: pr.Reserve, From: crashB, Key: 2, Type: pr.ExclusiveAccessAllRegistrants},
	{Action: pr.Release, From: crashA, Key: 1, Type: pr.WriteExclusiveRegistrantsOnly},
	{Action: pr.Clear, From: crashA, Key: 1},
	{Action: pr.Preempt, From: crashA, Key: 1, ServiceKey: 2, Type: pr.WriteExclusive},
	{Action: pr.PreemptAndAbort, From: crashB, Key: 2, ServiceKey: 1, Type: pr.ExclusiveAccess},
	{Action: pr.RegisterAndMove, From: crashA, Key: 1, ServiceKey: 3, APTPL: true, Unregister: true, RelativePort: 1,
		Transports: []pr.TransportID{{Node: crashNode("c"), Port: true, ISID: [6]byte{0, 2, 0x3d, 0, 0, 1}}}},
	{Action: pr.OperatorClear},
}

func crashStart(t testing.TB, s pr.State) *simDisk {
	if s.Generation == 0 {
		return acknowledged(t, small)
	}
	return acknowledged(t, small, s)
}

func reserved() pr.State {
	return pr.State{
		Generation: 2, APTPL: true,
		Registrations: []pr.Registration{{Nexus: crashA, Key: 1}, {Nexus: crashB, Key: 2}},
		Reservation:   pr.Reservation{Type: pr.WriteExclusiveRegistrantsOnly, Holder: crashA},
	}
}

// unitOn starts the engine on a disk as a daemon does.
func unitOn(t testing.TB, d *simDisk, o Options) (*pr.Unit, error) {
	t.Helper()
	f := openSim(t, d, o)
	if err := f.Attach(simUnit, Expect{Exists: true}); err != nil {
		return nil, err
	}
	return pr.Open(pr.Config{ID: simUnit, Store: f})
}

// afterCrash checks what a restart finds.
func afterCrash(t testing.TB, d *simDisk, allowed ...pr.State) {
	t.Helper()
	// The crash itself may have been a power cut: the host boots again.
	for _, boot := range []string{small.BootID, "boot-b"} {
		o := small
		o.BootID = boot
		u, err := unitOn(t, d.killed(), o)
		require.NoError(t, err)
		got := u.State()
		ok := false
		for _, want := range allowed {
			if boot != small.BootID {
				want = want.AfterPowerCycle()
			}
			ok = ok || got.Equal(want)
		}
		if !ok {
			require.Fail(t, "neither the old nor the new state", "got %+v\nallowed %+v", got, allowed)
		}
	}
}

// wreckage remembers the files it has seen, since many crashes leave the same.
type wreckage map[string]bool

// of calls check with every disk that a crash of d can leave: the process
// killed, or power cut with every prefix and every suffix of the unsynced
// sectors on the medium, or every other one.
func (seen wreckage) of(d *simDisk, check func(what string, after *simDisk)) {
	wrecks(d, func(what string, w *simDisk) {
		f := w.names[fileName(simUnit)]
		if key := fmt.Sprint(len(f.dirty), string(f.cache), string(f.stable)); !seen[key] {
			seen[key] = true
			check(what, w)
		}
	})
}

func wrecks(d *simDisk, check func(what string, after *simDisk)) {
	check("killed", d.killed())
	n := d.dirtySectors()
	for p := 0; p <= n; p++ {
		check(fmt.Sprintf("first %d of %d sectors", p, n), d.cut(func(i, _ int) bool { return i < p }, true))
		check(fmt.Sprintf("last %d of %d sectors", p, n), d.cut(func(i, n int) bool { return i >= n-p }, true))
	}
	if n > 0 {
		check("odd sectors", d.cut(func(i, _ int) bool { return i%2 == 1 }, true))
	}
}

// TestCrashAtEveryCall stops the store at every I/O call of the last command
// of every sequence of up to three, with every torn prefix of a write, and
// looks what a restart finds: the state before the command or after it,
// nothing else; and after GOOD the state after it, whatever was not synced.
func TestCrashAtEveryCall(t *testing.T) {
	sequences, points, loads := 0, 0, 0
	seen := map[string]bool{} // what a crash leaves depends on nothing but the states and the command
	var walk func(d *simDisk, state pr.State, depth int)
	walk = func(d *simDisk, state pr.State, depth int) {
		for i, op := range crashOps {
			sequences++
			clean := d.killed()
			u, err := unitOn(t, clean, small)
			require.NoError(t, err)
			require.True(t, u.State().Equal(state))
			clean.calls = 0
			out := u.Apply(op, crashEnv, nil)
			calls := clean.calls
			if out.After.Equal(state) {
				require.Zero(t, calls, "a command that changes nothing does not write: %v", op.Action)
				continue
			}
			after := out.After
			afterCrash(t, clean.cut(func(int, int) bool { return false }, false), after)

			// What is on the disk differs only by sequence numbers between two
			// ways to one state.
			key := fmt.Sprint(i, state)
			if !seen[key] {
				seen[key] = true
				wreckage := wreckage{}
				for call := 1; call <= calls; call++ {
					for torn := 0; torn <= blockSize; torn += sector {
						c := d.killed()
						u, err := unitOn(t, c, small)
						require.NoError(t, err)
						c.stopAt(call, torn)
						out := u.Apply(op, crashEnv, nil)
						require.False(t, out.Verdict.OK())
						require.True(t, u.State().Equal(state))
						c.heal()
						points++
						wreckage.of(c, func(what string, w *simDisk) {
							loads++
							afterCrash(t, w, state, after)
						})
						if clean.trace[len(clean.trace)-calls+call-1] != "write" {
							break // only writes are torn
						}
					}
				}
			}
			if depth > 1 {
				walk(clean, after, depth-1)
			}
		}
	}
	walk(crashStart(t, pr.State{}), pr.State{}, 3)
	walk(crashStart(t, reserved()), reserved(), 3)
	t.Logf("%d sequences, %d crash points, %d wrecks loaded", sequences, points, loads)
	require.Greater(t, points, 1000)
}

// TestCrashWhileMending crashes twice: in a command, and again at every call
// of the restart that mends what the first crash left. The state may not
// change its mind: once a restart has shown the new state to anybody, it stays.
func TestCrashWhileMending(t *testing.T) {
	points := 0
	for _, op := range crashOps {
		d := crashStart(t, reserved())
		probe := d.killed()
		u, err := unitOn(t, probe, small)
		require.NoError(t, err)
		probe.calls = 0
		out := u.Apply(op, crashEnv, nil)
		calls, after := probe.calls, out.After
		first, second := wreckage{}, wreckage{}
		for i := range 2 * calls {
			call, torn := 1+i/2, sector
			if i%2 == 1 {
				torn = blockSize
			}
			c := d.killed()
			u, err := unitOn(t, c, small)
			require.NoError(t, err)
			c.stopAt(call, torn)
			u.Apply(op, crashEnv, nil)
			c.heal()
			first.of(c, func(what string, w *simDisk) {
				restart := w.killed()
				u, err := unitOn(t, restart, small)
				require.NoError(t, err)
				shown, n := u.State(), restart.calls
				afterCrash(t, restart.cut(func(int, int) bool { return false }, true), shown)
				for again := 1; again <= n; again++ {
					for torn := 0; torn <= 3*sector; torn += sector {
						r := w.killed()
						r.stopAt(again, torn)
						_, err := unitOn(t, r, small)
						require.Error(t, err)
						r.heal()
						points++
						second.of(r, func(what string, w2 *simDisk) { afterCrash(t, w2, reserved(), after) })
					}
				}
			})
		}
	}
	t.Logf("%d second crash points", points)
	require.NotZero(t, points)
}

// TestFailAtEveryCall lets the n-th call fail, for every n until the command
// passes: the command is refused for the right reason, nothing has changed in
// memory, nothing after a restart, and the next command works.
func TestFailAtEveryCall(t *testing.T) {
	for _, e := range []struct {
		errno unix.Errno
		code  func(pr.Op) pr.Code
	}{
		{unix.EIO, func(pr.Op) pr.Code { return pr.StoreFailed }},
		{unix.ENOSPC, func(op pr.Op) pr.Code {
			if op.Action == pr.Reserve {
				return pr.InsufficientReservationResources
			}
			return pr.InsufficientRegistrationResources
		}},
		{unix.EDQUOT, func(op pr.Op) pr.Code {
			if op.Action == pr.Reserve {
				return pr.InsufficientReservationResources
			}
			return pr.InsufficientRegistrationResources
		}},
	} {
		failures := 0
		for _, start := range []pr.State{{}, reserved()} {
			for _, op := range crashOps {
				for _, written := range []int{0, sector, blockSize} {
					for n := 1; ; n++ {
						d := crashStart(t, start)
						u, err := unitOn(t, d, small)
						require.NoError(t, err)
						access := u.Access()
						d.failAt(n, n, e.errno, written)
						out := u.Apply(op, crashEnv, func(_, _ *pr.Access) {})
						if out.Verdict.OK() || out.Err == nil {
							require.True(t, n > 4 || out.After.Equal(start), "fault at call %d was swallowed", n)
							break
						}
						failures++
						require.ErrorIs(t, out.Err, e.errno)
						require.Equal(t, e.code(op), out.Verdict.Status, "%v", op.Action)
						require.Empty(t, out.Effects)
						require.True(t, out.After.Equal(start))
						require.True(t, u.State().Equal(start))
						require.Same(t, access, u.Access(), "the old picture is in force again")
						d.heal()
						for _, w := range []*simDisk{d.killed(), d.cut(func(int, int) bool { return false }, true)} {
							afterCrash(t, w, start)
						}
						// The medium works again, and so does the unit.
						out = u.Apply(op, crashEnv, nil)
						require.True(t, out.Verdict.OK(), "%v", out.Err)
						afterCrash(t, d.cut(func(int, int) bool { return false }, true), out.After)
					}
				}
			}
		}
		t.Logf("%v: %d faults", e.errno, failures)
		require.NotZero(t, failures)
	}
}

// A save is refused because of one slot that took the record and then died; the
// other slot alone takes it back.
func TestTakingBackNeedsOneSlot(t *testing.T) {
	for bad := range 2 {
		d := crashStart(t, reserved())
		u, err := unitOn(t, d, small)
		require.NoError(t, err)
		// write 0, sync 0, write 1, sync 1 of the save; then of taking it back.
		fail := map[int]bool{4: true, 7: true}
		if bad == 0 {
			fail = map[int]bool{2: true, 3: true}
		}
		d.calls = 0
		d.fault = func(call int, _ string) (int, error) {
			if fail[call] {
				return 0, unix.EIO
			}
			return 0, nil
		}
		out := u.Apply(crashOps[7], crashEnv, nil) // CLEAR
		require.Equal(t, pr.StoreFailed, out.Verdict.Status)
		d.heal()
		afterCrash(t, d.killed(), reserved())
		afterCrash(t, d.cut(func(int, int) bool { return false }, true), reserved())
		afterCrash(t, d.cut(func(int, int) bool { return true }, true), reserved())
	}
}

// One slot is in doubt after a save that failed. The next save begins with it,
// so that a crash there leaves the good one alone.
func TestSaveBeginsWithTheSlotInDoubt(t *testing.T) {
	for bad := range 2 {
		d := crashStart(t, reserved())
		u, err := unitOn(t, d, small)
		require.NoError(t, err)
		// The save and its taking back: writes 1 3 5 7, syncs 2 4 6 8. The bad
		// slot is torn by the one and not written by the other.
		torn, dead := 3, 7
		if bad == 0 {
			torn, dead = 1, 2
		}
		d.calls = 0
		d.fault = func(call int, _ string) (int, error) {
			switch call {
			case torn:
				return sector, unix.EIO
			case dead:
				return 0, unix.EIO
			}
			return 0, nil
		}
		move := crashOps[10] // REGISTER AND MOVE: another payload, longer than a sector
		require.Equal(t, pr.StoreFailed, u.Apply(move, crashEnv, nil).Verdict.Status)
		d.stopAt(1, sector)
		require.Equal(t, pr.StoreFailed, u.Apply(move, crashEnv, nil).Verdict.Status)
		d.heal()
		afterCrash(t, d.killed(), reserved())
		afterCrash(t, d.cut(func(int, int) bool { return true }, true), reserved())
	}
}

// TestMediumThatStaysBroken: every call from the n-th on fails. In memory
// nothing has changed, however often it is tried; a restart finds the old
// state or, if the medium took the record and then refused to take it back,
// the new one, or says that it is lost. It finds nothing else.
func TestMediumThatStaysBroken(t *testing.T) {
	for _, op := range crashOps {
		for _, written := range []int{0, 3 * sector, blockSize} {
			for n := 1; n <= 4; n++ {
				d := crashStart(t, reserved())
				probe, err := unitOn(t, d.killed(), small)
				require.NoError(t, err)
				want := probe.Apply(op, crashEnv, nil).After
				u, err := unitOn(t, d, small)
				require.NoError(t, err)
				if want.Equal(reserved()) {
					continue
				}
				d.failAt(n, 1<<30, unix.EIO, written)
				for range 3 {
					out := u.Apply(op, crashEnv, nil)
					require.Equal(t, pr.StoreFailed, out.Verdict.Status)
					require.True(t, u.State().Equal(reserved()))
				}
				d.heal()
				wrecks(d.killed(), func(what string, w *simDisk) {
					u, err := unitOn(t, w, small)
					if err != nil {
						require.ErrorIs(t, err, pr.ErrLost)
						require.Equal(t, pr.InformationLost, u.Access().Condition())
						return
					}
					got := u.State()
					require.True(t, got.Equal(reserved()) || got.Equal(want), "%s: %+v", what, got)
				})
			}
		}
	}
}

// TestCreationCrash stops the making of a new unit at every call. Until Attach
// has returned nobody expects the file; what is found then is a new unit or
// none, never a lost one. Afterwards it is there whatever happens.
func TestCreationCrash(t *testing.T) {
	for call := 1; ; call++ {
		stopped := false
		for torn := 0; torn <= 2*blockSize; torn += sector {
			d := newSimDisk()
			d.stopAt(call, torn)
			err := openSim(t, d, small).Attach(simUnit, Expect{})
			stopped = d.stopped
			d.heal()
			wrecks(d, func(what string, w *simDisk) {
				for _, names := range []bool{true, false} {
					if !names {
						w = d.cut(func(int, int) bool { return true }, false)
					}
					f := openSim(t, w, small)
					require.NoError(t, f.Attach(simUnit, Expect{Exists: err == nil}), what)
					s, _, err := f.Load(simUnit)
					require.NoError(t, err, what)
					require.True(t, s.Equal(pr.State{}))
				}
			})
		}
		if !stopped {
			require.Greater(t, call, 5)
			break
		}
	}
}

// TestReplaceLostReservationEndToEnd: corruption, 07/44/01 for everybody,
// REPLACE LOST RESERVATION, and a crash at any call of it.
func TestReplaceLostReservationEndToEnd(t *testing.T) {
	op := pr.Op{Action: pr.ReplaceLostReservation, From: crashC, ServiceKey: 3, Type: pr.ExclusiveAccess, APTPL: true}
	damaged := func() *simDisk {
		d := crashStart(t, reserved())
		b := d.bytes()
		b[headerSize] ^= 1
		b[blockSize+headerSize] ^= 1
		return d.withBytes(b)
	}
	for call := 1; ; call++ {
		d := damaged()
		u, err := unitOn(t, d, small)
		require.ErrorIs(t, err, pr.ErrLost)
		require.Equal(t, pr.InformationLost, u.Access().Condition())
		for _, n := range []pr.Nexus{crashA, crashB, crashC} {
			require.Zero(t, u.Access().Rights(n), "nobody has any right")
		}
		for _, other := range crashOps[:len(crashOps)-1] {
			require.Equal(t, pr.PersistentInformationLost, u.Apply(other, crashEnv, nil).Verdict.Status)
		}
		d.stopAt(call, blockSize)
		out := u.Apply(op, crashEnv, nil)
		if out.Verdict.OK() {
			require.True(t, u.Access().Rights(crashC).Allows(pr.Write))
			require.False(t, u.Access().Rights(crashA).Allows(pr.Read))
			afterCrash(t, d.cut(func(int, int) bool { return false }, true), out.After)
			break
		}
		require.Equal(t, pr.InformationLost, u.Access().Condition())
		d.heal()
		want := pr.State{APTPL: true, Registrations: []pr.Registration{{Nexus: crashC, Key: 3}},
			Reservation: pr.Reservation{Type: pr.ExclusiveAccess, Holder: crashC}}
		wrecks(d, func(what string, w *simDisk) {
			u, err := unitOn(t, w, small)
			if err != nil {
				require.ErrorIs(t, err, pr.ErrLost)
			} else {
				require.True(t, u.State().Equal(want))
			}
		})
	}
}
