package backstore

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestCloseWaitsForCallsInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g inflight
		require.True(t, g.enter())
		require.True(t, g.enter())
		done := false
		go func() { g.close(); done = true }()
		synctest.Wait()
		require.False(t, g.enter(), "no call enters once Close was called")
		require.False(t, done)
		g.leave()
		synctest.Wait()
		require.False(t, done, "one call is still inside")
		g.leave()
		synctest.Wait()
		require.True(t, done)
		require.False(t, g.enter())
		require.False(t, g.close(), "a second Close has nothing to close")
	})
}

func TestCloseUnderLoad(t *testing.T) {
	for range 200 {
		var g inflight
		var inside sync.Map
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for g.enter() {
					inside.Store(i, true)
					inside.Delete(i)
					g.leave()
				}
			})
		}
		require.True(t, g.close())
		inside.Range(func(k, _ any) bool { t.Fatalf("call %v inside after close", k); return false })
		wg.Wait()
	}
}
