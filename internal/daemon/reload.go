package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"time"

	"nas-target/internal/admin"
	"nas-target/internal/backstore"
	"nas-target/internal/config"
	"nas-target/internal/iscsi"
)

// A change of the configuration has two parts. The first does all that can
// fail, in the order of how little it disturbs: it opens what is new beside
// what runs, then tunes what stays, then reopens what cannot be tuned. If any
// of it fails, what was done is undone, last things first. The second part puts
// the new picture in place and ends what is gone; nothing in it fails.
//
// LUNs, targets and portals that are the same before and after are not touched.

// reopenPatience bounds how long a LUN that changes may take to be closed and
// opened.
const reopenPatience = 20 * time.Second

// change is one change under way.
type change struct {
	d       *Daemon
	old     *running
	next    *running
	proofs  proofs
	undo    []func()
	retired []*unit          // that next does without
	opened  []openedPortal   // listening, not yet accepting
	back    map[string]*unit // reopened for old, while undoing
	oldPage *webDoor         // that another one takes the place of
}

type openedPortal struct {
	at int // in next.portals
	l  net.Listener
}

// reconfigure makes conf what runs, or fails and leaves what ran before. save,
// if not nil, is the last thing that may fail.
func (d *Daemon) reconfigure(ctx context.Context, conf *config.Config, save func() error) error {
	if !d.ready.Load() {
		return fmt.Errorf("%w: the daemon starts or ends", admin.ErrRefused)
	}
	secrets, err := config.LoadSecrets(conf)
	if err != nil {
		return invalid(err)
	}
	c := &change{d: d, old: d.now.Load(), proofs: newProofs(&conf.CHAP, secrets)}
	c.next = &running{conf: conf, units: map[string]*unit{}, missing: map[string]error{}, discovery: c.proofs.of(conf.CHAP.Discovery)}
	if err := stays(conf, c.old.conf); err != nil {
		return err
	}
	err = c.prepare(ctx)
	if err == nil && save != nil {
		err = save()
	}
	if err != nil {
		c.rollBack()
		return err
	}
	c.install()
	return nil
}

// stays refuses what cannot change while the daemon runs.
func stays(next, old *config.Config) error {
	if next.DataDir != old.DataDir {
		return fmt.Errorf("%w: data_dir is %s; another one (%s) needs a start", admin.ErrRefused, old.DataDir, next.DataDir)
	}
	return nil
}

// prepare does all that may fail.
func (c *change) prepare(ctx context.Context) error {
	was := map[string]*config.LUN{}
	for _, l := range lunsOf(c.old.conf) {
		was[l.Name] = l
	}
	luns := lunsOf(c.next.conf)
	for _, l := range luns {
		if err := c.fits(was[l.Name], l); err != nil {
			return fmt.Errorf("LUN %s: %w", l.Name, err)
		}
	}
	var tuned, reopened []*config.LUN
	for _, l := range luns {
		before, u := was[l.Name], c.old.units[l.Name]
		switch {
		case before == nil:
			if err := c.open(ctx, l); err != nil {
				return fmt.Errorf("LUN %s: %w", l.Name, err)
			}
		case u == nil || u.absent != nil:
			if err := c.openAgain(ctx, l, reflect.DeepEqual(before, l)); err != nil {
				return fmt.Errorf("LUN %s: %w", l.Name, err)
			}
		case tunable(before, l):
			c.next.units[l.Name] = u
			tuned = append(tuned, l)
		default:
			reopened = append(reopened, l)
		}
		delete(was, l.Name)
	}
	for name := range was {
		if u := c.old.units[name]; u != nil {
			c.retired = append(c.retired, u)
		}
	}
	if err := c.openPortals(); err != nil {
		return err
	}
	for _, l := range tuned {
		if err := c.tune(l); err != nil {
			return fmt.Errorf("LUN %s: %w", l.Name, err)
		}
	}
	if err := c.reopen(ctx, reopened); err != nil {
		return err
	}
	if err := c.openPage(); err != nil {
		return err
	}
	// A LUN that grew cannot shrink again: this comes last.
	for _, l := range tuned {
		if err := c.grow(l); err != nil {
			return fmt.Errorf("LUN %s: %w", l.Name, err)
		}
	}
	return nil
}

// sizeIn returns the size that the options of a backstore ask for, 0 if they do
// not.
func sizeIn(options any) int64 {
	switch o := options.(type) {
	case *backstore.FileOptions:
		return o.Size
	case *backstore.RAMOptions:
		return o.Size
	case *backstore.NullOptions:
		return o.Size
	}
	return 0
}

func withSize(options any, n int64) any {
	switch o := options.(type) {
	case *backstore.FileOptions:
		x := *o
		x.Size = n
		return &x
	case *backstore.RAMOptions:
		x := *o
		x.Size = n
		return &x
	case *backstore.NullOptions:
		x := *o
		x.Size = n
		return &x
	}
	return options
}

