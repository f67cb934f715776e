package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/config"
	"nas-target/internal/iscsi"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/metrics"
	"nas-target/internal/pr/prstore"
	"nas-target/internal/scsi"
)

// Version of the daemon.
const Version = "0.1.0"

// revision is Version in the four characters that INQUIRY has for it.
func revision() string {
	r := Version
	if major, minor, ok := strings.Cut(Version, "."); ok {
		minor, _, _ = strings.Cut(minor, ".")
		r = major + "." + minor
	}
	return r[:min(4, len(r))]
}

// Options are what is not configuration.
type Options struct {
	Log *zap.Logger // nil: nothing is logged

	// LogLevel is the level of Log, which operators may change. The zero value
	// stands for a level that cannot be changed.
	LogLevel zap.AtomicLevel

	// Sockets that listen already. A portal takes the one with its address;
	// one that no portal takes is an error. Start closes them if it fails.
	Sockets []net.Listener
}

// Daemon is a running target.
type Daemon struct {
	conf    *config.Config
	news    *news
	level   zap.AtomicLevel
	started time.Time

	dir     *dataDir
	prs     *prstore.File
	units   map[string]*unit // by LUN name
	targets []*target
	server  *iscsi.Server

	sockets sockets
	portals []netip.AddrPort // bound, in the configuration's order
	ready   atomic.Bool
	heart   heart

	metrics       *metrics.Metrics
	trail, logins *audit.Trail
	feed          *admin.Feed
	conflicts     conflicts
	past          past
	forget        func() // ends what keeps past; nil: nothing does
	doors         []*admin.Server
	page          netip.AddrPort // zero: there is none
	pageFailure   error
}

// Start builds everything the configuration names and serves it. ctx bounds
// the start alone; an error leaves nothing behind.
func Start(ctx context.Context, conf *config.Config, o Options) (*Daemon, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	d := &Daemon{conf: conf, news: newNews(o.Log), level: o.LogLevel, started: time.Now(), units: map[string]*unit{}, sockets: sockets{slices.Clone(o.Sockets)}}
	d.metrics = metrics.New(Version, d.figures)
	if err := d.start(ctx); err != nil {
		stop, cancel := context.WithCancel(ctx)
		cancel() // nobody is logged in yet
		return nil, errors.Join(err, ignoreCanceled(d.Stop(stop)), d.sockets.close())
	}
	return d, nil
}

func (d *Daemon) start(ctx context.Context) error {
	var err error
	if d.dir, err = openDataDir(d.conf.DataDir); err != nil {
		return err
	}
	if err := d.openTrails(); err != nil {
		return err
	}
	boot, err := prstore.BootID()
	if err != nil {
		return err
	}
	if d.prs, err = prstore.Open(prstore.Options{Dir: filepath.Join(d.dir.root, "pr"), BootID: boot}); err != nil {
		return err
	}
	d.server = iscsi.NewServer(iscsi.Options{
		Events:       d.sessionEvents(),
		PingInterval: d.conf.Limits.PingInterval, PingTimeout: d.conf.Limits.PingTimeout, NoPings: d.conf.Limits.PingInterval == 0,
	})
	var nodes []*iscsi.Node
	for i := range d.conf.Targets {
		t, err := d.newTarget(ctx, &d.conf.Targets[i])
		if err != nil {
			return err
		}
		d.targets = append(d.targets, t)
		nodes = append(nodes, t.node())
	}
	d.server.SetNodes(nodes)
	d.server.Serve()
	if err := d.openPortals(); err != nil {
		return err
	}
	d.forget = d.remember()
	if err := d.openDoors(); err != nil {
		return err
	}
	d.ready.Store(true)
	d.trail.Note(audit.Entry{Kind: audit.KindAdmin, Action: audit.ActionStart, Result: audit.Granted, Detail: "version " + Version})
	d.news.serving(d)
	return nil
}

// sessionEvents lets the log, the metrics and the trail of logins hear the same
// news.
func (d *Daemon) sessionEvents() *iscsi.Events {
	e := d.news.iscsi()
	log := *e
	e.ConnUp = d.loggedIn
	e.LoginFailed = func(i iscsi.InitiatorInfo, err *iscsi.LoginError) {
		log.LoginFailed(i, err)
		d.metrics.LoginFailed(err.Reason)
		d.loginFailed(i, err)
	}
	e.SessionDown = func(s iscsi.SessionInfo, why iscsi.Reason) {
		log.SessionDown(s, why)
		d.metrics.SessionEnded(why)
		d.sessionDown(s, why)
	}
	e.Rejected = func(s iscsi.SessionInfo, h *pdu.BHS, code pdu.RejectReason, why iscsi.Reason) {
		log.Rejected(s, h, code, why)
		d.metrics.Rejected(why)
	}
	e.DigestError = func(s iscsi.SessionInfo, c iscsi.ConnInfo, which iscsi.Reason) {
		log.DigestError(s, c, which)
		d.metrics.DigestError(which)
	}
	return e
}

func (d *Daemon) openPortals() error {
	for _, p := range d.conf.Portals {
		for _, a := range p.Listen {
			address := a.String()
			l, err := d.listen(a)
			if err != nil {
				return fmt.Errorf("portal %s: %w", address, err)
			}
			if err := d.server.AddPortal(iscsi.Portal{Address: address, TPGT: p.Group, Listener: l}); err != nil {
				return fmt.Errorf("portal %s: %w", address, err)
			}
			bound, err := netip.ParseAddrPort(d.server.Addr(address).String())
			if err != nil {
				return err
			}
			d.portals = append(d.portals, bound)
		}
	}
	return d.sockets.left()
}

// Portals returns the addresses that are served, in the configuration's order,
// with the ports that the kernel chose where it was asked to.
func (d *Daemon) Portals() []netip.AddrPort { return d.portals }

// Stop ends the daemon. ctx bounds how long initiators may take to log out and
// commands to finish; what is left then is cut off, which is no error.
func (d *Daemon) Stop(ctx context.Context) error {
	var errs []error
	d.ready.Store(false)
	if d.server != nil {
		errs = append(errs, ignoreCanceled(d.server.Shutdown(ctx)))
	}
	errs = append(errs, d.closeDoors(ctx))
	if d.forget != nil {
		d.forget()
	}
	for _, u := range d.units {
		u.scsi.Close()
		if err := u.store.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close LUN %s: %w", u.name, err))
		}
	}
	if d.prs != nil {
		errs = append(errs, d.prs.Close())
	}
	errs = append(errs, d.closeTrails())
	if d.dir != nil {
		errs = append(errs, d.dir.close())
	}
	return errors.Join(errs...)
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// target is a SCSI target device with its configuration.
type target struct {
	conf   *config.Target
	groups []uint16
	device *scsi.Device
	luns   scsi.LUNMap
}

func (d *Daemon) newTarget(ctx context.Context, c *config.Target) (*target, error) {
	t := &target{conf: c, groups: c.PortalGroups, luns: scsi.LUNMap{}}
	if len(t.groups) == 0 {
		for _, p := range d.conf.Portals {
			t.groups = append(t.groups, p.Group)
		}
	}
	t.device = scsi.NewDevice(c.Name, ports(c.Name, t.groups))
	for i := range c.LUNs {
		l := &c.LUNs[i]
		u, err := d.openUnit(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("LUN %s: %w", l.Name, err)
		}
		d.units[l.Name] = u
		t.luns[l.LUN] = u.scsi
	}
	return t, nil
}
