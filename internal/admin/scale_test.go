package admin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/admin/admintest"
)

// Ten thousand sessions and a thousand registrations are listed whole, or say
// that they are not, within a second.
func TestBigListsAnswerInASecond(t *testing.T) {
	r := newRig(t)
	for i := range 10_000 - len(r.cluster.Now.Sessions) {
		s := r.cluster.Login(fmt.Sprintf("host%05d.some.long.domain.example.com", i), 1, byte(i))
		s.Oldest = &admin.Command{Name: "WRITE(16)", LUN: 1, Seconds: float64(i)}
	}
	res := &r.cluster.LUN("shared").Reservations
	one := res.Registrations[0]
	for i := range 1000 - len(res.Registrations) {
		one.Initiator, one.Holder = admintest.Port(fmt.Sprintf("host%05d.some.long.domain.example.com", i), byte(i)), false
		res.Registrations = append(res.Registrations, one)
	}
	ctx := t.Context()
	for name, ask := range map[string]func() (int, error){
		"status":       func() (int, error) { o, err := r.client.Overview(ctx); return o.Sessions, err },
		"sessions":     func() (int, error) { s, err := r.client.Sessions(ctx); return len(s), err },
		"session":      func() (int, error) { _, err := r.client.Session(ctx, "9999"); return 10_000, err },
		"reservations": func() (int, error) { s, err := r.client.Reservations(ctx); return len(s[1].Registrations) * 10, err },
		"one LUN's": func() (int, error) {
			s, err := r.client.ReservationsOf(ctx, "shared")
			return len(s.Registrations) * 10, err
		},
		"the page's": func() (int, error) {
			_, body := r.ask("GET", "/v1/sessions?limit=200", "")
			a := decode[struct {
				Total int
				Items []any
				More  bool
			}](t, body)
			require.Len(t, a.Items, 200)
			require.True(t, a.More)
			return a.Total, nil
		},
	} {
		began := time.Now()
		n, err := ask()
		took := time.Since(began)
		require.NoError(t, err, name)
		require.Equal(t, 10_000, n, name)
		require.Less(t, took, raceSlowdown*time.Second, name)
		t.Logf("%s: %v", name, took.Round(time.Millisecond))
	}
}
