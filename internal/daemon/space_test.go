package daemon

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A medium that hangs costs whoever looks at the daemon a moment, once.
func TestHungMediumDoesNotHangTheOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s space
		var looks atomic.Int32
		hung := make(chan struct{})
		quick := func() (int64, bool) { looks.Add(1); return 7, true }
		stuck := func() (int64, bool) { looks.Add(1); <-hung; return 9, true }
		require.Equal(t, int64(7), s.allocated(quick))
		require.Equal(t, int64(7), s.allocated(stuck), "young enough")
		require.Equal(t, int32(1), looks.Load())

		time.Sleep(spaceAge)
		began := time.Now()
		require.Equal(t, int64(7), s.allocated(stuck))
		require.Equal(t, spacePatience, time.Since(began))
		for range 100 {
			require.Equal(t, int64(7), s.allocated(stuck))
		}
		require.Equal(t, spacePatience, time.Since(began), "only the first one waits")
		require.Equal(t, int32(2), looks.Load(), "one look at a time")

		close(hung)
		synctest.Wait()
		require.Equal(t, int64(9), s.allocated(quick))
		time.Sleep(spaceAge)
		require.Equal(t, int64(9), s.allocated(func() (int64, bool) { return 0, false }), "what was known last")
	})
}
