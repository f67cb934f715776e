package daemon

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/iscsi"
	"nas-target/internal/plain"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// told passes an entry of a trail on to the log and to whoever watches. It runs
// on the trail's goroutine.
func (d *Daemon) told(e audit.Entry) {
	text := audit.Words(e)
	if e.Kind != audit.KindLogin { // the log has those from the server, with all it knows
		d.news.entry(e, text)
	}
	ev := admin.Event{Time: e.Time, Kind: string(e.Kind), Severity: severity(e), LUN: e.LUN, Initiator: e.By.Initiator, Text: text}
	switch e.Kind {
	case audit.KindLogin:
	case audit.KindLost:
		ev.Kind = "daemon"
	default:
		ev.Entry = e.Seq
	}
	d.feed.Publish(ev)
}

// severity ranks an entry: that somebody lost a right is what people look for.
func severity(e audit.Entry) admin.Severity {
	switch {
	case e.Result == pr.StoreFailed.String(), e.Kind == audit.KindLost:
		return admin.Critical
	case e.Action == audit.ActionStart:
		return admin.Info
	case e.Kind == audit.KindLogin && e.Result != audit.Granted, e.Kind == audit.KindAdmin:
		return admin.Warning
	case e.PR != nil && e.Result == audit.Granted:
		for _, r := range e.PR.Removed {
			if r.Initiator != e.By.Initiator {
				return admin.Warning
			}
		}
	}
	return admin.Info
}

// entry writes the one line of an entry, in words, with what programs look for
// beside it.
func (n *news) entry(e audit.Entry, text string) {
	fields := []zap.Field{zap.String("kind", string(e.Kind)), zap.String("action", e.Action), zap.String("result", e.Result)}
	for _, f := range []struct{ key, value string }{
		{"reason", e.Reason}, {"lun", e.LUN}, {"initiator", e.By.Initiator}, {"from", e.By.Peer}, {"operator", e.By.Operator},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.key, f.value))
		}
	}
	if p := e.PR; p != nil {
		fields = append(fields, zap.Uint32("generation", p.After.Generation), zap.Int("registrations", p.After.Registrations))
	}
	switch {
	case severity(e) == admin.Critical:
		n.log.Error(text, fields...)
	case e.Result != audit.Granted:
		n.sampled.Warn(text, fields...)
	default:
		n.log.Info(text, fields...)
	}
}

func (n *news) trailFailed(err error) {
	n.log.Error("the audit trail cannot be written; disks are served all the same", zap.Error(err))
}

func (n *news) pageFailed(err error) {
	n.log.Error("the page is not served; disks are, and the command line works", zap.Error(err))
}

// loggedIn, sessionDown and loginFailed note who came and went. Discovery is
// left out: it ends in a second and gives nobody a disk.
func (d *Daemon) loggedIn(s iscsi.SessionInfo, c iscsi.ConnInfo) {
	if s.Discovery {
		return
	}
	e := loginEntry(s, audit.ActionLogin)
	e.By.Peer = c.Remote.String()
	e.Detail = fmt.Sprintf("from %s, session %d", c.Remote, s.ID)
	d.logins.Note(e)
}

func (d *Daemon) sessionDown(s iscsi.SessionInfo, why iscsi.Reason) {
	if s.Discovery {
		return
	}
	e := loginEntry(s, audit.ActionSessionEnd)
	e.Reason = string(why)
	d.logins.Note(e)
}

func loginEntry(s iscsi.SessionInfo, action string) audit.Entry {
	return audit.Entry{
		Kind: audit.KindLogin, Action: action, Result: audit.Granted,
		By: audit.Party{Initiator: pr.InitiatorPort(s.Initiator, s.ISID), Target: pr.TargetPort(s.Target, s.TPGT)},
	}
}

func (d *Daemon) loginFailed(i iscsi.InitiatorInfo, err *iscsi.LoginError) {
	if err.Reason == iscsi.ReasonLoginIO {
		return // it went away: a port check, a login given up
	}
	e := audit.Entry{
		Kind: audit.KindLogin, Action: audit.ActionLogin, Result: "refused", Reason: string(err.Reason),
		By: audit.Party{Peer: i.Remote.String()},
	}
	if i.Name != "" {
		e.By.Initiator = pr.InitiatorPort(i.Name, i.ISID)
	}
	d.logins.Note(e)
}

// conflicts tells watchers of refused commands, once in a while for each
// initiator and LUN: a fenced node may try a thousand times a second.
type conflicts struct {
	mu   sync.Mutex
	last map[conflictKey]time.Time
}

type conflictKey struct {
	lun   string
	nexus scsi.Nexus
}

const (
	conflictEvery = 10 * time.Second
	maxConflicts  = 1024
)

// due reports whether it is time to tell of one again.
func (c *conflicts) due(lun string, n scsi.Nexus, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := conflictKey{lun, n}
	if now.Sub(c.last[k]) < conflictEvery {
		return false
	}
	if c.last == nil || len(c.last) >= maxConflicts {
		c.last = map[conflictKey]time.Time{}
	}
	c.last[k] = now
	return true
}

// refused passes a reservation conflict on to whoever watches.
func (d *Daemon) refused(lun string, t *scsi.Task) {
	if t.Status != scsi.ReservationConflict || !d.conflicts.due(lun, t.Nexus(), time.Now()) {
		return
	}
	n := t.Nexus()
	what := "a command"
	if c := t.Command(); c != nil {
		what = c.Name
	}
	d.feed.Publish(admin.Event{
		Kind: "conflict", Severity: admin.Warning, LUN: lun, Initiator: plain.Text(n.Initiator),
		Text: plain.Text(audit.Host(n.Initiator)) + " was refused " + what + " on " + lun + ": RESERVATION CONFLICT",
	})
}

// flushFailed passes a lost disk on to whoever watches.
func (d *Daemon) flushFailed(lun string, err error) {
	d.feed.Publish(admin.Event{Kind: "lun", Severity: admin.Critical, LUN: lun, Text: lun + " refuses writes: a flush failed: " + plain.Text(err.Error())})
}
