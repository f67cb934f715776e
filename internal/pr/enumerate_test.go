package pr_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
	oracle "nas-target/internal/pr/oracletest"
)

// arena maps the oracle's numbered ports to names and back.
type arena struct {
	dev   oracle.Device
	env   pr.Env
	paths []oracle.Path // every nexus there can be
	index map[pr.Nexus]int
	nexus []pr.Nexus // by index into paths
	inis  []string
	ports []string
}

// newArena has initiator ports 0 to inis-1; the last two belong to one node.
func newArena(inis, ports, room int, nuar bool) *arena {
	a := &arena{index: map[pr.Nexus]int{}}
	a.dev = oracle.Device{Ports: ports, Node: map[int]string{}, Room: room, NoUARe: nuar}
	a.env = pr.Env{MaxRegistrations: room, NUAR: nuar}
	for i := range inis {
		node := fmt.Sprintf("iqn.2026-11.local:host%d", min(i, inis-2))
		name := pr.InitiatorPort(node, isid(i))
		a.inis = append(a.inis, name)
		a.dev.Node[i] = node
		a.dev.Known = append(a.dev.Known, i)
		a.env.InitiatorPorts = append(a.env.InitiatorPorts, name)
	}
	for p := range ports {
		name := pr.TargetPort("iqn.2026-11.local:target", uint16(p+1))
		a.ports = append(a.ports, name)
		a.env.TargetPorts = append(a.env.TargetPorts, pr.Port{Name: name, RelativeID: uint16(p + 1)})
	}
	for i := range inis {
		for p := range ports {
			n := pr.Nexus{Initiator: a.inis[i], Target: a.ports[p]}
			a.index[n] = len(a.paths)
			a.paths = append(a.paths, oracle.Path{Ini: i, Port: p})
			a.nexus = append(a.nexus, n)
		}
	}
	return a
}

func isid(i int) [6]byte { return [6]byte{0x00, 0x02, 0x3d, 0, 0, byte(i)} }

func (a *arena) at(p oracle.Path) int { return p.Ini*len(a.ports) + p.Port }

const maxPaths = 4

// world is a state in a form both sides can be brought to and compared in.
type world struct {
	keys   [maxPaths]uint8
	all    [maxPaths]bool
	typ    uint8
	holder int8 // -1: nobody or everybody
	old    int8
	gen    uint32
	ptpl   bool
	lost   bool
}

func (a *arena) fromEngine(s pr.State) world {
	w := world{typ: uint8(s.Reservation.Type), holder: -1, old: -1, gen: s.Generation, ptpl: s.APTPL, lost: s.Condition == pr.InformationLost}
	for _, r := range s.Registrations {
		i := a.index[r.Nexus]
		if w.keys[i] != 0 {
			panic("registered twice")
		}
		w.keys[i], w.all[i] = uint8(r.Key), r.AllTargetPorts
	}
	if s.Reservation.Holder != (pr.Nexus{}) {
		w.holder = int8(a.index[s.Reservation.Holder])
	}
	if s.Legacy != (pr.Nexus{}) {
		w.old = int8(a.index[s.Legacy])
	}
	return w
}

func (a *arena) fromOracle(o oracle.World) world {
	w := world{typ: uint8(o.Type), holder: -1, old: -1, gen: o.Gen, ptpl: o.PTPL, lost: o.Lost}
	for p, e := range o.Keys {
		w.keys[a.at(p)], w.all[a.at(p)] = uint8(e.Key), e.All
	}
	if o.Type != 0 && o.Type < 7 {
		w.holder = int8(a.at(o.Holder))
	}
	if o.Old != nil {
		w.old = int8(a.at(*o.Old))
	}
	return w
}

func (a *arena) toOracle(w world) oracle.World {
	o := oracle.World{Keys: map[oracle.Path]oracle.Entry{}, Type: int(w.typ), Gen: w.gen, PTPL: w.ptpl, Lost: w.lost}
	for i := range a.paths {
		if w.keys[i] != 0 {
			o.Keys[a.paths[i]] = oracle.Entry{Key: uint64(w.keys[i]), All: w.all[i]}
		}
	}
	if w.holder >= 0 {
		o.Holder = a.paths[w.holder]
	}
	if w.old >= 0 {
		p := a.paths[w.old]
		o.Old = &p
	}
	return o
}

