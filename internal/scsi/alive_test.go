package scsi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Alive tells a unit that hangs from one whose medium does.
func TestAlive(t *testing.T) {
	var u Unit
	u.data.max, u.ctl.max = unitWorkers, 1
	require.NoError(t, u.Alive())

	u.data.running, u.data.len = 1, 3 // a worker is in the medium, the rest waits for it
	require.NoError(t, u.Alive())
	u.data.running = 0
	require.ErrorIs(t, u.Alive(), errNoWorker)
	u.data.len, u.ctl.len = 0, 1
	require.ErrorIs(t, u.Alive(), errNoWorker)
	u.ctl.len = 0

	u.mu.Lock()
	answer := make(chan error)
	go func() { answer <- u.Alive() }()
	select {
	case <-answer:
		t.Fatal("alive although its lock is held")
	case <-time.After(20 * time.Millisecond):
	}
	u.mu.Unlock()
	require.NoError(t, <-answer)
}
