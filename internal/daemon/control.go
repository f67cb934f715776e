package daemon

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/backstore"
	"nas-target/internal/config"
	"nas-target/internal/iscsi"
	"nas-target/internal/plain"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// control answers the admin API from the live objects.
type control struct {
	d     *Daemon
	rates rates
}

// Status takes a picture of everything.
func (c *control) Status(context.Context) admin.Status {
	d, state := c.d, c.d.now.Load()
	now := time.Now()
	s := admin.Status{
		Time: now, Version: Version, PID: os.Getpid(), Started: d.started, DataDir: d.dir.root,
		Ready: d.ready.Load() && state.complete(), Problems: d.problems(), LogLevel: d.logLevel(), Work: d.works.list(),
	}
	seen := d.sessions()
	s.Sessions = seen.list
	s.Portals = c.portals(state, seen)
	for i := range state.conf.Targets {
		s.Targets = append(s.Targets, c.target(state, &state.conf.Targets[i], seen, now))
	}
	// What a session did is what its nexus did at all units.
	for i := range s.Sessions {
		x := &s.Sessions[i]
		t := seen.totals[seen.nexuses[i]]
		x.ReadBytes, x.WriteBytes, x.Conflicts, x.Errors = t.ReadBytes, t.WriteBytes, t.Conflicts, t.Errors
	}
	return s
}

// sessions is what the iSCSI server knows of who is logged in.
type sessions struct {
	list    []admin.Session
	nexuses []pr.Nexus // of list, in its order
	byNexus map[pr.Nexus]*admin.Session
	portals map[string]int // sessions by portal address
	nodes   map[[2]string]int
	totals  map[pr.Nexus]scsi.Work // filled while the units are looked at
}

func (d *Daemon) sessions() *sessions {
	all := d.server.Sessions()
	s := &sessions{
		list: make([]admin.Session, len(all)), nexuses: make([]pr.Nexus, len(all)),
		byNexus: make(map[pr.Nexus]*admin.Session, len(all)), portals: map[string]int{},
		nodes: map[[2]string]int{}, totals: make(map[pr.Nexus]scsi.Work, len(all)),
	}
	for i := range all {
		x := &all[i]
		n := pr.Nexus{Initiator: pr.InitiatorPort(x.Initiator, x.ISID)}
		if !x.Discovery {
			n.Target = pr.TargetPort(x.Target, x.TPGT)
			s.byNexus[n] = &s.list[i]
		}
		s.nexuses[i] = n
		s.list[i] = session(x, n)
		s.portals[s.list[i].Portal]++
		s.nodes[[2]string{x.Target, x.Initiator}]++
	}
	return s
}

func session(x *iscsi.SessionState, n pr.Nexus) admin.Session {
	s := admin.Session{
		ID: strconv.FormatUint(x.ID, 10), Initiator: plain.Text(n.Initiator), Host: plain.Text(audit.Host(n.Initiator)),
		Alias: plain.Text(x.Alias), ISID: "0x" + x.ISID.String(), TSIH: x.TSIH, Target: n.Target, Since: x.Started,
		User: plain.Text(x.User), Connections: len(x.Conns),
	}
	for i := range x.Conns {
		k := &x.Conns[i]
		if i == 0 {
			s.Address, s.Portal = k.Remote.String(), k.Portal
		}
		s.Commands += k.Tasks
		if k.Tasks > 0 && (s.Oldest == nil || k.OldestTask.Seconds() > s.Oldest.Seconds) {
			lun, _ := k.OldestLUN.Index()
			s.Oldest = &admin.Command{Name: scsi.CommandName(k.OldestCDB), LUN: lun, Seconds: k.OldestTask.Seconds()}
		}
	}
	return s
}

func (c *control) portals(now *running, seen *sessions) []admin.Portal {
	var all []admin.Portal
	for _, p := range now.portals {
		portal := admin.Portal{Group: p.group, Address: p.name(), Sessions: seen.portals[p.name()]}
		if at, ok := c.d.server.Addr(p.name()).(interface{ AddrPort() netip.AddrPort }); ok {
			portal.Address = at.AddrPort().String()
		} else if portal.Error = "it is not open"; p.failure != nil {
			portal.Error = plain.Text(p.failure.Error())
		}
		all = append(all, portal)
	}
	return all
}

