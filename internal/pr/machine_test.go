package pr_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"nas-target/internal/pr"
	oracle "nas-target/internal/pr/oracletest"
	"nas-target/internal/pr/prstore"
)

// TestMachine drives a whole unit with random commands, faults and restarts,
// beside the oracle. What holds after every step, by the numbers of the
// reservation invariants:
//
//	I1, I1+, I15  when a state is saved no call is left in the medium that it
//	              does not allow, and none can begin
//	I3            at most one holder, who is registered
//	I5            the generation
//	I6, I8        what survives a restart, a power cycle, resets
//	I7            a command that is not GOOD changed nothing
//	I9            unit attentions reach exactly whom the standard names
//	I10           lost information lets nobody do anything
//
// I2 and I4 have tests of their own; I11 to I14 are about more than a unit.
func TestMachine(t *testing.T) {
	a := newArena(3, 2, 5, false)
	cmds := a.alphabetFor3x2()
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{arena: a, t: t}
		m.start()
		t.Repeat(map[string]func(*rapid.T){
			"command": func(t *rapid.T) { m.command(t, cmds[rapid.IntRange(0, len(cmds)-1).Draw(t, "command")]) },
			// Commands whose keys fit are rare at random, so they are made.
			"fitting command": func(t *rapid.T) { m.command(t, m.fitting(t)) },
			"begin I/O": func(t *rapid.T) {
				n := a.nexus[rapid.IntRange(0, len(a.nexus)-1).Draw(t, "nexus")]
				m.begin(n, rapid.SampledFrom([]pr.Class{pr.Read, pr.Write}).Draw(t, "class"))
			},
			"end I/O": func(t *rapid.T) {
				if len(m.calls) > 0 {
					i := rapid.IntRange(0, len(m.calls)-1).Draw(t, "call")
					m.calls = slices.Delete(m.calls, i, i+1)
				}
			},
			"store fails":   func(t *rapid.T) { m.saveErr = rapid.SampledFrom([]error{errBoom, pr.ErrNoSpace}).Draw(t, "error") },
			"store works":   func(*rapid.T) { m.saveErr = nil },
			"restart":       func(*rapid.T) { m.restart() },
			"power cut":     func(*rapid.T) { m.powerCut() },
			"lose the file": func(*rapid.T) { m.lose() },
			"":              m.check,
		})
	})
}

var errBoom = errors.New("boom")

type call struct {
	n pr.Nexus
	c pr.Class
}

type machine struct {
	*arena
	t       *rapid.T
	store   prstore.Mem
	unit    *pr.Unit
	world   oracle.World
	calls   []call // in the medium
	saveErr error
	lost    bool
}

func (m *machine) Load(unit string) (pr.State, pr.Revision, error) {
	s, rev, err := m.store.Load(unit)
	if m.lost {
		return pr.State{}, rev, pr.ErrLost
	}
	return s, rev, err
}

// Save is where I1 is looked at: what is saved is promised.
func (m *machine) Save(unit string, s pr.State, from pr.Revision) (pr.Revision, error) {
	if m.saveErr != nil {
		return 0, m.saveErr
	}
	will := pr.NewAccess(s)
	for _, c := range m.calls {
		require.True(m.t, will.Rights(c.n).Allows(c.c), "a call of %v is in the medium while its right is taken away for good", c.n)
	}
	for _, n := range m.nexus {
		require.Zero(m.t, m.unit.Access().Rights(n)&^will.Rights(n), "%v could begin a call that the saved state does not allow", n)
	}
	rev, err := m.store.Save(unit, s, from)
	if err == nil {
		m.lost = false
	}
	return rev, err
}

func (m *machine) start() {
	m.world = oracle.World{Keys: map[oracle.Path]oracle.Entry{}}
	m.open()
}

func (m *machine) open() {
	var err error
	m.unit, err = pr.Open(pr.Config{ID: "lun", Store: m})
	require.Equal(m.t, m.lost, err != nil)
}

func (m *machine) begin(n pr.Nexus, c pr.Class) {
	if m.unit.Access().Rights(n).Allows(c) {
		m.calls = append(m.calls, call{n, c})
	}
}

// drain lets the losers' calls return, as the data path does.
func (m *machine) drain(before, after *pr.Access) {
	for _, n := range m.nexus {
		for _, c := range []pr.Class{pr.Read, pr.Write} {
			m.begin(n, c) // everybody tries to get in once more
		}
	}
	m.calls = slices.DeleteFunc(m.calls, func(c call) bool { return pr.Lost(before, after, c.n).Allows(c.c) })
}

func (m *machine) command(t *rapid.T, c command) {
	before := m.unit.State()
	out := m.unit.Apply(c.op, m.env, m.drain)
	want := oracle.Judge(m.world, m.dev, c.o)
	if out.Err != nil { // I7
		require.ErrorIs(t, out.Err, m.saveErr)
		require.False(t, out.Verdict.OK())
		require.Equal(t, "GOOD", want.Status, "saved although it was refused")
		require.Empty(t, out.Effects)
		require.True(t, m.unit.State().Equal(before))
		return
	}
	require.Equal(t, want.Status, statusText[out.Verdict.Status], "%v; %s", out.Verdict, want.Row)
	if !out.Verdict.OK() {
		require.True(t, m.unit.State().Equal(before))
		return
	}
	got, err := m.effects6(out.Effects)
	require.NoError(t, err)
	require.Equal(t, m.demanded6(want), got, want.Row)
	m.world = want.After
	require.True(t, out.After.Equal(m.unit.State()))
}

