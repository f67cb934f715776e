package oracletest

import "sync/atomic"

func n() *atomic.Int64 { return new(atomic.Int64) }

func always(*table) bool { return true }

func unknownType(typ int) bool {
	return typ != 1 && typ != 3 && typ != 5 && typ != 6 && typ != 7 && typ != 8
}

// before is what every service action meets first.
var before = []row{
	{"6.16.2 table 213", "reserved service action",
		func(t *table) bool { return t.cmd.SA > 8 }, "05/24/00", nil, n()},
	{"5.13.5.3.2", "information lost",
		func(t *table) bool { return t.was.Lost && t.cmd.SA != 8 }, "07/44/01", nil, n()},
	{"SPC-2 5.5.1", "RESERVE and RELEASE are in use",
		func(t *table) bool { return t.was.Old != nil }, "CONFLICT", nil, n()},
	{"6.16.1", "list length",
		func(t *table) bool { return t.cmd.BadLen }, "05/1A/00", nil, n()},
}

// authorised is 5.13.7 and 6.16.3 for everything but registering and 08h.
var authorised = []row{
	{"5.13.7", "unregistered sender",
		func(t *table) bool { return !t.was.has(t.cmd.From) }, "CONFLICT", nil, n()},
	{"6.16.3", "wrong reservation key",
		func(t *table) bool { return t.was.Keys[t.cmd.From].Key != t.cmd.RK }, "CONFLICT", nil, n()},
}

// verdictAt reads table 67 (REGISTER) or 68 (REGISTER AND IGNORE EXISTING
// KEY) for one target port.
func (t *table) verdictAt(p Path) string {
	entry, registered := t.was.Keys[p]
	if t.cmd.SA == 6 {
		switch {
		case !registered && t.cmd.SARK == 0:
			return "nothing"
		case !registered:
			return "register"
		case t.cmd.SARK == 0:
			return "unregister"
		}
		return "change"
	}
	type line struct{ registered, rkFits, sarkZero, spec string }
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	}
	fits := t.cmd.RK == 0
	if registered {
		fits = t.cmd.RK == entry.Key
	}
	is := line{yes(registered), yes(fits), yes(t.cmd.SARK == 0), yes(t.cmd.SpecIPt)}
	for _, l := range []struct {
		line
		result string
	}{
		{line{"no", "yes", "yes", "any"}, "nothing"},
		{line{"no", "yes", "no", "no"}, "register"},
		{line{"no", "yes", "no", "yes"}, "register all"},
		{line{"no", "no", "any", "any"}, "conflict"},
		{line{"yes", "no", "any", "any"}, "conflict"},
		{line{"yes", "yes", "yes", "no"}, "unregister"},
		{line{"yes", "yes", "yes", "yes"}, "check"},
		{line{"yes", "yes", "no", "no"}, "change"},
		{line{"yes", "yes", "no", "yes"}, "check"},
	} {
		match := func(a, b string) bool { return a == "any" || a == b }
		if match(l.registered, is.registered) && match(l.rkFits, is.rkFits) &&
			match(l.sarkZero, is.sarkZero) && match(l.spec, is.spec) {
			return l.result
		}
	}
	panic("table 67 has a hole")
}

// ports is the target port column of table 69.
func (t *table) ports() []int {
	if !t.cmd.AllPorts {
		return []int{t.cmd.From.Port}
	}
	var all []int
	for p := range t.dev.Ports {
		all = append(all, p)
	}
	return all
}

// atAnyPort reports whether the request, received individually through each
// of its ports (6.16.3, ALL_TG_PT), gets this result at one of them.
func (t *table) atAnyPort(result string) bool {
	for _, p := range t.ports() {
		if t.verdictAt(Path{t.cmd.From.Ini, p}) == result {
			return true
		}
	}
	return false
}

// initiators is the initiator port column of table 69; ok is false if a
// TransportID names none.
func (t *table) initiators() (out []int, ok bool) {
	out = []int{t.cmd.From.Ini}
	if !t.cmd.SpecIPt {
		return out, true
	}
	for _, id := range t.cmd.List {
		switch {
		case id.Bad:
			return nil, false
		case id.Node == "":
			out = append(out, id.Ini)
		default:
			none := true
			for _, k := range t.dev.Known {
				if t.dev.Node[k] == id.Node {
					out, none = append(out, k), false
				}
			}
			if none {
				return nil, false
			}
		}
	}
	return out, true
}

func (t *table) wanted() map[Path]bool {
	inis, _ := t.initiators()
	m := map[Path]bool{}
	for _, i := range inis {
		for _, p := range t.ports() {
			m[Path{i, p}] = true
		}
	}
	return m
}

