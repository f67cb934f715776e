package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"nas-target/internal/admin"
	"nas-target/internal/audit"
	"nas-target/internal/backstore"
	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// Apply makes a change, and notes it in the trail, granted or not.
func (c *control) Apply(ctx context.Context, ifVersion string, change admin.Change) error {
	e := audit.Entry{Kind: audit.KindAdmin, By: audit.Party{Operator: admin.ActorOf(ctx)}}
	err := c.apply(ctx, &e, ifVersion, change)
	e.Result = audit.Granted
	if err != nil {
		e.Result = "refused"
		e.Detail = err.Error()
	}
	if _, told := change.(admin.ClearReservations); !told || err != nil {
		c.d.trail.Note(e)
	}
	return err
}

func (c *control) apply(ctx context.Context, e *audit.Entry, ifVersion string, change admin.Change) error {
	switch x := change.(type) {
	case admin.KillSession:
		e.Action, e.Detail = audit.ActionKill, x.ID
		return c.kill(e, x.ID)
	case admin.ClearReservations:
		e.Action, e.LUN = audit.ActionClear, x.LUN
		return c.clear(e.By.Operator, ifVersion, x.LUN)
	case admin.ClearFailure:
		e.Action, e.LUN = audit.ActionClearFailure, x.LUN
		return c.clearFailure(e, ifVersion, x.LUN)
	case admin.RetryLUN:
		e.Action, e.LUN = audit.ActionRetry, x.LUN
		return c.d.retry(ctx, x.LUN)
	case admin.Resize:
		e.Action, e.LUN = audit.ActionResize, x.LUN
		return c.resize(e, ifVersion, x)
	case admin.SetLogLevel:
		e.Action, e.Detail = audit.ActionLogLevel, x.Level
		return c.d.setLogLevel(x.Level)
	}
	return fmt.Errorf("%w: this daemon does not know such a change", admin.ErrRefused)
}

func (c *control) kill(e *audit.Entry, id string) error {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return fmt.Errorf("session %s: %w", id, admin.ErrNotFound)
	}
	for _, s := range c.d.server.Sessions() {
		if s.ID == n {
			e.Detail = fmt.Sprintf("%d of %s", n, s.Initiator)
		}
	}
	if !c.d.server.KillSession(n) {
		return fmt.Errorf("session %s: %w", id, admin.ErrNotFound)
	}
	return nil
}

func (c *control) lun(name string) (*unit, error) {
	now := c.d.now.Load()
	u, ok := now.units[name]
	switch why := now.missing[name]; {
	case why != nil:
		return nil, fmt.Errorf("%w: %s is not served: %w", admin.ErrRefused, name, why)
	case !ok:
		return nil, fmt.Errorf("LUN %s: %w", name, admin.ErrNotFound)
	case u.absent != nil:
		return nil, fmt.Errorf("%w: %s is not served: %w", admin.ErrRefused, name, u.absent)
	}
	return u, nil
}

// clear is noted by the reservation manager itself, as every command is.
func (c *control) clear(by, ifVersion, lun string) error {
	u, err := c.lun(lun)
	if err != nil {
		return err
	}
	out, ok := u.scsi.ClearReservations(by, func(s pr.State) bool {
		return ifVersion == "" || ifVersion == stateVersion(s)
	})
	switch {
	case !ok:
		return fmt.Errorf("the reservations of %s: %w", lun, admin.ErrStale)
	case out.Err != nil:
		return fmt.Errorf("save the reservations of %s: %w", lun, out.Err)
	case !out.Verdict.OK():
		return fmt.Errorf("%w: %v", admin.ErrRefused, out.Verdict)
	}
	return nil
}

func (c *control) clearFailure(e *audit.Entry, ifVersion, lun string) error {
	u, err := c.lun(lun)
	if err != nil {
		return err
	}
	st := u.scsi.State()
	switch e.Detail = u.failure(&st); {
	case ifVersion != "" && ifVersion != version(u.bytes(&st), e.Detail):
		return fmt.Errorf("%s: %w", lun, admin.ErrStale)
	case e.Detail == "":
		return fmt.Errorf("%w: %s has no failure to clear", admin.ErrRefused, lun)
	}
	u.scsi.ClearFailure()
	return nil
}

// resize lets a LUN grow. The new size is kept in the data directory first: at
// the next start it stands over the configuration's.
func (c *control) resize(e *audit.Entry, ifVersion string, x admin.Resize) error {
	u, err := c.lun(x.LUN)
	if err != nil {
		return err
	}
	u.resizing.Lock()
	defer u.resizing.Unlock()
	st := u.scsi.State()
	now := u.bytes(&st)
	e.Detail = fmt.Sprintf("%d to %d bytes", now, x.Bytes)
	switch {
	case ifVersion != "" && ifVersion != version(now, u.failure(&st)):
		return fmt.Errorf("%s: %w", x.LUN, admin.ErrStale)
	case x.Bytes <= now:
		return fmt.Errorf("%w: %s has %d bytes, and only grows: initiators would lose what is beyond the new end", admin.ErrRefused, x.LUN, now)
	case x.Bytes%int64(st.BlockSize) != 0:
		return fmt.Errorf("%w: %d is not a whole number of blocks of %d bytes", admin.ErrRefused, x.Bytes, st.BlockSize)
	}
	return u.resize(x.Bytes, now)
}

// resize lets u grow from now to size bytes; u.resizing is held.
func (u *unit) resize(size, now int64) error {
	if u.grown != "" {
		if err := u.grown.remember(size, now); err != nil {
			return err
		}
	}
	err := u.scsi.Resize(size)
	var refused *backstore.Error
	if errors.As(err, &refused) || errors.Is(err, scsi.ErrErasing) || errors.Is(err, scsi.ErrFixedSize) {
		return fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	return err
}

// grownFile keeps the size that an operator gave a LUN, in a file beside its
// identity: the new one, and the one before in case the resize is cut short.
type grownFile string

const grownName = "size"

func (f grownFile) remember(sizes ...int64) error {
	var text []byte
	for _, n := range sizes {
		text = fmt.Appendln(text, n)
	}
	return replaceFile(string(f), text)
}

// sizes returns what is remembered, nothing if nothing is.
func (f grownFile) sizes() ([]int64, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, word := range strings.Fields(string(b)) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", string(f), err)
		}
		all = append(all, n)
	}
	return all, nil
}

// regrown gives the options of a file the size that an operator gave it, if the
// file has it. Sizes below the configured one are overtaken by it.
func regrown(o *backstore.FileOptions, f grownFile) error {
	sizes, err := f.sizes()
	if err != nil || o.Size == 0 {
		return err
	}
	st, err := os.Stat(o.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a new disk has the size that is configured
	}
	if err == nil && st.Size() > o.Size && slices.Contains(sizes, st.Size()) {
		o.Size = st.Size()
	}
	return err
}
