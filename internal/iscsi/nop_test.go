package iscsi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLooksFallTogether(t *testing.T) {
	for _, c := range []struct{ now, d, slot, want time.Duration }{
		{0, 5000, 625, 5000},
		{1, 5000, 625, 5000},
		{624, 5000, 625, 5000},
		{5003, 5000, 625, 10000},
		{5003, 1, 625, 5625}, // never now: that would be asked again and again
		{5000, 0, 625, 5625},
		{7, 3, 1, 10}, // intervals too short to divide
	} {
		require.Equal(t, c.want, slotBefore(c.now, c.d, c.slot), "%+v", c)
	}
	// Whenever connections came, an interval later they are in few slots.
	const interval, slot = 5 * time.Second, 5 * time.Second / pingSlots
	slots := map[time.Duration]bool{}
	for came := range 1000 {
		at := time.Duration(came) * interval / 1000
		next := slotBefore(at, interval, slot)
		require.LessOrEqual(t, next, at+interval)
		require.Greater(t, next, at+interval-slot)
		slots[next] = true
	}
	require.Len(t, slots, pingSlots)
}
