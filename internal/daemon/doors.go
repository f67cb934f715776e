package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/plain"
)

// openTrails opens the audit trails: what happened to the reservations and what
// operators did in one, logins in the other.
func (d *Daemon) openTrails() error {
	var err error
	dir := filepath.Join(d.dir.root, "audit")
	d.feed = admin.NewFeed(512)
	if d.trail, err = audit.Open(audit.Options{Dir: dir, Told: d.told, Failed: d.news.trailFailed}); err != nil {
		return err
	}
	d.logins, err = audit.Open(audit.Options{Dir: filepath.Join(dir, "logins"), Files: 4, Told: d.told, Failed: d.news.trailFailed})
	return err
}

func (d *Daemon) closeTrails() error {
	var errs []error
	for _, t := range []*audit.Trail{d.trail, d.logins} {
		if t != nil {
			errs = append(errs, t.Close())
		}
	}
	return errors.Join(errs...)
}

// openDoors opens the admin socket, and the page if it is configured. The page
// is not worth a disk: if it cannot be opened the daemon says so and serves.
func (d *Daemon) openDoors() error {
	c := &control{d: d}
	d.api = admin.New(admin.Options{Control: c, Configuration: c, Version: Version, Feed: d.feed, Metrics: d.metrics.Handler(), Dumps: d.dumps()})
	l, err := admin.Listen(filepath.Join(d.dir.root, admin.SocketName))
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	d.socket = admin.Serve(l, d.api.Socket())
	w := d.openPage(d.now.Load().conf.Page)
	d.page.Store(w)
	if w.failure != nil {
		d.news.pageFailed(w.failure)
	}
	return nil
}

func (d *Daemon) closeDoors(ctx context.Context) error {
	var errs []error
	if w := d.page.Load(); w != nil && w.server != nil {
		errs = append(errs, ignoreCanceled(w.server.Close(ctx)))
	}
	if d.socket != nil {
		errs = append(errs, ignoreCanceled(d.socket.Close(ctx)))
	}
	return errors.Join(errs...)
}

// problems are what the daemon knows to be wrong with itself.
func (d *Daemon) problems() []admin.Problem {
	var all []admin.Problem
	if w := d.page.Load(); w != nil && w.failure != nil {
		all = append(all, admin.Problem{Severity: admin.Warning, Code: "page_down", Subject: w.conf.Listen, Text: "The page is not served: " + w.failure.Error() + "."})
	}
	if u := d.unnamed.Load(); u != nil && d.now.Load().conf.ISNS.Server == u.server {
		all = append(all, admin.Problem{Severity: admin.Warning, Code: "isns_failing", Subject: u.server, Since: u.since, Text: "The iSNS server " + u.server + " does not know what is served here: " + plain.Text(u.err.Error()) + ".",
			Advice: "Initiators that know the portals log in all the same. It is tried again until it works."})
	}
	if weakCHAP(d.now.Load().conf) {
		all = append(all, admin.Problem{Severity: admin.Info, Code: "weak_chap", Text: "CHAP may use MD5: who hears a login can try out secrets at great speed.",
			Advice: "If all initiators have something better (Windows and VMware do not), leave md5 out of chap.algorithms; if not, use long random secrets."})
	}
	for _, t := range []*audit.Trail{d.trail, d.logins} {
		if err := t.Stats().Failing; err != nil {
			all = append(all, admin.Problem{Severity: admin.Critical, Code: "audit_failing", Text: "The audit trail cannot be written: " + err.Error() + ".",
				Advice: "See whether the file system of the data directory is full or read-only. Disks are served all the same."})
		}
	}
	return all
}
