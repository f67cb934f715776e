package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
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
	api := admin.New(admin.Options{Control: c, Configuration: c, Version: Version, Feed: d.feed, Metrics: d.metrics.Handler(), Dumps: d.dumps()})
	l, err := admin.Listen(filepath.Join(d.dir.root, admin.SocketName))
	if err != nil {
		return fmt.Errorf("admin socket: %w", err)
	}
	d.doors = append(d.doors, admin.Serve(l, api.Socket()))
	if d.now.Load().conf.Page.Listen == "" {
		return nil
	}
	if err := d.openPage(api); err != nil {
		d.pageFailure = err
		d.news.pageFailed(err)
	}
	return nil
}

func (d *Daemon) openPage(api *admin.API) error {
	conf := d.now.Load().conf.Page
	token, err := admin.LoadToken(d.dir.root)
	if err != nil {
		return err
	}
	var secure *tls.Config
	if conf.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(conf.Certificate, conf.Key)
		if err != nil {
			return err
		}
		secure = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	l, err := admin.ListenWeb(conf.Listen, secure)
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return errors.Join(err, l.Close())
	}
	d.page = at
	web := admin.WebOptions{Token: token, Hosts: append([]string{at.String()}, conf.Hosts...)}
	if at.Addr().Unmap().IsLoopback() {
		web.Local = true
		web.Hosts = append(admin.LocalHosts(at), conf.Hosts...)
	}
	d.doors = append(d.doors, admin.Serve(l, api.Web(web)))
	return nil
}

// Page returns the URL of the page, "" if there is none.
func (d *Daemon) Page() string {
	switch {
	case !d.page.IsValid():
		return ""
	case d.now.Load().conf.Page.Certificate != "":
		return "https://" + d.page.String() + "/"
	}
	return "http://" + d.page.String() + "/"
}

func (d *Daemon) closeDoors(ctx context.Context) error {
	var errs []error
	for _, s := range d.doors {
		errs = append(errs, ignoreCanceled(s.Close(ctx)))
	}
	return errors.Join(errs...)
}

// problems are what the daemon knows to be wrong with itself.
func (d *Daemon) problems() []admin.Problem {
	var all []admin.Problem
	if d.pageFailure != nil {
		all = append(all, admin.Problem{Severity: admin.Warning, Code: "page_down", Subject: d.now.Load().conf.Page.Listen, Text: "The page is not served: " + d.pageFailure.Error() + "."})
	}
	if pending := d.now.Load().pending; len(pending) > 0 {
		all = append(all, admin.Problem{Severity: admin.Info, Code: "needs_start", Text: "The configuration has changes that only a start takes up: " + strings.Join(pending, ", ") + "."})
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
