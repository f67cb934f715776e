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
	d := c.d
	now := time.Now()
	s := admin.Status{
		Time: now, Version: Version, PID: os.Getpid(), Started: d.started, DataDir: d.dir.root,
		Ready: d.ready.Load(), Problems: d.problems(), LogLevel: d.logLevel(),
	}
	seen := d.sessions()
	s.Sessions = seen.list
	s.Portals = c.portals(seen)
	for _, t := range d.targets {
		s.Targets = append(s.Targets, c.target(t, seen, now))
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
		Connections: len(x.Conns),
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

func (c *control) portals(seen *sessions) []admin.Portal {
	var all []admin.Portal
	for _, p := range c.d.conf.Portals {
		for _, a := range p.Listen {
			portal := admin.Portal{Group: p.Group, Address: a.String(), Sessions: seen.portals[a.String()]}
			if at, ok := c.d.server.Addr(a.String()).(interface{ AddrPort() netip.AddrPort }); ok {
				portal.Address = at.AddrPort().String()
			} else {
				portal.Error = "it is not open"
			}
			all = append(all, portal)
		}
	}
	return all
}

func (c *control) target(t *target, seen *sessions, now time.Time) admin.Target {
	a := admin.Target{
		Name: t.conf.Name, Alias: plain.Text(t.conf.Alias), PortalGroups: t.groups, Access: string(t.conf.Access),
		Initiators: []admin.Initiator{}, LUNs: []admin.LUN{},
	}
	for _, i := range t.conf.Initiators {
		row := admin.Initiator{Name: i.Name, Target: t.conf.Name, LUNs: i.LUNs, Sessions: seen.nodes[[2]string{t.conf.Name, i.Name}]}
		for _, n := range i.Networks {
			row.Networks = append(row.Networks, n.String())
		}
		a.Initiators = append(a.Initiators, row)
	}
	for i := range t.conf.LUNs {
		conf := &t.conf.LUNs[i]
		u := c.d.units[conf.Name]
		st := u.scsi.State()
		for _, n := range st.Nexuses {
			sum := seen.totals[n.Nexus]
			sum.Add(&n.Work)
			seen.totals[n.Nexus] = sum
		}
		id := u.scsi.ID()
		l := admin.LUN{
			Name: conf.Name, Target: t.conf.Name, LUN: conf.LUN, UUID: uuid(id.UUID).String(),
			NAA: hex.EncodeToString(id.NAA), Serial: id.Serial, Backstore: conf.Backstore,
			Bytes: u.bytes(&st), BlockSize: int(st.BlockSize), WriteCache: st.WriteCache, Volatile: conf.Backstore == "ram" || conf.Backstore == "null",
			ReadOnly: st.ReadOnly, Failure: u.failure(&st),
			Traffic:      traffic(&st.Total),
			Reservations: c.d.reservations(u, &st, seen),
		}
		l.Allocated = u.space.allocated(u.scsi.Allocated)
		l.Traffic.Now = c.rates.note(conf.Name, now, st.Total)
		l.Version = version(l.Bytes, l.Failure)
		a.LUNs = append(a.LUNs, l)
	}
	slices.SortFunc(a.LUNs, func(a, b admin.LUN) int { return cmp.Compare(a.LUN, b.LUN) })
	return a
}

func (u *unit) bytes(st *scsi.UnitState) int64 { return int64(st.Blocks) * int64(st.BlockSize) }

// failure says why u refuses writes.
func (u *unit) failure(st *scsi.UnitState) string {
	switch f, ok := u.store.(backstore.Failing); {
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
