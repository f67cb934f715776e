package admintest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"nas-target/internal/admin"
)

// Target is the name of the cluster's target.
const Target = "iqn.2026-11.com.example:cluster"

// Noon is when things happened in a Cluster that New makes.
var Noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Cluster is a Control. Change Now under Lock, and tell with Feed.
type Cluster struct {
	sync.Mutex
	noon    time.Time
	Now     admin.Status
	Entries []admin.HistoryEntry // oldest first
	Before  []admin.Past
	Feed    *admin.Feed

	Changes []Applied // what Apply was asked for
	Fail    error     // what Apply answers, if not nil
}

// Applied is one call of Apply.
type Applied struct {
	By        string
	IfVersion string
	Change    admin.Change
}

// New returns a cluster of two Windows nodes with two paths each, a witness and
// a shared disk; node1 holds the witness.
func New() *Cluster { return NewAt(Noon) }

// NewAt returns such a cluster whose story happened about noon.
func NewAt(noon time.Time) *Cluster {
	c := &Cluster{noon: noon, Feed: admin.NewFeed(256)}
	c.Now = admin.Status{
		Time: noon.Add(2 * time.Hour), Version: "1.2.3", PID: 4711, Started: noon.Add(-72 * time.Hour), DataDir: "/var/lib/nas-target", Ready: true, LogLevel: "info",
		Portals: []admin.Portal{{Group: 1, Address: "192.0.2.5:3260", Sessions: 2}, {Group: 2, Address: "198.51.100.5:3260", Sessions: 2}},
		Targets: []admin.Target{{
			Name: Target, Alias: "cluster storage", PortalGroups: []uint16{1, 2}, Access: "listed",
			Initiators: []admin.Initiator{
				{Name: Node("node1"), Target: Target, Networks: []string{"192.0.2.0/24", "198.51.100.0/24"}, Sessions: 2},
				{Name: Node("node2"), Target: Target, User: "node2", LUNs: []uint16{0, 1}, Sessions: 2},
			},
			LUNs: []admin.LUN{lun(0, "witness", 1<<30), lun(1, "shared", 10<<40)},
		}},
	}
	for i, host := range []string{"node1", "node2"} {
		for path := 1; path <= 2; path++ {
			c.Login(host, path, byte(2*i+path))
		}
	}
	w := c.LUN("witness")
	w.Traffic = admin.Traffic{Reads: 812, Writes: 4096, ReadBytes: 3 << 20, WriteBytes: 16 << 20,
		Now: &admin.Rate{Reads: 1, Writes: 3, ReadBytes: 4096, WriteBytes: 12288, ReadLatency: 0.00021, WriteLatency: 0.0009}}
	s := c.LUN("shared")
	s.Allocated = 3 << 40
	s.Traffic = admin.Traffic{Reads: 91_234_567, Writes: 45_000_321, ReadBytes: 7 << 40, WriteBytes: 2 << 40, Conflicts: 3,
		Now: &admin.Rate{Reads: 18_400, Writes: 9_200, ReadBytes: 301 << 20, WriteBytes: 150 << 20, ReadLatency: 0.00018, WriteLatency: 0.00064}}
	for i, host := range []string{"node1", "node2"} {
		c.Register("witness", host, uint64(0x1000+i), 1)
		c.Register("shared", host, uint64(0x1000+i), 2)
	}
	c.Reserve("witness", "node1", "write-exclusive-registrants-only", c.noon.Add(2*time.Minute))
	c.Reserve("shared", "node2", "write-exclusive-registrants-only", c.noon.Add(5*time.Minute))
	for _, l := range c.Now.Targets[0].LUNs {
		c.Before = append(c.Before, PastOf(l.Name, *l.Traffic.Now, c.Now.Time))
	}
	return c
}

// PastOf is ten minutes of a disk that does about what it does now.
func PastOf(name string, now admin.Rate, end time.Time) admin.Past {
	p := admin.Past{LUN: name}
	chance := rand.New(rand.NewPCG(uint64(len(name)), 7)) // the same every time
	load, slow := 0.7, 1.0
	for i := range 120 {
		load = min(1.2, max(0.2, load+0.16*(chance.Float64()-0.5)+0.03*math.Sin(float64(i)/14)))
		slow = min(2, max(0.8, slow+0.2*(chance.Float64()-0.53)))
		p.Points = append(p.Points, admin.Moment{Time: end.Add(time.Duration(i-120) * 5 * time.Second), Rate: admin.Rate{
			Reads: now.Reads * load, ReadBytes: now.ReadBytes * load, ReadLatency: now.ReadLatency * slow,
			Writes: now.Writes * (1.6 - load), WriteBytes: now.WriteBytes * (1.6 - load), WriteLatency: now.WriteLatency * slow * slow,
		}})
	}
	return p
}

