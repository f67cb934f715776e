package daemon

import (
	"context"
	"fmt"
	"sync"
)

// retiring are units that nobody sees any more and that are being closed: a
// medium may hang, and whoever took the LUN away need not wait for it.
type retiring struct {
	all sync.WaitGroup

	mu    sync.Mutex
	names map[string]chan struct{} // closed when the unit of that name is
}

// retire closes u aside and returns a channel that is closed when it is done.
func (d *Daemon) retire(u *unit) <-chan struct{} {
	done := make(chan struct{})
	r := &d.retiring
	r.mu.Lock()
	if r.names == nil {
		r.names = map[string]chan struct{}{}
	}
	r.names[u.name] = done
	r.mu.Unlock()
	r.all.Go(func() {
		if err := u.close(d); err != nil {
			d.news.closeFailed(u.name, err)
		}
		r.mu.Lock()
		delete(r.names, u.name)
		r.mu.Unlock()
		close(done)
	})
	return done
}

// gone returns once no unit of the name is being closed.
func (r *retiring) gone(ctx context.Context, name string) error {
	r.mu.Lock()
	done := r.names[name]
	r.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("its medium is still busy with what came before: %w", ctx.Err())
	}
}

func (r *retiring) wait() { r.all.Wait() }
