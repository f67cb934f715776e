package iscsi

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// wait plays one wait of the given length and returns how long it was polled.
func (p *patience) wait(now *int64, length int64) (polled int64) {
	start := *now
	for p.more(*now) && *now-start < length {
		*now += 1000
	}
	polled = *now - start
	p.stop()
	*now = max(*now, start+length)
	p.arrived(*now)
	return polled
}

func TestPatience(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	now := int64(1)
	var p patience

	// A busy connection: bytes come after 30 µs. Soon all of it is polled.
	for range 50 {
		p.wait(&now, 30_000)
	}
	require.InDelta(t, 30_000, p.gap, 2000)
	require.InDelta(t, 30_000, p.wait(&now, 30_000), 1000)
	require.InDelta(t, 60_000, p.wait(&now, 10_000_000), 4000, "twice the usual, then it parks")

	// One that is never quiet does not wait at all.
	for range 100 {
		p.arrived(now)
	}
	require.Less(t, p.gap, int64(8))
	require.LessOrEqual(t, p.wait(&now, 1_000_000), int64(pollLeast+1000))

	// A quiet one gives up, and costs nothing.
	for range 50 {
		p.wait(&now, 5_000_000_000)
	}
	require.Zero(t, p.wait(&now, 5_000_000_000))

	// It learns again when it becomes busy, although each wait then ends in a
	// wake-up.
	for range 50 {
		p.wait(&now, 200_000)
	}
	require.Equal(t, int64(pollMost), p.wait(&now, 200_000))
	require.Zero(t, pollers.Load())
}

// Where others want the processor, polling takes it from them, and being woken
// is cheap.
func TestPollingPausesOnABusyProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	now := int64(1)
	var p patience
	require.True(t, p.more(now))
	now += 1000
	require.True(t, p.more(now))
	now += pollLost + 1
	require.False(t, p.more(now), "somebody had the processor for so long")
	p.arrived(now)
	require.False(t, p.more(now+pollPause-1))
	p.arrived(now + pollPause)
	require.True(t, p.more(now+pollPause))
	p.stop()
	require.Zero(t, pollers.Load())
}

func TestPollersAreBounded(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	var all [5]patience
	n := 0
	for i := range all {
		if all[i].more(1) {
			n++
		}
	}
	require.Equal(t, 2, n)
	for i := range all {
		all[i].stop()
	}
	require.Zero(t, pollers.Load())
	runtime.GOMAXPROCS(1)
	require.False(t, new(patience).more(1), "the only processor belongs to the initiator, too")
}
