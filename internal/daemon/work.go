package daemon

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"nas-target/internal/admin"
	"nas-target/internal/backstore"
)

// works are what takes long and is under way, for who waits and asks.
type works struct {
	mu    sync.Mutex
	byLUN map[string]*work
}

type work struct {
	admin.Work
	told time.Time // in the log
}

// workEvery is how often the log says how far a work is.
const workEvery = 5 * time.Second

// preallocating has ctx tell how far the opening of a LUN is. The end of it is
// the caller's to tell.
func (d *Daemon) preallocating(ctx context.Context, lun string) (_ context.Context, end func()) {
	return backstore.WithProgress(ctx, func(done, total int64) { d.works.note(d.news, lun, done, total, time.Now()) }), func() {
		d.works.mu.Lock()
		defer d.works.mu.Unlock()
		delete(d.works.byLUN, lun)
	}
}

func (w *works) note(n *news, lun string, done, total int64, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.byLUN[lun]
	if x == nil {
		x = &work{Work: admin.Work{LUN: lun, What: "preallocate", Since: now}, told: now}
		if w.byLUN == nil {
			w.byLUN = map[string]*work{}
		}
		w.byLUN[lun] = x
	}
	x.Done, x.Total = done, total
	if late := now.Sub(x.told) >= workEvery; late || done == total && now.Sub(x.Since) >= workEvery {
		x.told = now
		n.log.Info("preallocating a disk", zap.String("lun", lun), zap.Int64("percent", 100*done/max(1, total)), zap.Int64("bytes", total), zap.Duration("since", now.Sub(x.Since).Round(time.Second)))
	}
}

func (w *works) list() []admin.Work {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []admin.Work
	for _, x := range w.byLUN {
		all = append(all, x.Work)
	}
	slices.SortFunc(all, func(a, b admin.Work) int { return strings.Compare(a.LUN, b.LUN) })
	return all
}
