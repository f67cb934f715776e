package admin_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/admin/admintest"
)

// A board with room for a few rows shows those that matter, and counts the rest.
func TestReservationsInAFewRows(t *testing.T) {
	r := newRig(t)
	res := &r.cluster.LUN("shared").Reservations
	one := res.Registrations[0]
	one.Holder = false
	for i := range 1000 {
		g := one
		g.Host, g.Key = fmt.Sprintf("host%d", i), fmt.Sprintf("0x%016x", i)
		res.Registrations = append([]admin.Registration{g}, res.Registrations...)
		res.Others = append(res.Others, admin.Bystander{Host: g.Host, Initiator: admintest.Port(g.Host, 1)})
	}
	res.Registrations[700].Live, res.Registrations[500].Conflicts, res.Others[900].Conflicts = false, 3, 9
	type page struct{ Items []admin.Reservations }
	_, body := r.ask("GET", "/v1/reservations?rows=4", "")
	s := decode[page](t, body).Items[1]
	require.Len(t, s.Registrations, 4)
	require.Equal(t, 1000, s.LeftOut.Registrations)
	require.True(t, s.Registrations[0].Holder)
	require.False(t, s.Registrations[1].Live)
	require.Equal(t, uint64(3), s.Registrations[2].Conflicts)
	require.Equal(t, "host999", s.Registrations[3].Host, "the others keep their order")
	require.Len(t, s.Others, 4)
	require.Equal(t, 996, s.LeftOut.Others)
	require.Equal(t, "host900", s.Others[0].Host)

	_, body = r.ask("GET", "/v1/reservations", "")
	s = decode[page](t, body).Items[1]
	require.Len(t, s.Registrations, 1004)
	require.Zero(t, s.LeftOut)
	require.NotContains(t, body, "left_out")
}

func TestSessionsAreFound(t *testing.T) {
	r := newRig(t)
	for find, n := range map[string]int{"NODE1": 2, "192.0.2.": 2, "4000013700": 4, "198.51.100.12:": 1, "nobody": 0, "": 4} {
		_, body := r.ask("GET", "/v1/sessions?find="+find, "")
		require.Equal(t, n, decode[struct{ Total int }](t, body).Total, find)
	}
}
