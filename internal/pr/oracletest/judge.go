package oracletest

import "sync/atomic"

// row is one line of a table.
type row struct {
	clause string
	name   string
	when   func(*table) bool
	status string
	then   func(*table) // nil if nothing changes
	hits   *atomic.Int64
}

// table is one command being judged.
type table struct {
	dev Device
	cmd Command
	was World  // as it was
	now World  // as it will be
	ans Answer // filled by then
}

// Rows returns how often each row decided, by "clause: name".
func Rows() map[string]int64 {
	out := map[string]int64{}
	for _, t := range allTables() {
		for _, r := range t {
			out[r.clause+": "+r.name] += r.hits.Load()
		}
	}
	return out
}

func allTables() [][]row {
	all := [][]row{before, registering, authorised, events}
	for _, t := range bySA {
		all = append(all, t)
	}
	return all
}

// Judge says what cmd must do to w.
func Judge(w World, dev Device, cmd Command) Answer {
	t := &table{dev: dev, cmd: cmd, was: w, now: w.copy()}
	t.ans.UA, t.ans.UA2 = map[Path]string{}, map[Path]string{}
	t.ans.Abort, t.ans.Allow = map[Path]bool{}, map[Path]bool{}

	var chain [][]row
	switch {
	case cmd.Kind != "out":
		chain = [][]row{events}
	case cmd.SA == 0 || cmd.SA == 6:
		chain = [][]row{before, registering}
	case cmd.SA == 8:
		chain = [][]row{before, bySA[8]}
	default:
		chain = [][]row{before, authorised, bySA[cmd.SA]}
	}
	for _, rows := range chain {
		for i := range rows {
			r := &rows[i]
			if !r.when(t) {
				continue
			}
			r.hits.Add(1)
			t.ans.Status, t.ans.Row = r.status, r.clause+": "+r.name
			if r.then != nil {
				r.then(t)
			}
			if t.ans.Status == "GOOD" && cmd.Kind == "out" {
				t.count()
			}
			t.ans.After = t.now
			return t.ans
		}
	}
	panic("no row for the command: the table has a hole")
}

// count is 6.15.2 with table 213.
func (t *table) count() {
	switch t.cmd.SA {
	case 0, 3, 4, 5, 6, 7:
		t.now.Gen = t.was.Gen + 1
	case 1, 2:
		t.now.Gen = t.was.Gen
	case 8:
		t.now.Gen = 0
	}
}

func (t *table) tell(asc string, who func(Path) bool) {
	// Everybody who was or is registered can be told.
	for p := range t.was.Keys {
		if p != t.cmd.From && who(p) {
			if t.ans.UA[p] == "" {
				t.ans.UA[p] = asc
			} else {
				t.ans.UA2[p] = asc
			}
		}
	}
}

// strike removes a registration. 5.13.10: when the holder is gone so is the
// reservation, when there are several holders when the last is.
func (t *table) strike(p Path) {
	held := t.now.Holds(p)
	delete(t.now.Keys, p)
	if held && (!everybodyHolds(t.now.Type) || len(t.now.Keys) == 0) {
		t.now.Type, t.now.Holder = 0, Path{}
	}
}

func (t *table) give(typ int, to Path) {
	t.now.Type, t.now.Holder = typ, Path{}
	if !everybodyHolds(typ) {
		t.now.Holder = to
	}
}