var registering = []row{
	{"5.13.7 table 67", "key does not fit",
		func(t *table) bool { return t.atAnyPort("conflict") }, "CONFLICT", nil, n()},
	{"5.13.7 table 69 note a", "SPEC_I_PT with REGISTER AND IGNORE EXISTING KEY",
		func(t *table) bool { return t.cmd.SA == 6 && t.cmd.SpecIPt }, "05/26/00", nil, n()},
	{"5.13.7 table 67 note c", "SPEC_I_PT from a registered nexus",
		func(t *table) bool { return t.atAnyPort("check") }, "05/26/00", nil, n()},
	{"5.13.7 tables 67, 68", "zero from an unregistered nexus does nothing",
		func(t *table) bool {
			return t.atAnyPort("nothing") && !t.atAnyPort("unregister")
		}, "GOOD", nil, n()},
	{"5.13.7 tables 67, 68", "unregister",
		func(t *table) bool { return t.atAnyPort("unregister") }, "GOOD", func(t *table) {
			typ := t.was.Type
			for _, p := range t.ports() {
				t.strike(Path{t.cmd.From.Ini, p})
			}
			if t.now.Type != typ && registrantsCount(typ) { // 5.13.11.2.3
				t.tell("2A/04", t.now.has)
			}
			t.now.PTPL = t.cmd.APTPL
		}, n()},
	{"5.13.7 table 67 note b", "a TransportID that names nobody",
		func(t *table) bool { _, ok := t.initiators(); return !ok }, "05/26/00", nil, n()},
	{"5.13.7 table 67 note b", "a listed nexus is registered",
		func(t *table) bool {
			if !t.cmd.SpecIPt {
				return false
			}
			for p := range t.wanted() {
				if t.was.has(p) {
					return true
				}
			}
			return false
		}, "05/26/00", nil, n()},
	{"5.13.7", "no room",
		func(t *table) bool {
			total := len(t.was.Keys)
			for p := range t.wanted() {
				if !t.was.has(p) {
					total++
				}
			}
			return total > t.dev.Room
		}, "05/55/04", nil, n()},
	{"5.13.7 table 69", "register or change the key", always, "GOOD", func(t *table) {
		for p := range t.wanted() {
			t.now.Keys[p] = Entry{t.cmd.SARK, t.cmd.AllPorts}
		}
		t.now.PTPL = t.cmd.APTPL
	}, n()},
}

func scopeRow(when func(*table) bool) row {
	return row{"6.16.1", "scope not implemented",
		func(t *table) bool { return when(t) && t.cmd.Scope != 0 }, "05/24/00", nil, n()}
}

func typeRow(when func(*table) bool) row {
	return row{"6.15.3.4", "no such type",
		func(t *table) bool { return when(t) && unknownType(t.cmd.Type) }, "05/24/00", nil, n()}
}

func specRow() row {
	return row{"6.16.3", "SPEC_I_PT where it is invalid",
		func(t *table) bool { return t.cmd.SpecIPt }, "05/26/00", nil, n()}
}

// victims are the nexuses registered with the service action key.
func (t *table) victims() map[Path]bool {
	v := map[Path]bool{}
	for p, e := range t.was.Keys {
		if e.Key == t.cmd.SARK && t.cmd.SARK != 0 {
			v[p] = true
		}
	}
	return v
}

// taken: table 72, the reservation itself is preempted.
func (t *table) taken() bool {
	if everybodyHolds(t.was.Type) {
		return t.cmd.SARK == 0
	}
	return t.was.Type != 0 && t.was.Keys[t.was.Holder].Key == t.cmd.SARK
}

// abort is 5.13.11.2.6, of PREEMPT AND ABORT alone.
func (t *table) abort(who func(Path) bool) {
	if t.cmd.SA != 5 {
		return
	}
	for p := range t.was.Keys {
		if who(p) {
			t.ans.Abort[p], t.ans.Allow[p] = true, true
		}
	}
}

func preempting() []row {
	return []row{
		{"5.13.11.2.5", "nobody has that key",
			func(t *table) bool { return t.cmd.SARK != 0 && len(t.victims()) == 0 }, "CONFLICT", nil, n()},
		scopeRow((*table).taken),
		typeRow((*table).taken),
		specRow(),
		{"5.13.11.2.4 table 72", "zero key and no all-registrants reservation",
			func(t *table) bool { return t.cmd.SARK == 0 && !everybodyHolds(t.was.Type) }, "05/26/00", nil, n()},
		{"5.13.11.2.4.3", "all registrants are preempted",
			func(t *table) bool { return t.cmd.SARK == 0 }, "GOOD", func(t *table) {
				t.tell("2A/05", func(Path) bool { return true })
				for p := range t.was.Keys {
					if p != t.cmd.From {
						t.strike(p)
					}
				}
				t.give(t.cmd.Type, t.cmd.From)
				t.abort(func(Path) bool { return true })
			}, n()},
		{"5.13.11.2.4.3", "the holder is preempted",
			(*table).taken, "GOOD", func(t *table) {
				v := t.victims()
				t.tell("2A/05", func(p Path) bool { return v[p] })
				if t.cmd.Type != t.was.Type {
					t.tell("2A/04", func(p Path) bool { return !v[p] })
				}
				for p := range v {
					if p != t.cmd.From {
						t.strike(p)
					}
				}
				t.give(t.cmd.Type, t.cmd.From)
				t.abort(func(p Path) bool { return v[p] })
			}, n()},
		{"5.13.11.2.5", "registrations are removed", always, "GOOD", func(t *table) {
			v := t.victims()
			t.tell("2A/05", func(p Path) bool { return v[p] })
			for p := range v {
				t.strike(p)
			}
			t.abort(func(p Path) bool { return v[p] })
		}, n()},
	}
}

