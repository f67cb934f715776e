package scsi

import (
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// SPC-2 r20 5.5.1: under RESERVE, PERSISTENT RESERVE IN and OUT conflict
// whoever sends them, the owner of the RESERVE included.
func TestReserveExcludesPersistentReservations(t *testing.T) {
	r := newRig(t)
	owner, other := r.login("iqn.2026-11.test:owner"), r.login("iqn.2026-11.test:other")
	require.Equal(t, Good, owner.run([]byte{0x16, 0, 0, 0, 0, 0}, nil, 0).Status)
	for _, h := range []*host{owner, other} {
		for sa := range byte(4) {
			require.Equal(t, ReservationConflict, h.run([]byte{0x5e, sa, 0, 0, 0, 0, 0, 0, 64, 0}, nil, 64).Status)
		}
		require.Equal(t, ReservationConflict, h.prOut(pr.RegisterAndIgnore, 0, 0, 1))
	}
	require.Equal(t, Good, owner.run([]byte{0x17, 0, 0, 0, 0, 0}, nil, 0).Status)
	require.Equal(t, Good, other.prOut(pr.RegisterAndIgnore, 0, 0, 1))
}
