package daemon

import (
	"strings"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/plain"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// reservations tells who holds u, since when, and what is wrong with it.
func (d *Daemon) reservations(u *unit, st *scsi.UnitState, seen *sessions) admin.Reservations {
	units := u.scsi.Reservations()
	s, access := units.State(), units.Access()
	origins := d.trail.Origins(units.ID())
	conflicts := make(map[pr.Nexus]uint64, len(st.Nexuses))
	live := make([]audit.Live, len(st.Nexuses))
	for i, n := range st.Nexuses {
		conflicts[n.Nexus] = n.Work.Conflicts
		live[i] = audit.Live{Nexus: n.Nexus, Conflicts: n.Work.Conflicts}
	}

	r := admin.Reservations{
		Version: stateVersion(s), LUN: u.name, Condition: s.Condition.String(), Generation: s.Generation, APTPL: s.APTPL,
		Legacy:        plain.Text(s.Legacy.Initiator),
		Registrations: make([]admin.Registration, 0, len(s.Registrations)), Others: []admin.Bystander{}, Findings: []admin.Problem{},
	}
	if t := s.Reservation.Type; t != 0 {
		r.Type, r.AllRegistrants = t.String(), t.AllRegistrants()
		if h := s.Reservation.Holder; h != (pr.Nexus{}) {
			r.Holder, r.HolderHost = plain.Text(h.Initiator), plain.Text(audit.Host(h.Initiator))
			_, r.HolderLive = conflicts[h]
		}
		if origins != nil {
			r.Made = made(origins.Reservation)
		}
	}
	registered := make(map[pr.Nexus]bool, len(s.Registrations))
	for _, reg := range s.Registrations {
		registered[reg.Nexus] = true
		r.Registrations = append(r.Registrations, registration(reg, s, access, origins, conflicts, seen))
	}
	for _, n := range st.Nexuses {
		if registered[n.Nexus] {
			continue
		}
		b := admin.Bystander{
			Initiator: plain.Text(n.Nexus.Initiator), Host: plain.Text(audit.Host(n.Nexus.Initiator)), ISID: plain.Text(audit.ISID(n.Nexus.Initiator)),
			Target: n.Nexus.Target, Access: accessOf(access, n.Nexus), Conflicts: n.Work.Conflicts,
		}
		if x := seen.byNexus[n.Nexus]; x != nil {
			b.Session, b.Address = x.ID, x.Address
		}
		r.Others = append(r.Others, b)
	}
	for _, f := range audit.Diagnose(s, live, origins) {
		r.Findings = append(r.Findings, admin.Problem{
			Severity: admin.Severity(f.Severity), Code: string(f.Code), Subject: f.Nexus.Initiator, Text: f.Text, Advice: f.Advice, Since: f.At,
		})
	}
	return r
}

func registration(g pr.Registration, s pr.State, access *pr.Access, origins *audit.Origins, live map[pr.Nexus]uint64, seen *sessions) admin.Registration {
	a := admin.Registration{
		Initiator: plain.Text(g.Initiator), Host: plain.Text(audit.Host(g.Initiator)), ISID: plain.Text(audit.ISID(g.Initiator)),
		Target: plain.Text(g.Target), Group: groupOf(g.Target), Key: g.Key.String(), AllPorts: g.AllTargetPorts,
		Holder: s.Reservation.Type.AllRegistrants() || s.Reservation.Type != 0 && s.Reservation.Holder == g.Nexus, Access: accessOf(access, g.Nexus),
	}
	a.Conflicts, a.Live = live[g.Nexus]
	if x := seen.byNexus[g.Nexus]; x != nil && a.Live {
		a.Session, a.Address = x.ID, x.Address
	}
	if at, ok := origins.Registered(audit.Shown(g.Nexus)); ok {
		a.Made = made(at)
	}
	return a
}

// groupOf reads the portal group tag off a target port name.
func groupOf(port string) (tag uint16) {
	i := strings.LastIndex(port, ",t,0x")
	if i < 0 {
		return 0
	}
	for _, c := range port[i+len(",t,0x"):] {
		digit := strings.IndexRune("0123456789abcdef", c)
		if digit < 0 {
			return 0
		}
		tag = tag<<4 | uint16(digit)
	}
	return tag
}

func accessOf(a *pr.Access, n pr.Nexus) admin.Access {
	switch r := a.Rights(n); {
	case r.Allows(pr.Write):
		return admin.MayWrite
	case r.Allows(pr.Read):
		return admin.MayRead
	}
	return admin.MayNot
}

func made(o audit.Origin) admin.Origin {
	if o.Seq == 0 {
		return admin.Origin{}
	}
	return admin.Origin{Since: o.Time, Command: audit.Spelled(o.Action), By: o.By.Who(), Entry: o.Seq}
}
