package daemon

import (
	"context"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/pr"
)

// History reads the trail. Logins have one of their own, so that nobody who
// knocks at the door often enough can push reservation commands out of theirs.
func (c *control) History(_ context.Context, q admin.HistoryQuery) (admin.History, error) {
	trail, query := c.d.trail, audit.Query{
		LUN: q.LUN, Initiator: q.Initiator, Refused: q.Refused, Since: q.Since, Before: q.Before, Limit: q.Limit,
	}
	switch q.Kind {
	case "":
	case string(audit.KindLogin):
		trail = c.d.logins
	default:
		query.Kinds = []audit.Kind{audit.Kind(q.Kind)}
	}
	entries, more, err := trail.Find(query)
	if err != nil {
		return admin.History{}, err
	}
	h := admin.History{Entries: make([]admin.HistoryEntry, len(entries)), More: more}
	for i := range entries {
		h.Entries[i] = historyEntry(&entries[i])
	}
	return h, nil
}

func historyEntry(e *audit.Entry) admin.HistoryEntry {
	a := admin.HistoryEntry{
		Entry: e.Seq, Time: e.Time, Kind: string(e.Kind), LUN: e.LUN, Action: e.Action,
		Initiator: e.By.Initiator, Target: e.By.Target, Address: e.By.Peer, Operator: e.By.Operator,
		Granted: e.Result == audit.Granted, Result: e.Result, Reason: e.Reason, Text: audit.Words(*e),
	}
	if e.By.Initiator != "" {
		a.Host = audit.Host(e.By.Initiator)
	}
	if p := e.PR; p != nil {
		a.Changes = &admin.Changes{
			Key: p.Key.String(), ServiceKey: p.ServiceKey.String(), Type: p.Type,
			Before: outline(p.Before), After: outline(p.After),
			Added: portKeys(p.Added), Removed: portKeys(p.Removed), Changed: portKeys(p.Changed),
			Drain: p.Drain.Seconds(), Total: p.Total.Seconds(),
		}
	}
	return a
}

func outline(s audit.Summary) admin.Outline {
	o := admin.Outline{Condition: s.Condition, Generation: s.Generation, APTPL: s.APTPL, Registrations: s.Registrations, Type: s.Type}
	if o.Condition == "" {
		o.Condition = pr.Normal.String()
	}
	if s.Holder != nil {
		o.Holder, o.HolderHost = s.Holder.Initiator, audit.Host(s.Holder.Initiator)
	}
	return o
}

func portKeys(rs []audit.Right) []admin.PortKey {
	var all []admin.PortKey
	for _, r := range rs {
		all = append(all, admin.PortKey{Initiator: r.Initiator, Host: audit.Host(r.Initiator), Target: r.Target, Key: r.Key.String()})
	}
	return all
}
