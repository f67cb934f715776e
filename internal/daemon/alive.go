package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Alive returns nil if the daemon can still do its work: every portal's accept
// loop comes round, and every unit takes and runs commands. What hangs in a
// medium, or in a peer, does not make the daemon dead: ending it would cut off
// all others and mend nothing. A watchdog asks this.
func (d *Daemon) Alive(ctx context.Context) error {
	if !d.ready.Load() {
		return nil // it starts or ends, which have limits of their own
	}
	look := d.heart.look(func() error {
		var errs []error
		for _, u := range d.now.Load().units {
			if err := u.scsi.Alive(); err != nil {
				errs = append(errs, fmt.Errorf("LUN %s: %w", u.name, err))
			}
		}
		return errors.Join(errs...)
	})
	errs := []error{d.heart.accepting(ctx)}
	select {
	case <-look.done:
		errs = append(errs, look.err)
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("a LUN's lock is held: %w", ctx.Err()))
	}
	return errors.Join(errs...)
}

// heart is what the daemon knows of its own life.
type heart struct {
	mu     sync.Mutex
	pulses []*pulse
	last   *look
}

// look is one look at the units. It has an end unless they have none.
type look struct {
	done chan struct{}
	err  error // valid when done is closed
}

func (h *heart) add(p *pulse) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulses = append(h.pulses, p)
}

// look starts f, or returns the look that has not ended yet: one that hangs is
// enough.
func (h *heart) look(f func() error) *look {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last != nil {
		select {
		case <-h.last.done:
		default:
			return h.last
		}
	}
	l := &look{done: make(chan struct{})}
	h.last = l
	go func() {
		defer close(l.done)
		l.err = f()
	}()
	return l
}

// accepting returns nil once every open portal was seen to accept.
func (h *heart) accepting(ctx context.Context) error {
	h.mu.Lock()
	waiting := slices.Clone(h.pulses)
	h.mu.Unlock()
	before := make([]uint64, len(waiting))
	for i, p := range waiting {
		before[i] = p.beats.Load()
	}
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var silent *pulse
		for i, p := range waiting {
			switch {
			case p == nil:
			case p.beats.Load() != before[i]:
				waiting[i] = nil
			case p.ask() != nil:
				h.drop(p)
				waiting[i] = nil
			default:
				silent = p
			}
		}
		if silent == nil {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("portal %s: nobody accepts: %w", silent.Addr(), ctx.Err())
		}
	}
}

// drop forgets a portal that is closed.
func (h *heart) drop(p *pulse) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulses = slices.DeleteFunc(h.pulses, func(o *pulse) bool { return o == p })
}

// pulse is a portal's socket that can tell whether somebody accepts from it:
// a deadline in the past sends whoever waits in Accept once round its loop,
// without a connection that would have to pass the limits for strangers.
type pulse struct {
	*net.TCPListener
	beats atomic.Uint64 // returns of Accept
}

// Accept implements net.Listener.
func (p *pulse) Accept() (net.Conn, error) {
	for {
		c, err := p.TCPListener.Accept()
		p.beats.Add(1)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return c, err
		}
		if err := p.SetDeadline(time.Time{}); err != nil {
			return nil, err
		}
	}
}

// ask makes the one who accepts show up. It fails if the socket is closed. If
// it meets the end of an earlier question it has to be asked again.
func (p *pulse) ask() error { return p.SetDeadline(time.Unix(1, 0)) }
