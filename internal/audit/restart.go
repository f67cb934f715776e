package audit

import (
	"cmp"
	"slices"
	"time"

	"nas-target/internal/plain"
	"nas-target/internal/pr"
)

// found makes the entry that tells what a start of the daemon found changed
// since the trail's last word. ok is false if nothing changed, or if the trail
// does not know the unit.
func (o *Origins) found(unit, lun string, s pr.State, at time.Time) (e Entry, ok bool) {
	if o == nil {
		return Entry{}, false
	}
	now := summary(s)
	e = Entry{Time: at, Kind: KindPR, Action: ActionRestart, Unit: unit, LUN: plain.Text(lun), Result: Granted, PR: &PR{Before: o.Last, After: now}}
	if s.Condition != pr.Normal {
		return e, now.Condition != o.Last.Condition
	}
	standing := make(map[pr.Nexus]bool, len(s.Registrations))
	for _, r := range s.Registrations {
		standing[right(r).nexus()] = true
	}
	var removed []Right
	for n, was := range o.Registrations {
		if !standing[n] {
			removed = append(removed, Right{n.Initiator, n.Target, was.Key})
		}
	}
	if len(removed) == 0 && now.Type == o.Last.Type && sameHolder(now.Holder, o.Last.Holder) && now.Condition == o.Last.Condition {
		return Entry{}, false
	}
	slices.SortFunc(removed, func(a, b Right) int {
		return cmp.Or(cmp.Compare(a.Initiator, b.Initiator), cmp.Compare(a.Target, b.Target))
	})
	e.PR.Removed = removed
	return e, true
}
