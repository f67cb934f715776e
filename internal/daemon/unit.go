package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/config"
	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore"
	"nas-target/internal/scsi"
)

// What standard INQUIRY data and the T10 designator say.
const (
	vendor  = "NAS-TGT"
	product = "VIRTUAL DISK"
)

// unit is a logical unit with all that it stands on.
type unit struct {
	name  string
	store backstore.Store
	scsi  *scsi.Unit
}

// openUnit opens the medium and the reservations of a LUN, in this order: who
// holds the medium is the only one who may speak for its reservations.
func (d *Daemon) openUnit(ctx context.Context, c *config.LUN) (*unit, error) {
	id, err := d.dir.lun(c.Name)
	if err != nil {
		return nil, err
	}
	store, err := backstore.Open(ctx, c.Backstore, d.dir.place(c.Options, id))
	if err != nil {
		return nil, err
	}
	u := &unit{name: c.Name, store: store}
	if err := d.attachReservations(id); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	reservations, err := pr.Open(pr.Config{
		ID: id.UUID.String(), Store: d.prs, Events: d.news.pr(c.Name), Clock: monotonic,
	})
	if err != nil {
		// The unit is there and refuses what the standard says; that is
		// better than a disk that vanished.
		d.news.reservationsUnknown(c.Name, err)
	}
	u.scsi, err = scsi.NewUnit(unitConfig(c, id, store, d.news.scsi(c.Name)), store, reservations)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return u, nil
}

func unitConfig(c *config.LUN, id *identity, store backstore.Store, events *scsi.Events) scsi.UnitConfig {
	uc := scsi.UnitConfig{
		Identity: scsi.Identity{
			Name: c.Name, UUID: id.UUID, NAA: id.UUID.naa(), Serial: id.UUID.serial(),
			Vendor: vendor, Product: product, Revision: revision(),
		},
		BlockSize: c.BlockSize, PhysicalBlock: c.PhysicalBlockSize, ReadOnly: c.ReadOnly, WriteCache: c.WriteCache, Events: events,
	}
	if c.NAA != "" {
		uc.NAA, _ = config.ParseNAA(c.NAA) // validated
	}
	if c.Serial != "" {
		uc.Serial = c.Serial
	}
	if v, ok := store.(backstore.Volume); ok {
		g := v.Geometry()
		uc.Rotational, uc.Thin = g.Rotational, g.Thin
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

// attachReservations opens the LUN's reservation file. A mark beside the
// identity remembers that the file was made: from then on its absence means
// that reservations are lost, not that there were none.
func (d *Daemon) attachReservations(id *identity) error {
	mark := filepath.Join(id.dir, "reservations")
	_, err := os.Stat(mark)
	made := err == nil
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := d.prs.Attach(id.UUID.String(), prstore.Expect{Exists: made}); err != nil {
		return err
	}
	if made {
		return nil
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return fmt.Errorf("remember the reservation file: %w", err)
	}
	return syncDir(id.dir)
}

var processStart = time.Now()

// monotonic is the clock of reservation records, in nanoseconds.
func monotonic() int64 { return int64(time.Since(processStart)) }