// destination of REGISTER AND MOVE; ok is false if there is none.
func (t *table) destination() (Path, bool) {
	if len(t.cmd.List) != 1 || t.cmd.List[0].Bad || t.cmd.List[0].Node != "" {
		return Path{}, false
	}
	return Path{t.cmd.List[0].Ini, t.cmd.RelPort - 1}, t.cmd.RelPort >= 1 && t.cmd.RelPort <= t.dev.Ports
}

var bySA = map[int][]row{
	1: {
		{"5.13.9", "held by another",
			func(t *table) bool { return t.was.Type != 0 && !t.was.Holds(t.cmd.From) }, "CONFLICT", nil, n()},
		scopeRow(always),
		typeRow(always),
		{"5.13.9", "the holder wants another type",
			func(t *table) bool { return t.was.Type != 0 && t.was.Type != t.cmd.Type }, "CONFLICT", nil, n()},
		specRow(),
		{"5.13.9", "again", func(t *table) bool { return t.was.Type != 0 }, "GOOD", nil, n()},
		{"5.13.9", "reserve", always, "GOOD", func(t *table) { t.give(t.cmd.Type, t.cmd.From) }, n()},
	},
	2: {
		scopeRow(always),
		typeRow(always),
		specRow(),
		{"5.13.11.2.2", "nothing of the sender's to release",
			func(t *table) bool { return !t.was.Holds(t.cmd.From) }, "GOOD", nil, n()},
		{"5.13.11.2.2", "type does not match",
			func(t *table) bool { return t.was.Type != t.cmd.Type }, "05/26/04", nil, n()},
		{"5.13.11.2.2", "release", always, "GOOD", func(t *table) {
			if registrantsCount(t.was.Type) && !t.dev.NoUARe {
				t.tell("2A/04", func(Path) bool { return true })
			}
			t.give(0, Path{})
			t.now.Holder = Path{}
		}, n()},
	},
	3: {
		specRow(),
		{"5.13.11.2.7", "clear", always, "GOOD", func(t *table) {
			t.tell("2A/03", func(Path) bool { return true })
			for p := range t.was.Keys {
				t.ans.Allow[p] = true
			}
			t.now.Keys, t.now.Type, t.now.Holder = map[Path]Entry{}, 0, Path{}
		}, n()},
	},
	4: preempting(),
	5: preempting(),
	7: {
		{"5.13.8", "nothing to move",
			func(t *table) bool { return t.was.Type == 0 }, "05/24/00", nil, n()},
		{"5.13.8", "all registrants hold it",
			func(t *table) bool { return everybodyHolds(t.was.Type) }, "CONFLICT", nil, n()},
		{"5.13.8 table 70", "the sender does not hold it",
			func(t *table) bool { return t.was.Holder != t.cmd.From }, "CONFLICT", nil, n()},
		{"5.13.8 table 70", "zero key",
			func(t *table) bool { return t.cmd.SARK == 0 }, "05/26/00", nil, n()},
		{"6.16.4", "no such destination",
			func(t *table) bool { _, ok := t.destination(); return !ok }, "05/26/00", nil, n()},
		{"5.13.8", "to its own initiator port",
			func(t *table) bool { d, _ := t.destination(); return d.Ini == t.cmd.From.Ini }, "05/26/00", nil, n()},
		{"5.13.8", "no room",
			func(t *table) bool {
				d, _ := t.destination()
				return !t.was.has(d) && !t.cmd.Unreg && len(t.was.Keys) >= t.dev.Room
			}, "05/55/04", nil, n()},
		{"5.13.8", "register and move", always, "GOOD", func(t *table) {
			d, _ := t.destination()
			t.now.PTPL = t.cmd.APTPL
			t.now.Keys[d] = Entry{Key: t.cmd.SARK}
			t.now.Holder = d
			if t.cmd.Unreg {
				t.strike(t.cmd.From)
			}
		}, n()},
	},
	8: {
		{"5.13.1 table 66", "nothing lost, unregistered sender",
			func(t *table) bool { return !t.was.Lost && !t.was.has(t.cmd.From) }, "CONFLICT", nil, n()},
		{"5.13.11.3", "nothing lost",
			func(t *table) bool { return !t.was.Lost }, "05/26/04", nil, n()},
		scopeRow(always),
		typeRow(always),
		{"6.16.3", "reservation key not zero",
			func(t *table) bool { return t.cmd.RK != 0 }, "05/26/00", nil, n()},
		{"5.13.11.3", "no key to register",
			func(t *table) bool { return t.cmd.SARK == 0 }, "05/26/00", nil, n()},
		specRow(),
		{"6.16.3 table 216", "ALL_TG_PT where it is invalid",
			func(t *table) bool { return t.cmd.AllPorts }, "05/26/00", nil, n()},
		{"5.13.11.3", "replace", always, "GOOD", func(t *table) {
			t.now = World{Keys: map[Path]Entry{t.cmd.From: {Key: t.cmd.SARK}}, PTPL: t.cmd.APTPL}
			t.give(t.cmd.Type, t.cmd.From)
		}, n()},
	},
}

