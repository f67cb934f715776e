package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/config"
	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
	"nas-target/internal/scsi"
)

// What standard INQUIRY data and the T10 designator say unless it is configured.
const (
	vendor  = "NAS-TGT"
	product = "VIRTUAL DISK"
)

// unit is a logical unit with all that it stands on.
type unit struct {
	name  string
	id    uuid
	store backstore.Store // nil: the unit stands in for one that could not be opened
	scsi  *scsi.Unit
	mark  *mark

	// absent is why the unit could not be opened.
	absent error

	resizing sync.Mutex // one at a time
	grown    grownFile
	space    space
}

// openUnit opens the medium and the reservations of a LUN, in this order: who
// holds the medium is the only one who may speak for its reservations.
func (d *Daemon) openUnit(ctx context.Context, c *config.LUN) (*unit, error) {
	if err := d.retiring.gone(ctx, c.Name); err != nil {
		return nil, err
	}
	id, err := d.dir.lun(c.Name)
	if err != nil {
		return nil, err
	}
	grown := grownFile(filepath.Join(id.dir, grownName))
	options := d.dir.place(c.Options, id)
	if f, ok := options.(*backstore.FileOptions); ok {
		if err := regrown(f, grown); err != nil {
			return nil, err
		}
	}
	opening, opened := d.preallocating(ctx, c.Name)
	store, err := backstore.Open(opening, c.Backstore, options)
	opened()
	if err != nil {
		return nil, err
	}
	prs, err := d.attachReservations(id)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	u := &unit{name: c.Name, id: id.UUID, store: store, mark: prs.mark, grown: grown}
	undo := func(err error) error {
		prs.mark.wait()
		return errors.Join(err, d.prs.Detach(id.UUID.String()), store.Close())
	}
	reservations, err := pr.Open(pr.Config{
		ID: id.UUID.String(), Store: prs, Clock: monotonic,
		Events: pr.Events{Out: func(r pr.Record) {
			d.trail.Record(r, c.Name)
			d.metrics.PR(c.Name, r)
		}},
	})
	if err != nil {
		// The unit is there and refuses what the standard says; that is
		// better than a disk that vanished.
		d.news.reservationsUnknown(c.Name, err)
	}
	d.trail.Found(id.UUID.String(), c.Name, reservations.State())
	uc := unitConfig(c, id, store, d.unitEvents(c.Name))
	memory := memoryFile(filepath.Join(id.dir, memoryName))
	uc.Remember = memory.remember
	if uc.Memory, err = memory.recall(); err != nil {
		return nil, undo(err)
	}
	u.scsi, err = scsi.NewUnit(uc, store, reservations)
	if err != nil {
		return nil, undo(err)
	}
	return u, nil
}

// close ends u, which no nexus sees any more. It waits for what is inside the
// medium.
func (u *unit) close(d *Daemon) error {
	u.scsi.Close()
	if u.store == nil {
		return nil
	}
	err := u.store.Close()
	u.mark.wait()
	if err != nil {
		err = fmt.Errorf("close LUN %s: %w", u.name, err)
	}
	return errors.Join(err, d.prs.Detach(u.id.String()))
}

// unitEvents lets the log, the metrics and whoever watches hear the same news.
func (d *Daemon) unitEvents(lun string) *scsi.Events {
	e := d.news.scsi(lun)
	logRefused, logFlush := e.Refused, e.FlushFailed
	e.Refused = func(t *scsi.Task) { logRefused(t); d.refused(lun, t) }
	e.FlushFailed = func(u *scsi.Unit, err error) { logFlush(u, err); d.flushFailed(lun, err) }
	d.count(lun, e)
	return e
}

func unitConfig(c *config.LUN, id *identity, store backstore.Store, events *scsi.Events) scsi.UnitConfig {
	uc := scsi.UnitConfig{
		Identity: scsi.Identity{
			Name: c.Name, UUID: id.UUID, NAA: id.UUID.naa(), Serial: id.UUID.serial(),
			Vendor: vendor, Product: product, Revision: revision(),
		},
		BlockSize: c.BlockSize, PhysicalBlock: c.PhysicalBlockSize, ReadOnly: c.ReadOnly, WriteCache: c.WriteCache, Events: events,
		EraseSpeed: c.EraseSpeed,
	}
	if c.NAA != "" {
		uc.NAA, _ = config.ParseNAA(c.NAA) // validated
	}
	if c.Serial != "" {
		uc.Serial = c.Serial
	}
	for _, x := range []struct{ to, from *string }{{&uc.Vendor, &c.Vendor}, {&uc.Product, &c.Product}, {&uc.Revision, &c.Revision}} {
		if *x.from != "" {
			*x.to = *x.from
		}
	}
	if v, ok := store.(backstore.Volume); ok {
		g := v.Geometry()
		uc.Rotational, uc.Thin = g.Rotational, g.Thin
		uc.UnmapUnit, uc.UnmapOffset = int(g.DiscardGranularity), int(g.DiscardAlignment)
		if uc.PhysicalBlock == 0 && g.LogicalBlock != 0 { // a device, which knows
			uc.PhysicalBlock = max(g.PhysicalBlock, c.BlockSize)
		}
	}
	return uc
}

// place gives a backing file its path: in the LUN's own directory if it has
// none, in the data directory if it is relative.
func (d *dataDir) place(options any, id *identity) any {
	f, ok := options.(*backstore.FileOptions)
	if !ok {
		return options
	}
	placed := *f
	switch {
	case f.Path == "":
		placed.Path = filepath.Join(id.dir, "disk.img")
	case !filepath.IsAbs(f.Path):
		placed.Path = filepath.Join(d.root, f.Path)
	}
	return &placed
}

// attachReservations opens the LUN's reservation file, and returns the store to
// reach it by. A mark beside the identity remembers that the file was made, and
// how far it had come: from then on its absence, or an older copy in its place,
// means that reservations are lost.
func (d *Daemon) attachReservations(id *identity) (*marked, error) {
	m := d.markOf(id)
	made, rev, err := m.read()
	if err != nil {
		return nil, err
	}
	if err := d.prs.Attach(id.UUID.String(), prstore.Expect{Exists: made, AtLeast: rev}); err != nil {
		return nil, err
	}
	if !made {
		if err := m.write(0); err != nil {
			return nil, errors.Join(fmt.Errorf("remember the reservation file: %w", err), d.prs.Detach(id.UUID.String()))
		}
	}
	return &marked{d.prs, m}, nil
}

var processStart = time.Now()

// monotonic is the clock of reservation records, in nanoseconds.
func monotonic() int64 { return int64(time.Since(processStart)) }