func (c *control) target(now *running, t *config.Target, seen *sessions, at time.Time) admin.Target {
	a := admin.Target{
		Name: t.Name, Alias: plain.Text(t.Alias), PortalGroups: groupsOf(t, now.conf), Access: string(t.Access),
		Initiators: []admin.Initiator{}, LUNs: []admin.LUN{},
	}
	for _, i := range t.Initiators {
		row := admin.Initiator{Name: i.Name, Target: t.Name, LUNs: i.LUNs, User: i.CHAP.User, Sessions: seen.nodes[[2]string{t.Name, i.Name}]}
		for _, n := range i.Networks {
			row.Networks = append(row.Networks, n.String())
		}
		a.Initiators = append(a.Initiators, row)
	}
	for i := range t.LUNs {
		conf := &t.LUNs[i]
		l := admin.LUN{Name: conf.Name, Target: t.Name, LUN: conf.LUN, Backstore: conf.Backstore, BlockSize: conf.BlockSize}
		if u := now.units[conf.Name]; u != nil {
			c.lunOf(&l, u, seen, at)
		} else {
			l.Absent, l.Failure = true, plain.Text(now.missing[conf.Name].Error())
			l.Reservations = unknown(conf.Name)
		}
		l.Version = version(l.Bytes, l.Failure)
		a.LUNs = append(a.LUNs, l)
	}
	slices.SortFunc(a.LUNs, func(a, b admin.LUN) int { return cmp.Compare(a.LUN, b.LUN) })
	return a
}

// lunOf fills in what a unit knows of itself.
func (c *control) lunOf(l *admin.LUN, u *unit, seen *sessions, at time.Time) {
	st := u.scsi.State()
	for _, n := range st.Nexuses {
		sum := seen.totals[n.Nexus]
		sum.Add(&n.Work)
		seen.totals[n.Nexus] = sum
	}
	id := u.scsi.ID()
	l.UUID, l.NAA, l.Serial = uuid(id.UUID).String(), hex.EncodeToString(id.NAA), id.Serial
	l.Failure = u.failure(&st)
	if u.absent != nil {
		l.Absent, l.Reservations = true, unknown(u.name)
		return
	}
	l.Bytes, l.BlockSize, l.WriteCache, l.ReadOnly = u.bytes(&st), int(st.BlockSize), st.WriteCache, st.ReadOnly
	l.Volatile = l.Backstore == "ram" || l.Backstore == "null"
	l.Allocated = u.space.allocated(u.scsi.Allocated)
	l.Traffic = traffic(&st.Total)
	l.Traffic.Now = c.rates.note(u.name, at, st.Total)
	l.Reservations = c.d.reservations(u, &st, seen)
}

// unknown are the reservations of a LUN that is not open.
func unknown(lun string) admin.Reservations {
	return admin.Reservations{
		Version: version(lun), LUN: lun, Condition: pr.NotReady.String(),
		Registrations: []admin.Registration{}, Others: []admin.Bystander{}, Findings: []admin.Problem{},
	}
}

func (u *unit) bytes(st *scsi.UnitState) int64 { return int64(st.Blocks) * int64(st.BlockSize) }

// failure says why u refuses writes, or everything.
func (u *unit) failure(st *scsi.UnitState) string {
	switch f, ok := u.store.(backstore.Failing); {
	case u.absent != nil:
		return plain.Text(u.absent.Error())
	case ok && f.Failure() != nil:
		return plain.Text(f.Failure().Error())
	case st.Failure != nil:
		return plain.Text(st.Failure.Error())
	case st.NotReady != nil:
		return plain.Text(st.NotReady.Error())
	}
	return ""
}

func traffic(t *scsi.Totals) admin.Traffic {
	a := admin.Traffic{ReadBytes: t.ReadBytes, WriteBytes: t.WriteBytes, Errors: t.Errors, Conflicts: t.Conflicts}
	for _, class := range scsi.OpClasses() {
		switch n := t.Commands[class]; class {
		case scsi.ClassRead:
			a.Reads += n
		case scsi.ClassWrite:
			a.Writes += n
		default:
			a.Others += n
		}
	}
	return a
}

// version sums up what a change must have seen.
func version(parts ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v", parts))
	return hex.EncodeToString(sum[:8])
}

// stateVersion sums up a reservation state.
func stateVersion(s pr.State) string { return version(s) }
