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
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/config"
	"nas-target/internal/iscsi"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/isns"
	"nas-target/internal/metrics"
	"nas-target/internal/pr/prstore"
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

	// LogFormat changes the format of Log. Nil: it cannot be changed.
	LogFormat func(format string)

	// Operators is where the configuration comes from. Without it nothing of it
	// can be changed through the API.
	Operators Operators

	// Sockets that listen already. A portal takes the one with its address;
	// one that no portal takes is an error. Start closes them if it fails.
	Sockets []net.Listener
}

// Daemon is a running target.
type Daemon struct {
	news    *news
	level   zap.AtomicLevel
	started time.Time

	logFormat func(string)

	dir    *dataDir
	prs    *prstore.File
	server *iscsi.Server
	now    atomic.Pointer[running]
	names  *isns.Client // nil: nobody is told

	unnamed atomic.Pointer[unnamed] // nil: nobody, or the server knows

	changing    sync.Mutex // held by who replaces what runs
	operators   Operators
	operatorsMu sync.Mutex // guards operators.Source, which who replaces it may read without
	retiring    retiring
	works       works

	sockets sockets
	ready   atomic.Bool
	heart   heart

	metrics       *metrics.Metrics
	trail, logins *audit.Trail
	feed          *admin.Feed
	conflicts     conflicts
	past          past
	forget        func() // ends what keeps past; nil: nothing does
	api           *admin.API
	socket        *admin.Server
	page          atomic.Pointer[webDoor]
}

// Start builds everything the configuration names and serves it. ctx bounds
// the start alone; an error leaves nothing behind.
func Start(ctx context.Context, conf *config.Config, o Options) (*Daemon, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	d := &Daemon{news: newNews(o.Log), level: o.LogLevel, logFormat: o.LogFormat, operators: o.Operators, started: time.Now(), sockets: sockets{slices.Clone(o.Sockets)}}
	d.now.Store(&running{conf: conf})
	d.metrics = metrics.New(Version, d.figures)
	if err := d.start(ctx, conf); err != nil {
		stop, cancel := context.WithCancel(ctx)
		cancel() // nobody is logged in yet
		return nil, errors.Join(err, ignoreCanceled(d.Stop(stop)), d.sockets.close())
	}
	return d, nil
}

func (d *Daemon) start(ctx context.Context, conf *config.Config) error {
	var err error
	if d.dir, err = openDataDir(conf.DataDir); err != nil {
		return err
	}
	if conf, err = d.withManaged(conf); err != nil {
		return err
	}
	secrets, err := config.LoadSecrets(conf)
	if err != nil {
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
		PingInterval: conf.Limits.PingInterval, PingTimeout: conf.Limits.PingTimeout, NoPings: conf.Limits.PingInterval == 0,
		Discovery: func(iscsi.InitiatorInfo) (*iscsi.Auth, *iscsi.LoginError) { return d.now.Load().discovery, nil },
	})
	d.build(ctx, conf, secrets)
	d.server.SetNodes(d.now.Load().nodes())
	d.server.Serve()
	if err := d.openPortals(); err != nil {
		return err
	}
	d.forget = d.remember()
	if err := d.openDoors(); err != nil {
		return err
	}
	d.openNames()
	d.ready.Store(true)
	d.trail.Note(audit.Entry{Kind: audit.KindAdmin, Action: audit.ActionStart, Result: audit.Granted, Detail: "version " + Version})
	d.news.serving(d)
	return nil
}

// build makes the units and the targets of conf. A LUN that cannot be opened
// does not keep the others from being served.
func (d *Daemon) build(ctx context.Context, conf *config.Config, secrets config.Secrets) {
	p := newProofs(&conf.CHAP, secrets)
	r := &running{conf: conf, units: map[string]*unit{}, missing: map[string]error{}, proofs: p, discovery: p.of(conf.CHAP.Discovery)}
	for _, l := range lunsOf(conf) {
		u, err := d.openOrStandIn(ctx, l)
		if err != nil {
			d.news.lunAbsent(l.Name, err)
		}
		if u == nil {
			r.missing[l.Name] = err
			continue
		}
		r.units[l.Name] = u
	}
	for i := range conf.Targets {
		r.targets = append(r.targets, newTarget(newView(&conf.Targets[i], conf, r.units, p)))
	}
	d.now.Store(r)
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

// openPortals opens what can be opened. A network that is not there yet does
// not keep the others waiting; without any there would be nothing to wait for.
func (d *Daemon) openPortals() error {
	next := *d.now.Load()
	var errs []error
	next.portals = portalsOf(next.conf)
	for i := range next.portals {
		p := &next.portals[i]
		if p.failure = d.openPortal(*p); p.failure != nil {
			errs = append(errs, fmt.Errorf("portal %s: %w", p.name(), p.failure))
			d.news.portalFailed(p.name(), p.failure)
		}
	}
	if len(errs) > 0 && len(errs) == len(next.portals) {
		return errors.Join(errs...)
	}
	d.now.Store(&next)
	return d.sockets.left()
}

func (d *Daemon) openPortal(p portal) error {
	l, err := d.listen(p.address)
	if err != nil {
		return err
	}
	return d.server.AddPortal(iscsi.Portal{Address: p.name(), TPGT: p.group, Listener: l})
}

// Portals returns the addresses that are served, in the configuration's order,
// with the ports that the kernel chose where it was asked to.
func (d *Daemon) Portals() []netip.AddrPort {
	var all []netip.AddrPort
	for _, p := range d.now.Load().portals {
		if a, ok := d.server.Addr(p.name()).(*net.TCPAddr); ok {
			all = append(all, a.AddrPort())
		}
	}
	return all
}

// Stop ends the daemon. ctx bounds how long initiators may take to log out and
// commands to finish; what is left then is cut off, which is no error.
func (d *Daemon) Stop(ctx context.Context) error {
	var errs []error
	d.changing.Lock()
	defer d.changing.Unlock()
	d.ready.Store(false)
	if d.names != nil {
		d.retiring.all.Go(d.names.Close) // while all else ends
	}
	if d.server != nil {
		errs = append(errs, ignoreCanceled(d.server.Shutdown(ctx)))
	}
	errs = append(errs, d.closeDoors(ctx))
	if d.forget != nil {
		d.forget()
	}
	for _, u := range d.now.Load().units {
		errs = append(errs, u.close(d))
	}
	d.retiring.wait()
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