// tunable reports whether a unit can become what l says while it is in use.
func tunable(before, l *config.LUN) bool {
	a, b := *before, *l
	a.LUN, a.WriteCache, a.ReadOnly, a.Options = b.LUN, b.WriteCache, b.ReadOnly, withSize(a.Options, 0)
	b.Options = withSize(b.Options, 0)
	return reflect.DeepEqual(a, b)
}

// fits refuses what no unit can do.
func (c *change) fits(before, l *config.LUN) error {
	if before == nil {
		return nil
	}
	was, size := sizeIn(before.Options), sizeIn(l.Options)
	if size != 0 && size < was {
		return fmt.Errorf("%w: it has %d bytes, and only grows: initiators would lose what is beyond the new end (%d)", admin.ErrRefused, was, size)
	}
	if size%int64(l.BlockSize) != 0 {
		return fmt.Errorf("%w: %d is not a whole number of blocks of %d bytes", admin.ErrRefused, size, l.BlockSize)
	}
	return nil
}

// open opens a unit that is new.
func (c *change) open(ctx context.Context, l *config.LUN) error {
	ctx, cancel := context.WithTimeout(ctx, reopenPatience)
	defer cancel()
	u, err := c.d.openUnit(ctx, l)
	if err != nil {
		return refusal(err)
	}
	c.next.units[l.Name] = u
	c.undo = append(c.undo, func() { <-c.d.retire(u) })
	return nil
}

// refusal is an error that is not the daemon's fault.
func refusal(err error) error { return fmt.Errorf("%w: %w", admin.ErrRefused, err) }

// openAgain tries to open a LUN that could not be opened before. If nothing was
// changed about it, it may stay as it is.
func (c *change) openAgain(ctx context.Context, l *config.LUN, same bool) error {
	err := c.open(ctx, l)
	old := c.old.units[l.Name]
	switch {
	case err == nil && old != nil:
		c.retired = append(c.retired, old)
	case err != nil && same && old != nil:
		c.next.units[l.Name] = old
		return nil
	case err != nil && same:
		c.next.missing[l.Name] = err
		return nil
	}
	return err
}

// openPortals listens at the addresses that are new.
func (c *change) openPortals() error {
	was := map[string]portal{}
	for _, p := range c.old.portals {
		was[p.name()] = p
	}
	c.next.portals = portalsOf(c.next.conf)
	for i := range c.next.portals {
		p := &c.next.portals[i]
		old, known := was[p.name()]
		if known && old.group == p.group && old.failure == nil {
			continue
		}
		if known && old.failure == nil { // another group: its socket has to go first
			if err := c.d.server.RemovePortal(p.name()); err != nil {
				return err
			}
			c.undo = append(c.undo, func() {
				if err := c.d.openPortal(old); err != nil {
					c.d.news.portalFailed(old.name(), err)
				}
			})
		}
		l, err := c.d.listen(p.address)
		if err != nil {
			if known && old.group == p.group {
				p.failure = err // as before
				continue
			}
			return refusal(fmt.Errorf("portal %s: %w", p.name(), err))
		}
		c.opened = append(c.opened, openedPortal{i, l})
		c.undo = append(c.undo, func() { l.Close() })
	}
	return nil
}

// tune changes what a unit can change while it is in use.
func (c *change) tune(l *config.LUN) error {
	u := c.next.units[l.Name]
	var before *config.LUN
	for _, x := range lunsOf(c.old.conf) {
		if x.Name == l.Name {
			before = x
		}
	}
	if before.WriteCache != l.WriteCache {
		if err := u.scsi.SetWriteCache(l.WriteCache); err != nil {
			return refusal(err)
		}
		c.undo = append(c.undo, func() {
			if err := u.scsi.SetWriteCache(before.WriteCache); err != nil {
				c.d.news.rollBackFailed(err)
			}
		})
	}
	if before.ReadOnly != l.ReadOnly {
		u.scsi.SetReadOnly(l.ReadOnly)
		c.undo = append(c.undo, func() { u.scsi.SetReadOnly(before.ReadOnly) })
	}
	return nil
}

// grow gives a unit the size that is configured, if it is smaller.
func (c *change) grow(l *config.LUN) error {
	u, size := c.next.units[l.Name], sizeIn(l.Options)
	u.resizing.Lock()
	defer u.resizing.Unlock()
	now := u.scsi.Size()
	if size <= now {
		return nil
	}
	return u.resize(size, now)
}

