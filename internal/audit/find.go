package audit

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"nas-target/internal/pr"
)

// Query selects entries. The zero value asks for the newest DefaultLimit of
// every kind.
type Query struct {
	Kinds     []Kind    // empty: all
	LUN       string    // by name
	Initiator string    // port name, node name, or the part Host gives; who asked or whose right changed
	Refused   bool      // only what was refused
	Since     time.Time // not older; zero: as old as there is
	Before    uint64    // entries with a smaller Seq; 0: from the newest
	Limit     int       // 0: DefaultLimit; at most MaxLimit
}

const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Find returns the entries that match q, newest first. more is true if there
// are older ones.
func (t *Trail) Find(q Query) (found []Entry, more bool, err error) {
	t.Written()
	limit := q.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	all, err := segments(t.o.Dir)
	if err != nil {
		return nil, false, err
	}
	for _, s := range slices.Backward(all) {
		if q.Before != 0 && s.first >= q.Before {
			continue
		}
		lines, err := s.lines()
		if err != nil {
			return nil, false, err
		}
		for _, line := range slices.Backward(lines) {
			if !q.mayMatch(line) {
				continue
			}
			var e Entry
			if json.Unmarshal(line, &e) != nil || e.Seq == 0 {
				continue // the head, or damaged
			}
			if !q.Since.IsZero() && e.Time.Before(q.Since) {
				return found, false, nil
			}
			if !q.matches(&e) {
				continue
			}
			if len(found) == limit {
				return found, true, nil
			}
			found = append(found, e)
		}
	}
	return found, false, nil
}

// mayMatch spares decoding most lines that do not match.
func (q *Query) mayMatch(line []byte) bool {
	if q.LUN == "" {
		return true
	}
	name, _ := json.Marshal(q.LUN)
	return bytes.Contains(line, name)
}

func (q *Query) matches(e *Entry) bool {
	switch {
	case len(q.Kinds) > 0 && !slices.Contains(q.Kinds, e.Kind),
		q.LUN != "" && e.LUN != q.LUN,
		q.Refused && e.Result == Granted,
		q.Before != 0 && e.Seq >= q.Before:
		return false
	}
	return q.Initiator == "" || e.concerns(q.Initiator)
}

// concerns reports whether the machine asked for e, or e changed a right of it.
func (e *Entry) concerns(machine string) bool {
	is := func(port string) bool {
		return port != "" && (strings.EqualFold(port, machine) || strings.EqualFold(pr.Node(port), machine) || strings.EqualFold(Host(port), machine))
	}
	if is(e.By.Initiator) {
		return true
	}
	if e.PR == nil {
		return false
	}
	for _, list := range [3][]Right{e.PR.Added, e.PR.Removed, e.PR.Changed} {
		if slices.ContainsFunc(list, func(r Right) bool { return is(r.Initiator) }) {
			return true
		}
	}
	return false
}