// Node is the iSCSI name of a host.
func Node(host string) string { return "iqn.1991-05.com.microsoft:" + host }

// Port is the initiator port name of a host's session.
func Port(host string, isid byte) string {
	return fmt.Sprintf("%s,i,0x4000013700%02x", Node(host), isid)
}

func lun(n uint16, name string, size int64) admin.LUN {
	id := sha256.Sum256([]byte(name))
	return admin.LUN{
		Name: name, Target: Target, LUN: n, Backstore: "file", Bytes: size, BlockSize: 512, WriteCache: true,
		UUID: fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16]),
		NAA:  "3" + hex.EncodeToString(id[:8])[1:], Serial: hex.EncodeToString(id[:8]),
		Reservations: admin.Reservations{LUN: name, Condition: "normal", APTPL: true,
			Registrations: []admin.Registration{}, Others: []admin.Bystander{}, Findings: []admin.Problem{}},
	}
}

// LUN returns a LUN to be changed.
func (c *Cluster) LUN(name string) *admin.LUN {
	for i := range c.Now.Targets {
		for j := range c.Now.Targets[i].LUNs {
			if l := &c.Now.Targets[i].LUNs[j]; l.Name == name {
				return l
			}
		}
	}
	return nil
}

// Login adds a session of a host through portal group path.
func (c *Cluster) Login(host string, path int, isid byte) *admin.Session {
	id := fmt.Sprint(len(c.Now.Sessions) + 1)
	net := []string{"192.0.2", "198.51.100"}[(path-1)%2]
	c.Now.Sessions = append(c.Now.Sessions, admin.Session{
		ID: id, Initiator: Port(host, isid), Host: host, ISID: fmt.Sprintf("0x4000013700%02x", isid), TSIH: uint16(len(c.Now.Sessions) + 1),
		Target: fmt.Sprintf("%s,t,0x%04x", Target, path), Address: fmt.Sprintf("%s.%d:49%03d", net, 10+isid, isid),
		Portal: net + ".5:3260", Since: c.noon.Add(time.Minute), Connections: 1, ReadBytes: 1 << 30, WriteBytes: 5 << 30,
	})
	return &c.Now.Sessions[len(c.Now.Sessions)-1]
}

// Register registers the sessions of a host, up to paths of them.
func (c *Cluster) Register(name, host string, key uint64, paths int) {
	r := &c.LUN(name).Reservations
	for _, s := range c.Now.Sessions {
		if s.Host != host || paths == 0 {
			continue
		}
		paths--
		r.Generation++
		r.Registrations = append(r.Registrations, admin.Registration{
			Initiator: s.Initiator, Host: host, ISID: s.ISID, Target: s.Target, Group: (s.TSIH-1)%2 + 1, Key: fmt.Sprintf("0x%016x", key),
			Access: admin.MayWrite, Live: true, Session: s.ID, Address: s.Address,
			Made: admin.Origin{Since: c.noon.Add(time.Minute), Command: "REGISTER", By: host, Entry: uint64(len(c.Entries) + 1)},
		})
		c.tell(admin.HistoryEntry{LUN: name, Action: "register", Initiator: s.Initiator, Host: host, Target: s.Target, Address: s.Address,
			Text: fmt.Sprintf("%s registered key 0x%016x on %s", host, key, name)}, c.noon.Add(time.Minute))
	}
}

// Reserve makes the first registration of host the holder.
func (c *Cluster) Reserve(name, host, kind string, at time.Time) {
	r := &c.LUN(name).Reservations
	before := r.Outline()
	for i := range r.Registrations {
		g := &r.Registrations[i]
		g.Holder = false
		if g.Host == host && r.HolderHost != host {
			g.Holder, r.HolderHost, r.Holder, r.HolderLive, r.Type = true, host, g.Initiator, g.Live, kind
			r.Made = admin.Origin{Since: at, Command: "RESERVE", By: host, Entry: uint64(len(c.Entries) + 1)}
			c.tell(admin.HistoryEntry{LUN: name, Action: "reserve", Initiator: g.Initiator, Host: host, Address: g.Address,
				Text:    fmt.Sprintf("%s reserved %s, %s", host, name, kind),
				Changes: &admin.Changes{Key: g.Key, Type: kind, Before: before, After: r.Outline()}}, at)
		}
	}
}

