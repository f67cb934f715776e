package daemon

import (
	"cmp"
	"encoding/hex"
	"slices"

	"nas-target/internal/audit"
	"nas-target/internal/metrics"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// figures is what a scrape sees.
func (d *Daemon) figures() metrics.Snapshot {
	trail, logins := d.trail.Stats(), d.logins.Stats()
	s := metrics.Snapshot{Started: d.started, Ready: d.ready.Load(), LogLinesDropped: d.news.left.count(), Audit: metrics.Audit{
		Written: trail.Written + logins.Written, Lost: trail.Lost + logins.Lost, Failed: trail.Failed + logins.Failed,
		Failing: trail.Failing != nil || logins.Failing != nil,
	}}
	now := d.now.Load()
	for _, p := range now.portals {
		s.Portals = append(s.Portals, metrics.Portal{Address: p.name(), Group: p.group, Up: d.server.Addr(p.name()) != nil})
	}
	byName := map[string]*metrics.Target{}
	s.Targets = make([]metrics.Target, len(now.conf.Targets))
	for i := range now.conf.Targets {
		t := &now.conf.Targets[i]
		s.Targets[i].Name = t.Name
		byName[t.Name] = &s.Targets[i]
		for j := range t.LUNs {
			l := &t.LUNs[j]
			f := metrics.LUN{Name: l.Name, Failed: true}
			if u := now.units[l.Name]; u != nil {
				f = u.figures(d.trail)
			}
			f.Target, f.Number, f.Backstore = t.Name, l.LUN, l.Backstore
			s.LUNs = append(s.LUNs, f)
		}
	}
	for _, x := range d.server.Sessions() {
		t := byName[x.Target]
		if t == nil || x.Discovery {
			continue
		}
		t.Sessions++
		for i := range x.Conns {
			t.Commands += x.Conns[i].Tasks
			t.Oldest = max(t.Oldest, x.Conns[i].OldestTask)
		}
	}
	return s
}

func (u *unit) figures(trail *audit.Trail) metrics.LUN {
	st, id := u.scsi.State(), u.scsi.ID()
	l := metrics.LUN{
		Name: u.name, UUID: uuid(id.UUID).String(), NAA: hex.EncodeToString(id.NAA),
		Bytes: u.bytes(&st), WriteCache: st.WriteCache, Failed: u.failure(&st) != "", Total: st.Total,
	}
	l.Allocated = u.space.allocated(u.scsi.Allocated)

	s := u.scsi.Reservations().State()
	live := make(map[pr.Nexus]bool, len(st.Nexuses))
	sessions := make([]audit.Live, len(st.Nexuses))
	for i, n := range st.Nexuses {
		live[n.Nexus] = true
		sessions[i] = audit.Live{Nexus: n.Nexus, Conflicts: n.Work.Conflicts}
	}
	l.Registrations, l.Generation, l.Known = len(s.Registrations), s.Generation, s.Condition == pr.Normal
	for _, r := range s.Registrations {
		if live[r.Nexus] {
			l.Live++
		}
	}
	if t := s.Reservation.Type; t != 0 {
		l.Type, l.Holder, l.HolderLive = t.String(), pr.Node(s.Reservation.Holder.Initiator), live[s.Reservation.Holder]
		if t.AllRegistrants() {
			l.HolderLive = l.Live > 0
		}
	}
	l.Findings = findings(audit.Diagnose(s, sessions, trail.Origins(u.scsi.Reservations().ID())))
	return l
}

// findings counts by code and severity.
func findings(all []audit.Finding) []metrics.Finding {
	n := map[metrics.Finding]int{}
	for _, f := range all {
		n[metrics.Finding{Code: string(f.Code), Severity: string(f.Severity)}] += max(1, f.More)
	}
	var counted []metrics.Finding
	for f, count := range n {
		f.Count = count
		counted = append(counted, f)
	}
	slices.SortFunc(counted, func(a, b metrics.Finding) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Severity, b.Severity))
	})
	return counted
}

// count lets the metrics hear of commands that were refused or aborted.
func (d *Daemon) count(lun string, e *scsi.Events) {
	refused, aborted := e.Refused, e.Aborted
	e.Refused = func(t *scsi.Task) {
		refused(t)
		if t.Status == scsi.ReservationConflict {
			d.metrics.Conflict(lun, t.Nexus())
		}
	}
	e.Aborted = func(u *scsi.Unit, n scsi.Nexus, count int, why scsi.Reason) {
		aborted(u, n, count, why)
		d.metrics.Aborted(lun, count, why)
	}
}