// consequences are the effects, per nexus.
type consequences struct {
	ua    [maxPaths]uint8 // one bit for each code
	abort [maxPaths]bool
	allow [maxPaths]bool
}

var uaBits = map[string]uint8{"2A/03": 1, "2A/04": 2, "2A/05": 4}

func (a *arena) effects(fx []pr.Effect) (c consequences, err error) {
	for _, e := range fx {
		if len(e.Nexuses) == 0 {
			return c, fmt.Errorf("an effect on nobody: %v", e)
		}
		for _, n := range e.Nexuses {
			i := a.index[n]
			twice := false
			switch e.Kind {
			case pr.RaiseUA:
				bit := uaBits[map[pr.UA]string{pr.ReservationsPreempted: "2A/03", pr.ReservationsReleased: "2A/04", pr.RegistrationsPreempted: "2A/05"}[e.UA]]
				twice = bit == 0 || c.ua[i]&bit != 0
				c.ua[i] |= bit
			case pr.AbortTasks:
				twice, c.abort[i] = c.abort[i], true
			case pr.AllowRemoval:
				twice, c.allow[i] = c.allow[i], true
			default:
				return c, fmt.Errorf("unknown effect %v", e)
			}
			if twice {
				return c, fmt.Errorf("%v for %v twice", e.Kind, n)
			}
		}
	}
	return c, nil
}

func (a *arena) demanded(ans oracle.Answer) (c consequences) {
	for p, asc := range ans.UA {
		c.ua[a.at(p)] |= uaBits[asc]
	}
	for p, asc := range ans.UA2 {
		c.ua[a.at(p)] |= uaBits[asc]
	}
	for p := range ans.Abort {
		c.abort[a.at(p)] = true
	}
	for p := range ans.Allow {
		c.allow[a.at(p)] = true
	}
	return c
}

var statusText = map[pr.Code]string{
	pr.Good: "GOOD", pr.Conflict: "CONFLICT",
	pr.InvalidFieldInCDB: "05/24/00", pr.InvalidFieldInParameterList: "05/26/00",
	pr.ParameterListLength: "05/1A/00", pr.InvalidRelease: "05/26/04",
	pr.InsufficientReservationResources: "05/55/02", pr.InsufficientRegistrationResources: "05/55/04",
	pr.PersistentInformationLost: "07/44/01", pr.BecomingReady: "02/04/03", pr.StoreFailed: "04/44/00",
}

// command is one request in both languages.
type command struct {
	o  oracle.Command
	op pr.Op
}

func (a *arena) command(o oracle.Command) command {
	op := pr.Op{
		From: pr.Nexus{Initiator: a.inis[o.From.Ini], Target: a.ports[o.From.Port]},
		Key:  pr.Key(o.RK), ServiceKey: pr.Key(o.SARK), Scope: uint8(o.Scope), Type: pr.Type(o.Type),
		APTPL: o.APTPL, AllTargetPorts: o.AllPorts, SpecIPt: o.SpecIPt, Unregister: o.Unreg,
		BadLength: o.BadLen, RelativePort: uint16(o.RelPort),
	}
	switch o.Kind {
	case "out":
		op.Action = pr.Action(o.SA)
	case "reserve":
		op.Action = pr.LegacyReserve
	case "release":
		op.Action = pr.LegacyRelease
	case "nexus loss":
		op.Action = pr.NexusLoss
	case "reset":
		op.Action = pr.LUReset
	case "power cycle":
		op.Action = pr.PowerCycle
	case "operator clear":
		op.Action = pr.OperatorClear
	default:
		panic(o.Kind)
	}
	for _, id := range o.List {
		switch {
		case id.Bad:
			op.Transports = append(op.Transports, pr.TransportID{Malformed: true})
		case id.Node != "":
			op.Transports = append(op.Transports, pr.TransportID{Node: id.Node})
		default:
			op.Transports = append(op.Transports, pr.TransportID{Node: a.dev.Node[id.Ini], Port: true, ISID: isid(id.Ini)})
		}
	}
	return command{o, op}
}

var types = []int{1, 3, 5, 6, 7, 8}