// events is everything that is not PERSISTENT RESERVE OUT.
var events = []row{
	{"5.13.5.3.2", "information lost, RESERVE or RELEASE of SPC-2",
		func(t *table) bool { return t.was.Lost && (t.cmd.Kind == "reserve" || t.cmd.Kind == "release") }, "07/44/01", nil, n()},
	{"5.13.3 a", "RESERVE or RELEASE of SPC-2 by a holder",
		func(t *table) bool {
			return (t.cmd.Kind == "reserve" || t.cmd.Kind == "release") && t.was.Holds(t.cmd.From)
		}, "GOOD", nil, n()},
	{"5.13.3 b", "RESERVE or RELEASE of SPC-2 by a registrant who has rights",
		func(t *table) bool {
			return (t.cmd.Kind == "reserve" || t.cmd.Kind == "release") && t.was.has(t.cmd.From) && registrantsCount(t.was.Type)
		}, "GOOD", nil, n()},
	{"SPC-2 5.5.1", "RESERVE or RELEASE of SPC-2 while registrations exist",
		func(t *table) bool {
			return (t.cmd.Kind == "reserve" || t.cmd.Kind == "release") && len(t.was.Keys) > 0
		}, "CONFLICT", nil, n()},
	{"SPC-2 7.21", "reserved by another",
		func(t *table) bool { return t.cmd.Kind == "reserve" && t.was.Old != nil && *t.was.Old != t.cmd.From }, "CONFLICT", nil, n()},
	{"SPC-2 7.21", "RESERVE",
		func(t *table) bool { return t.cmd.Kind == "reserve" }, "GOOD", func(t *table) { from := t.cmd.From; t.now.Old = &from }, n()},
	{"SPC-2 7.17", "RELEASE of what is not the sender's",
		func(t *table) bool { return t.cmd.Kind == "release" && (t.was.Old == nil || *t.was.Old != t.cmd.From) }, "GOOD", nil, n()},
	{"SPC-2 7.17", "RELEASE",
		func(t *table) bool { return t.cmd.Kind == "release" }, "GOOD", func(t *table) { t.now.Old = nil }, n()},
	{"5.13.1", "the nexus is lost",
		func(t *table) bool { return t.cmd.Kind == "nexus loss" }, "GOOD", func(t *table) {
			if t.was.Old != nil && *t.was.Old == t.cmd.From {
				t.now.Old = nil
			}
		}, n()},
	{"5.13.1", "the unit is reset",
		func(t *table) bool { return t.cmd.Kind == "reset" }, "GOOD", func(t *table) { t.now.Old = nil }, n()},
	{"5.13.5.1", "power cycle, persisting",
		func(t *table) bool { return t.cmd.Kind == "power cycle" && t.was.PTPL }, "GOOD", func(t *table) {
			t.now.Gen, t.now.Old = 0, nil
		}, n()},
	{"5.13.11.2.1", "power cycle",
		func(t *table) bool { return t.cmd.Kind == "power cycle" }, "GOOD", func(t *table) {
			t.now = World{Keys: map[Path]Entry{}, Lost: t.was.Lost}
		}, n()},
	{"(our own)", "the operator clears",
		func(t *table) bool { return t.cmd.Kind == "operator clear" }, "GOOD", func(t *table) {
			t.cmd.From = Path{-1, -1}
			t.tell("2A/03", func(Path) bool { return true })
			for p := range t.was.Keys {
				t.ans.Allow[p] = true
			}
			t.now = World{Keys: map[Path]Entry{}, Gen: t.was.Gen + 1, PTPL: t.was.PTPL}
		}, n()},
}