// Preempt lets winner take the LUN from loser, whose registrations go.
func (c *Cluster) Preempt(name, winner, loser string, at time.Time) {
	c.Lock()
	defer c.Unlock()
	r := &c.LUN(name).Reservations
	before := r.Outline()
	var removed []admin.PortKey
	r.Registrations = slices.DeleteFunc(r.Registrations, func(g admin.Registration) bool {
		if g.Host != loser {
			return false
		}
		removed = append(removed, admin.PortKey{Initiator: g.Initiator, Host: g.Host, Target: g.Target, Key: g.Key})
		r.Others = append(r.Others, admin.Bystander{Initiator: g.Initiator, Host: g.Host, ISID: g.ISID, Target: g.Target,
			Session: g.Session, Address: g.Address, Access: admin.MayRead, Conflicts: 7})
		return true
	})
	r.Generation++
	var by admin.Registration
	for i := range r.Registrations {
		if g := &r.Registrations[i]; g.Host == winner && by.Host == "" {
			g.Holder, r.HolderHost, r.Holder, r.HolderLive = true, winner, g.Initiator, true
			by = *g
		}
	}
	r.Made = admin.Origin{Since: at, Command: "PREEMPT AND ABORT", By: winner, Entry: uint64(len(c.Entries) + 1)}
	r.Findings = []admin.Problem{{Severity: admin.Warning, Code: "preempted", Subject: loser, Since: at,
		Text:   fmt.Sprintf("%s lost its registration to a PREEMPT AND ABORT of %s and may not write. 7 of its commands were refused.", loser, winner),
		Advice: "That is fencing at work. Let the cluster software bring it back: it registers again when it may."}}
	text := fmt.Sprintf("%s preempted key %s on %s and aborted its commands: %s lost its registration; %s holds it now, %s", winner, removed[0].Key, name, loser, winner, r.Type)
	c.tell(admin.HistoryEntry{LUN: name, Action: "preempt-and-abort", Initiator: by.Initiator, Host: winner, Target: by.Target, Address: by.Address, Text: text,
		Changes: &admin.Changes{Key: by.Key, ServiceKey: removed[0].Key, Type: r.Type, Before: before, After: r.Outline(), Removed: removed, Drain: 0.012, Total: 0.019}}, at)
	c.Feed.Publish(admin.Event{Time: at, Kind: "pr", Severity: admin.Warning, LUN: name, Initiator: by.Initiator, Text: text, Entry: uint64(len(c.Entries))})
}

func (c *Cluster) tell(e admin.HistoryEntry, at time.Time) {
	e.Entry, e.Time, e.Kind, e.Granted, e.Result = uint64(len(c.Entries)+1), at, "pr", true, "good"
	c.Entries = append(c.Entries, e)
}

// Refuse adds an entry of a command that was not granted.
func (c *Cluster) Refuse(name, host, action, result, text string, at time.Time) {
	c.tell(admin.HistoryEntry{LUN: name, Action: action, Initiator: Port(host, 1), Host: host, Text: text}, at)
	e := &c.Entries[len(c.Entries)-1]
	e.Granted, e.Result = false, result
}

// Status returns a copy of Now, with versions.
func (c *Cluster) Status(context.Context) admin.Status {
	c.Lock()
	defer c.Unlock()
	s := c.Now
	s.Portals, s.Sessions = slices.Clone(s.Portals), slices.Clone(s.Sessions)
	s.Targets = slices.Clone(s.Targets)
	for i := range s.Targets {
		t := &s.Targets[i]
		t.Initiators, t.LUNs = slices.Clone(t.Initiators), slices.Clone(t.LUNs)
		for j := range t.LUNs {
			l := &t.LUNs[j]
			l.Version = version(l.Bytes, l.Failure)
			r := &l.Reservations
			r.Registrations, r.Others, r.Findings = slices.Clone(r.Registrations), slices.Clone(r.Others), slices.Clone(r.Findings)
			l.Reservations.Version = version(l.Reservations.Generation, l.Reservations.Type, l.Reservations.Holder, l.Reservations.Condition)
		}
	}
	return s
}

