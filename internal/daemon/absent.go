package daemon

import (
	"context"
	"errors"
	"fmt"

	"nas-target/internal/config"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// A LUN whose medium or reservations cannot be opened does not keep the others
// from being served. In its place stands a unit with its identity that answers
// INQUIRY and REPORT LUNS, and everything else with NOT READY, MANUAL
// INTERVENTION REQUIRED: initiators keep the disk in their tables, know which
// one it is, and go on where they were once an operator has had it opened. Were
// it not listed they would drop it, and a cluster would take that for a disk
// that was removed.

// openOrStandIn opens the unit of a LUN. If that fails what stands in for it
// is returned beside the reason; nothing if not even its identity is known.
func (d *Daemon) openOrStandIn(ctx context.Context, c *config.LUN) (*unit, error) {
	u, err := d.openUnit(ctx, c)
	if err == nil {
		return u, nil
	}
	in, more := d.standIn(c, err)
	if more != nil {
		return nil, err // the reason says why already: it was the first to need the identity
	}
	return in, err
}

func (d *Daemon) standIn(c *config.LUN, why error) (*unit, error) {
	id, err := d.dir.lun(c.Name)
	if err != nil {
		return nil, err
	}
	// Reservations that cannot be read are the one condition under which the
	// standard lets a unit refuse just what has to be refused here.
	reservations, _ := pr.Open(pr.Config{ID: id.UUID.String(), Store: unread{why}, Clock: monotonic})
	uc := unitConfig(c, id, nil, d.unitEvents(c.Name))
	u := &unit{name: c.Name, id: id.UUID, absent: why}
	u.scsi, err = scsi.NewUnit(uc, noMedium(c.BlockSize), reservations)
	if err != nil {
		return nil, err
	}
	return u, nil
}

// noMedium stands in for a medium; its value is the size that a unit must have
// and never tells.
type noMedium int64

var errNoMedium = errors.New("the medium is not open")

func (m noMedium) Size() int64                      { return int64(m) }
func (noMedium) Sync() error                        { return errNoMedium }
func (noMedium) ReadAt([]byte, int64) (int, error)  { return 0, errNoMedium }
func (noMedium) WriteAt([]byte, int64) (int, error) { return 0, errNoMedium }

// unread is a store whose states cannot be read now.
type unread struct{ why error }

func (s unread) Load(string) (pr.State, pr.Revision, error) {
	return pr.State{}, 0, fmt.Errorf("not opened: %w", s.why)
}

func (s unread) Save(string, pr.State, pr.Revision) (pr.Revision, error) { return 0, s.why }
