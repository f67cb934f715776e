package initiator

import (
	"context"
	"fmt"
)

// AwaitR2T blocks until a task with HoldData has at least one unanswered R2T,
// and returns all it has.
func (t *Task) AwaitR2T(ctx context.Context) ([]R2T, error) {
	for {
		t.s.mu.Lock()
		held := append([]R2T(nil), t.held...)
		t.s.mu.Unlock()
		if len(held) > 0 {
			return held, nil
		}
		select {
		case <-t.arrived:
		case <-t.x.done:
			return nil, fmt.Errorf("initiator: the task ended before an R2T came: %w", errOr(t.x.err, ErrEnded))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Release answers the R2Ts held so far and every later one.
func (t *Task) Release() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.cmd.HoldData = false
	for _, r := range t.held {
		t.send(r)
	}
	t.held = nil
}

// SendDataOut sends one Data-Out of the caller's making, on the task's
// connection and with its ITT and LUN. It may be as wrong as the caller likes.
// An R2T that is answered this way stays on the list until Forget.
func (t *Task) SendDataOut(d DataOutPDU, f Fault) {
	d.ITT, d.LUN = t.x.itt, t.cmd.LUN
	t.x.conn.Send(d.PDU(), f)
}

// Forget takes an R2T off the list of unanswered ones without sending its data.
func (t *Task) Forget(r R2T) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for i, h := range t.held {
		if h == r {
			t.held = append(t.held[:i], t.held[i+1:]...)
			return
		}
	}
}

func errOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
