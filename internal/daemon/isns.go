package daemon

import (
	"net"
	"os"
	"time"

	"go.uber.org/zap"

	"nas-target/internal/isns"
)

// openNames begins to tell the iSNS server of the configuration what is served
// where. Nothing waits for it: a server that is away is a line in the log.
func (d *Daemon) openNames() {
	r := d.now.Load()
	if r.conf.ISNS.Server == "" {
		return
	}
	log := d.news.log.With(zap.String("isns", r.conf.ISNS.Server))
	d.names = isns.Start(isns.Options{
		Server: r.conf.ISNS.Server,
		Registered: func(e isns.Entity) {
			d.unnamed.Store(nil)
			log.Debug("registered", zap.String("entity", e.ID))
		},
		Failed: func(err error) {
			d.unnamed.CompareAndSwap(nil, &unnamed{r.conf.ISNS.Server, err, time.Now()})
			log.Warn("the iSNS server does not know of us", zap.Error(err))
		},
	}, d.entity(r))
}

// unnamed is why, and since when, an iSNS server does not know what is served.
type unnamed struct {
	server string
	err    error
	since  time.Time
}

// tellNames tells the server what has changed, or another server.
func (d *Daemon) tellNames(r *running, another bool) {
	switch old := d.names; {
	case another:
		if d.names = nil; old != nil {
			d.retiring.all.Go(old.Close) // the old one may not answer
		}
		d.unnamed.Store(nil)
		d.openNames()
	case old != nil:
		old.Update(d.entity(r))
	}
}

// entity is what there is to tell of r. Its name is that of the host with the
// first portal's address, which no other daemon has.
func (d *Daemon) entity(r *running) isns.Entity {
	var e isns.Entity
	for _, p := range r.portals {
		a, ok := d.server.Addr(p.name()).(*net.TCPAddr)
		if !ok || a.IP.IsUnspecified() {
			continue // initiators need an address
		}
		e.Portals = append(e.Portals, isns.Portal{Addr: a.AddrPort(), Group: p.group})
	}
	for _, t := range r.targets {
		v := t.view.Load()
		e.Targets = append(e.Targets, isns.Target{Name: v.conf.Name, Alias: v.conf.Alias, Groups: v.groups})
	}
	if len(r.portals) > 0 {
		host, err := os.Hostname()
		if err != nil {
			host = "nas-target"
		}
		e.ID = host + ":" + r.portals[0].name()
	}
	return e
}
