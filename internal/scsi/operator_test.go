package scsi

import (
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

func TestOperatorClears(t *testing.T) {
	r := newRig(t)
	a, b := r.login("iqn.a"), r.login("iqn.b")
	for i, h := range []*host{a, b} {
		v := r.unit.Reservations().Apply(pr.Op{Action: pr.Register, From: h.it.Nexus(), ServiceKey: pr.Key(i + 1)}, pr.Env{}, nil).Verdict
		require.True(t, v.OK())
	}
	require.True(t, r.unit.Reservations().Apply(pr.Op{Action: pr.Reserve, From: a.it.Nexus(), Key: 1, Type: pr.WriteExclusive}, pr.Env{}, nil).Verdict.OK())
	require.Equal(t, ReservationConflict, b.run(writeCDB(0), block(1), 0).Status)

	_, ok := r.unit.ClearReservations("uid 0", func(s pr.State) bool { return s.Generation == 1 })
	require.False(t, ok, "another state than the operator saw")
	require.Len(t, r.unit.Reservations().State().Registrations, 2)

	out, ok := r.unit.ClearReservations("uid 0", func(s pr.State) bool { return s.Generation == 2 })
	require.True(t, ok)
	require.True(t, out.Verdict.OK())
	require.Empty(t, r.unit.Reservations().State().Registrations)
	for _, h := range []*host{a, b} {
		requireSense(t, UAReservationsPreempted, h.run(make([]byte, 6), nil, 0))
		require.Equal(t, Good, h.run(writeCDB(0), block(1), 0).Status)
	}
}