// alphabet is every command worth sending, from every nexus: each field takes
// each value that a rule distinguishes, right, wrong and absent keys included.
func (a *arena) alphabet(keys []uint64, types []int, aptpls []bool, allPorts []bool) []command {
	var out []command
	add := func(o oracle.Command) { out = append(out, a.command(o)) }
	anyKey := append([]uint64{0}, keys...)
	unknown := keys[len(keys)-1] + 1
	for _, from := range a.paths {
		base := oracle.Command{Kind: "out", From: from}
		// What a scope and type can be: all that are valid, one of each kind
		// that is not.
		scoped := func(o oracle.Command, emit func(oracle.Command)) {
			for _, typ := range types {
				o.Type = typ
				emit(o)
			}
			o.Type = 0
			emit(o)
			o.Type, o.Scope = types[0], 1
			emit(o)
			o.Scope, o.SpecIPt = 0, true
			emit(o)
			o.Type = 9
			emit(o)
		}
		for _, rk := range append(slices.Clone(anyKey), unknown) {
			for _, sark := range anyKey {
				for _, aptpl := range aptpls {
					for _, all := range allPorts {
						o := base
						o.SA, o.RK, o.SARK, o.APTPL, o.AllPorts = 0, rk, sark, aptpl, all
						add(o)
						o.SA = 6
						add(o)
						o.SpecIPt = true
						add(o)
						o.SA = 0
						for i, list := range a.lists(from) {
							if i < 2 || aptpl == aptpls[0] {
								o.List = list
								add(o)
							}
						}
					}
				}
			}
			o := base
			o.RK = rk
			o.SA = 1
			scoped(o, add)
			o.SA = 2
			scoped(o, add)
			o.SA = 3
			add(o)
			o.SpecIPt = true
			add(o)
			o.SpecIPt = false
			for _, sa := range []int{4, 5} {
				for _, sark := range append(slices.Clone(anyKey), unknown) {
					o.SA, o.SARK = sa, sark
					scoped(o, add)
				}
			}
			for _, sark := range anyKey[:2] {
				o := base
				o.SA, o.RK, o.SARK = 7, rk, sark
				for _, list := range a.lists(from) {
					for port := range len(a.ports) + 2 {
						o.List, o.RelPort = list, port
						add(o)
					}
				}
				o.List, o.RelPort = a.lists(from)[1], 1
				for _, aptpl := range aptpls {
					for _, unreg := range []bool{false, true} {
						o.APTPL, o.Unreg = aptpl, unreg
						add(o)
					}
				}
			}
		}
		for _, rk := range anyKey[:2] {
			for _, sark := range anyKey {
				for _, all := range []bool{false, true} {
					o := base
					o.SA, o.RK, o.SARK, o.AllPorts, o.APTPL = 8, rk, sark, all, rk == 0
					scoped(o, add)
				}
			}
		}
		for sa := range 11 {
			o := base
			o.SA, o.BadLen, o.SARK = sa, true, keys[0]
			add(o)
		}
		for _, kind := range []string{"reserve", "release", "nexus loss", "reset", "power cycle", "operator clear"} {
			add(oracle.Command{Kind: kind, From: from})
		}
	}
	return out
}

// lists are the TransportID lists for a sender: one other port, two, the
// sender's own, a whole node, a node nobody knows, nonsense, nothing.
func (a *arena) lists(from oracle.Path) [][]oracle.Named {
	other := (from.Ini + 1) % len(a.inis)
	last := (from.Ini + len(a.inis) - 1) % len(a.inis)
	return [][]oracle.Named{
		nil,
		{{Ini: other}},
		{{Ini: other}, {Ini: last}, {Ini: other}},
		{{Ini: from.Ini}},
		{{Node: a.dev.Node[other]}},
		{{Node: "iqn.2026-11.local:nobody"}},
		{{Ini: other}, {Bad: true}},
		{{Bad: true}},
	}
}

const startGeneration = 41