// fitting draws a command whose sender is registered and whose keys are right,
// if anybody is.
func (m *machine) fitting(t *rapid.T) command {
	o := oracle.Command{Kind: "out"}
	o.SA = rapid.SampledFrom([]int{0, 1, 1, 2, 3, 4, 4, 5, 5, 6, 7, 7}).Draw(t, "service action")
	o.From = m.paths[rapid.IntRange(0, len(m.paths)-1).Draw(t, "from")]
	var keys []uint64
	for _, p := range m.paths {
		if e, ok := m.world.Keys[p]; ok {
			keys = append(keys, e.Key)
			if m.world.Holds(p) || rapid.Bool().Draw(t, "this one") {
				o.From = p
			}
		}
	}
	o.RK = m.world.Keys[o.From].Key
	o.Type = rapid.SampledFrom(types).Draw(t, "type")
	if o.SA == 2 && m.world.Type != 0 {
		o.Type = m.world.Type
	}
	o.APTPL = rapid.Bool().Draw(t, "APTPL")
	switch o.SA {
	case 0, 6, 7:
		o.SARK = rapid.Uint64Range(0, 3).Draw(t, "new key")
		o.AllPorts = o.SA != 7 && rapid.IntRange(0, 4).Draw(t, "ALL_TG_PT") == 0
		o.List = []oracle.Named{{Ini: rapid.IntRange(0, len(m.inis)-1).Draw(t, "to")}}
		o.RelPort = rapid.IntRange(1, 2).Draw(t, "port")
		o.Unreg = rapid.Bool().Draw(t, "UNREG")
	case 4, 5:
		o.SARK = rapid.SampledFrom(append(keys, 0)).Draw(t, "victim")
	}
	return m.arena.command(o)
}

func (m *machine) restart() {
	m.calls = nil
	m.open()
	m.world.Old = nil
	m.world.Lost = m.lost
	if m.lost {
		m.world = oracle.World{Keys: map[oracle.Path]oracle.Entry{}, Lost: true}
	}
}

func (m *machine) powerCut() {
	m.store.PowerCycle()
	if !m.world.PTPL {
		m.world = oracle.World{Keys: map[oracle.Path]oracle.Entry{}, Lost: m.lost}
	}
	m.world.Gen = 0
	m.restart()
}

func (m *machine) lose() {
	m.lost = true
	m.restart()
}

// check runs after every step.
func (m *machine) check(t *rapid.T) {
	s := m.unit.State()
	require.NoError(t, s.Check())
	require.Equal(t, m.worldText(s), m.world.String())
	acc := m.unit.Access()
	for i, n := range m.nexus {
		col := oracle.Column(m.world, m.paths[i])
		for c := range pr.Persistent + 1 {
			require.Equal(t, oracle.Allowed(className(c), col), acc.Rights(n).Allows(c), "%v by %v", className(c), n)
		}
	}
	if m.lost {
		require.Equal(t, pr.InformationLost, acc.Condition())
		require.Zero(t, acc.Rights(pr.Nexus{Initiator: "stranger", Target: "t"}))
	}
	for _, c := range m.calls {
		require.True(t, acc.Rights(c.n).Allows(c.c), "a call of %v is still in the medium", c.n)
	}
}

// worldText prints a state the way the oracle prints a world.
func (m *machine) worldText(s pr.State) string {
	w := oracle.World{Keys: map[oracle.Path]oracle.Entry{}, Type: int(s.Reservation.Type), Gen: s.Generation, PTPL: s.APTPL, Lost: s.Condition != pr.Normal}
	for _, r := range s.Registrations {
		w.Keys[m.paths[m.index[r.Nexus]]] = oracle.Entry{Key: uint64(r.Key), All: r.AllTargetPorts}
	}
	if s.Reservation.Holder != (pr.Nexus{}) {
		w.Holder = m.paths[m.index[s.Reservation.Holder]]
	}
	if s.Legacy != (pr.Nexus{}) {
		p := m.paths[m.index[s.Legacy]]
		w.Old = &p
	}
	return w.String()
}

// effects6 is arena.effects for more nexuses than the enumeration has.
func (m *machine) effects6(fx []pr.Effect) (map[string]int, error) {
	out := map[string]int{}
	for _, e := range fx {
		for _, n := range e.Nexuses {
			key := fmt.Sprint(e.Kind, " ", map[pr.UA]string{0: "", pr.ReservationsPreempted: "2A/03", pr.ReservationsReleased: "2A/04", pr.RegistrationsPreempted: "2A/05"}[e.UA], " ", m.paths[m.index[n]])
			if out[key]++; out[key] > 1 {
				return nil, fmt.Errorf("twice: %s", key)
			}
		}
	}
	return out, nil
}

func (m *machine) demanded6(ans oracle.Answer) map[string]int {
	out := map[string]int{}
	for p, asc := range ans.UA {
		out[fmt.Sprint(pr.RaiseUA, " ", asc, " ", p)]++
	}
	for p, asc := range ans.UA2 {
		out[fmt.Sprint(pr.RaiseUA, " ", asc, " ", p)]++
	}
	for p := range ans.Abort {
		out[fmt.Sprint(pr.AbortTasks, "  ", p)]++
	}
	for p := range ans.Allow {
		out[fmt.Sprint(pr.AllowRemoval, "  ", p)]++
	}
	return out
}

func (a *arena) alphabetFor3x2() []command {
	both := []bool{false, true}
	return a.alphabet([]uint64{1, 2}, types, both, both)
}