func version(v ...any) string {
	b, _ := json.Marshal(v)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

// Past returns Before.
func (c *Cluster) Past(context.Context) []admin.Past {
	c.Lock()
	defer c.Unlock()
	return slices.Clone(c.Before)
}

// History pages through Entries.
func (c *Cluster) History(_ context.Context, q admin.HistoryQuery) (admin.History, error) {
	c.Lock()
	defer c.Unlock()
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	var h admin.History
	for _, e := range slices.Backward(c.Entries) {
		switch {
		case q.Before != 0 && e.Entry >= q.Before, q.LUN != "" && e.LUN != q.LUN, q.Kind != "" && e.Kind != q.Kind,
			q.Refused && e.Granted, q.Initiator != "" && e.Host != q.Initiator, !q.Since.IsZero() && e.Time.Before(q.Since):
			continue
		}
		if len(h.Entries) == limit {
			h.More = true
			break
		}
		h.Entries = append(h.Entries, e)
	}
	return h, nil
}

// Apply makes the change, as a daemon would.
func (c *Cluster) Apply(ctx context.Context, ifVersion string, change admin.Change) error {
	now := c.Status(ctx)
	c.Lock()
	defer c.Unlock()
	c.Changes = append(c.Changes, Applied{admin.ActorOf(ctx), ifVersion, change})
	if c.Fail != nil {
		return c.Fail
	}
	lun := func(name string, version func(admin.LUN) string) (*admin.LUN, error) {
		for _, t := range now.Targets {
			for _, l := range t.LUNs {
				if l.Name != name {
					continue
				}
				if ifVersion != "" && ifVersion != version(l) {
					return nil, fmt.Errorf("%s: %w", name, admin.ErrStale)
				}
				return c.LUN(name), nil
			}
		}
		return nil, fmt.Errorf("LUN %s: %w", name, admin.ErrNotFound)
	}
	own := func(l admin.LUN) string { return l.Version }
	switch x := change.(type) {
	case admin.KillSession:
		i := slices.IndexFunc(c.Now.Sessions, func(s admin.Session) bool { return s.ID == x.ID })
		if i < 0 {
			return fmt.Errorf("session %s: %w", x.ID, admin.ErrNotFound)
		}
		s := c.Now.Sessions[i]
		c.Now.Sessions = slices.Delete(c.Now.Sessions, i, i+1)
		c.Feed.Publish(admin.Event{Kind: "session", Severity: admin.Warning, Initiator: s.Initiator, Text: "Session " + s.ID + " of " + s.Host + " was killed by " + admin.ActorOf(ctx)})
	case admin.ClearReservations:
		l, err := lun(x.LUN, func(l admin.LUN) string { return l.Reservations.Version })
		if err != nil {
			return err
		}
		l.Reservations = admin.Reservations{LUN: x.LUN, Condition: "normal", Generation: l.Reservations.Generation + 1,
			Registrations: []admin.Registration{}, Others: []admin.Bystander{}, Findings: []admin.Problem{}}
		c.Feed.Publish(admin.Event{Kind: "pr", Severity: admin.Warning, LUN: x.LUN, Text: "operator " + admin.ActorOf(ctx) + " cleared " + x.LUN})
	case admin.ClearFailure:
		l, err := lun(x.LUN, own)
		if err != nil {
			return err
		}
		if l.Failure == "" {
			return fmt.Errorf("%w: %s has no failure", admin.ErrRefused, x.LUN)
		}
		l.Failure = ""
	case admin.RetryLUN:
		l := c.LUN(x.LUN)
		if l == nil {
			return fmt.Errorf("LUN %s: %w", x.LUN, admin.ErrNotFound)
		}
		if !l.Absent {
			return fmt.Errorf("%w: %s is open", admin.ErrRefused, x.LUN)
		}
		l.Absent, l.Failure = false, ""
	case admin.Resize:
		l, err := lun(x.LUN, own)
		if err != nil {
			return err
		}
		if x.Bytes < l.Bytes {
			return fmt.Errorf("%w: %s only grows", admin.ErrRefused, x.LUN)
		}
		l.Bytes = x.Bytes
	case admin.SetLogLevel:
		c.Now.LogLevel = x.Level
	}
	return nil
}