// compare runs one command through both and says how they differ.
func (a *arena) compare(s pr.State, c command) (pr.State, error) {
	was := a.fromEngine(s)
	kept := slices.Clone(s.Registrations)
	next, fx, v := pr.Step(s, a.env, c.op)
	if !slices.Equal(kept, s.Registrations) {
		return next, fmt.Errorf("Step modified its input")
	}
	ans := oracle.Judge(a.toOracle(was), a.dev, c.o)
	if got := statusText[v.Status]; got != ans.Status {
		return next, fmt.Errorf("engine says %v, the standard %s (%s)", v, ans.Status, ans.Row)
	}
	if v.OK() != (v.Reason == "") {
		return next, fmt.Errorf("verdict %v", v)
	}
	if got, want := a.fromEngine(next), a.fromOracle(ans.After); got != want {
		return next, fmt.Errorf("engine leaves %+v, the standard %+v (%s)", got, want, ans.Row)
	}
	got, err := a.effects(fx)
	if err != nil {
		return next, err
	}
	if want := a.demanded(ans); got != want {
		return next, fmt.Errorf("engine entails %+v, the standard %+v (%s)", got, want, ans.Row)
	}
	return next, next.Check()
}

// explore visits every reachable state and tries every command in each.
func (a *arena) explore(t *testing.T, cmds []command, visit func(pr.State, world)) (states, transitions int) {
	seen := map[world]bool{}
	var queue []pr.State
	push := func(s pr.State) {
		w := a.fromEngine(s)
		w.gen = 0
		if !seen[w] {
			seen[w] = true
			s.Generation = startGeneration
			if s.Condition != pr.Normal {
				s.Generation = 0
			}
			queue = append(queue, s)
		}
	}
	push(pr.State{})
	push(pr.State{Condition: pr.InformationLost})
	for len(queue) > 0 {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		states++
		visit(s, a.fromEngine(s))
		for _, c := range cmds {
			transitions++
			next, err := a.compare(s, c)
			if err != nil {
				t.Fatalf("%v\nin    %+v\nafter %+v", err, s, c.op)
			}
			push(next)
		}
	}
	return states, transitions
}

// TestEveryTransition compares the engine with the standard, as the oracle
// reads it, in every reachable state for every command, and every cell of the
// access table in every state on the way.
func TestEveryTransition(t *testing.T) {
	var cells, done atomic.Int64
	access := func(t *testing.T, a *arena) func(pr.State, world) {
		return func(s pr.State, w world) {
			acc, ow := pr.NewAccess(s), a.toOracle(w)
			for i, n := range a.nexus {
				col := oracle.Column(ow, a.paths[i])
				for c := range pr.Persistent + 1 {
					cells.Add(1)
					if got, want := acc.Rights(n).Allows(c), oracle.Allowed(className(c), col); got != want {
						t.Fatalf("%s by %v (column %d): engine %t, the standard %t\nin %+v", className(c), n, col, got, want, s)
					}
				}
			}
		}
	}
	run := func(t *testing.T, name string, a *arena, cmds []command) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			states, transitions := a.explore(t, cmds, access(t, a))
			done.Add(1)
			t.Logf("%d states × %d commands = %d transitions in %v", states, len(cmds), transitions, time.Since(start).Round(time.Millisecond))
		})
	}
	t.Run("worlds", func(t *testing.T) { // returns when all of them have
		both := []bool{false, true}
		aptpl, types, fewTypes := both, types, []int{1, 6, 7}
		if raceEnabled { // nothing here is concurrent; the whole runs without -race
			aptpl, types, fewTypes = both[1:], fewTypes, fewTypes[:1]
		}
		one := newArena(3, 1, 1024, false)
		run(t, "3 nexuses", one, one.alphabet([]uint64{1, 2}, types, aptpl, both[:1]))
		two := newArena(2, 2, 1024, false)
		run(t, "2 initiators × 2 target ports", two, two.alphabet([]uint64{1}, fewTypes, both[:1], both))
		full := newArena(3, 1, 2, true)
		run(t, "room for 2, NUAR", full, full.alphabet([]uint64{1, 2}, []int{3, 5, 8}, both[1:], both[:1]))
	})
	require.EqualValues(t, 3, done.Load())
	t.Logf("%d cells of the access table", cells.Load())
	rows := oracle.Rows()
	t.Logf("%d rows of the standard", len(rows))
	for name, hits := range rows {
		require.NotZero(t, hits, "no transition reached row %q", name)
	}
}

func className(c pr.Class) string {
	return map[pr.Class]string{pr.Unclassified: "unclassified", pr.Write: "write", pr.Read: "read",
		pr.Status: "status", pr.Always: "always", pr.Persistent: "persistent"}[c]
}
