package backstore

import "sync/atomic"

// inflight counts the calls inside a store, so that Close can wait for them:
// a descriptor closed under a running pwrite may be another file's by the time
// the kernel looks at it. The zero value is open.
type inflight struct {
	n    atomic.Int64 // calls inside; closing is added once Close was called
	idle atomic.Pointer[chan struct{}]
}

const closing = -1 << 62

// enter reports whether the store is open; if so the caller must leave.
func (g *inflight) enter() bool {
	if g.n.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *inflight) leave() {
	if g.n.Add(-1) == closing {
		if c := g.idle.Load(); c != nil {
			select {
			case *c <- struct{}{}:
			default:
			}
		}
	}
}

// close refuses new calls, waits for those inside and reports true; false if
// it was closed before.
func (g *inflight) close() bool {
	c := make(chan struct{}, 1)
	if !g.idle.CompareAndSwap(nil, &c) {
		return false
	}
	if g.n.Add(closing) != closing {
		for g.n.Load() != closing {
			<-c
		}
	}
	return true
}