// reopen closes units and opens them as they are to be now. Their initiators
// find them gone meanwhile.
func (c *change) reopen(ctx context.Context, luns []*config.LUN) error {
	if len(luns) == 0 {
		return nil
	}
	for _, l := range luns {
		if _, volatile := l.Options.(*backstore.RAMOptions); volatile {
			return fmt.Errorf("%w: LUN %s is in memory and would lose its data; delete it and make another one", admin.ErrRefused, l.Name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reopenPatience)
	defer cancel()
	without := *c.old
	without.units = maps.Clone(c.old.units)
	for _, l := range luns {
		delete(without.units, l.Name)
	}
	c.back = map[string]*unit{}
	c.d.evict(c.d.showAll(&without, c.old.proofs))
	for _, l := range luns {
		u := c.old.units[l.Name]
		c.undo = append(c.undo, func() { c.back[l.Name] = c.d.reopened(c.old, l.Name) })
		c.d.retire(u)
		if err := c.open(ctx, l); err != nil {
			return fmt.Errorf("LUN %s: %w", l.Name, err)
		}
	}
	return nil
}

// reopened opens a LUN as r has it, or what stands in for it.
func (d *Daemon) reopened(r *running, name string) *unit {
	ctx, cancel := context.WithTimeout(context.Background(), reopenPatience)
	defer cancel()
	for _, l := range lunsOf(r.conf) {
		if l.Name == name {
			u, err := d.openOrStandIn(ctx, l)
			if err != nil {
				d.news.lunAbsent(name, err)
			}
			return u
		}
	}
	return nil
}

// rollBack undoes what was done.
func (c *change) rollBack() {
	for _, f := range slices.Backward(c.undo) {
		f()
	}
	if c.back == nil {
		return
	}
	again := *c.old
	again.units = maps.Clone(c.old.units)
	for name, u := range c.back {
		if u == nil {
			delete(again.units, name)
			again.missing = maps.Clone(again.missing)
			again.missing[name] = errors.New("it could not be opened again after a change failed")
			continue
		}
		again.units[name] = u
	}
	c.d.now.Store(&again)
	c.d.evict(c.d.showAll(&again, again.proofs))
}

// install puts next in place of what ran.
func (c *change) install() {
	d := c.d
	c.next.proofs = c.proofs
	out := d.showAll(c.next, c.proofs)
	d.server.SetNodes(c.next.nodes())
	d.evict(out)
	keeps := map[string]bool{}
	for _, p := range c.next.portals {
		keeps[p.name()] = true
	}
	for _, p := range c.old.portals {
		if !keeps[p.name()] && p.failure == nil {
			if err := d.server.RemovePortal(p.name()); err != nil {
				d.news.portalFailed(p.name(), err)
			}
		}
	}
	for _, o := range c.opened {
		p := &c.next.portals[o.at]
		if p.failure = d.server.AddPortal(iscsi.Portal{Address: p.name(), TPGT: p.group, Listener: o.l}); p.failure != nil {
			d.news.portalFailed(p.name(), p.failure)
		}
	}
	d.now.Store(c.next)
	was, is := c.old.conf, c.next.conf
	if is.Limits != was.Limits {
		d.server.SetPings(is.Limits.PingInterval, is.Limits.PingTimeout)
	}
	d.tellNames(c.next, is.ISNS != was.ISNS)
	if is.Log.Level != was.Log.Level {
		if err := d.setLogLevel(is.Log.Level); err != nil {
			d.news.rollBackFailed(err)
		}
	}
	if is.Log.Format != was.Log.Format && d.logFormat != nil {
		d.logFormat(is.Log.Format)
	}
	if c.oldPage != nil {
		d.retirePage(c.oldPage)
	}
	for _, u := range c.retired {
		d.retire(u)
	}
	d.news.exposed(c.next.conf)
}

// showAll gives every target its view of r, makes the targets that are new, and
// closes those that are gone. It returns the nexuses that must go.
func (d *Daemon) showAll(r *running, p proofs) (out []*guest) {
	was := map[string]*target{}
	for _, t := range d.now.Load().targets {
		was[t.device.Name()] = t
	}
	r.targets = nil
	for i := range r.conf.Targets {
		v := newView(&r.conf.Targets[i], r.conf, r.units, p)
		t := was[v.conf.Name]
		if t == nil {
			t = newTarget(v)
		} else {
			out = append(out, t.show(v)...)
		}
		delete(was, v.conf.Name)
		r.targets = append(r.targets, t)
	}
	for _, t := range was {
		out = append(out, t.close()...)
	}
	return out
}

// evict ends the sessions of nexuses that see nothing any more.
func (d *Daemon) evict(all []*guest) {
	if len(all) == 0 {
		return
	}
	type key struct {
		initiator, target, isid string
		group                   uint16
	}
	gone := map[key]bool{}
	for _, g := range all {
		gone[key{g.who.Name, g.home.device.Name(), g.who.ISID.String(), g.who.TPGT}] = true
	}
	for _, s := range d.server.Sessions() {
		if gone[key{s.Initiator, s.Target, s.ISID.String(), s.TPGT}] {
			d.server.KillSession(s.ID)
		}
	}
}

// retry opens a LUN that could not be opened.
func (d *Daemon) retry(ctx context.Context, name string) error {
	d.changing.Lock()
	defer d.changing.Unlock()
	now := d.now.Load()
	u, known := now.units[name]
	switch {
	case !known && now.missing[name] == nil:
		return fmt.Errorf("LUN %s: %w", name, admin.ErrNotFound)
	case known && u.absent == nil:
		return fmt.Errorf("%w: %s is open already", admin.ErrRefused, name)
	}
	if err := d.reconfigure(ctx, now.conf, nil); err != nil {
		return err
	}
	now = d.now.Load()
	if u = now.units[name]; u == nil {
		return refusal(now.missing[name])
	}
	if u.absent != nil {
		return refusal(u.absent)
	}
	return nil
}
