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
	crowd(r.cluster, 10_000, 1000)
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
		// A few tries: the machine has other things to do.
		took := time.Hour
		for try := 0; try < 4 && took >= raceSlowdown*time.Second; try++ {
			began := time.Now()
			n, err := ask()
			took = time.Since(began)
			require.NoError(t, err, name)
			require.Equal(t, 10_000, n, name)
		}
		require.Less(t, took, raceSlowdown*time.Second, name)
		t.Logf("%s: %v", name, took.Round(time.Millisecond))
	}
}

// crowd fills a cluster up to so many sessions and so many registrations of the
// shared disk, where everybody else is a bystander.
func crowd(c *admintest.Cluster, sessions, registrations int) {
	res := &c.LUN("shared").Reservations
	one := res.Registrations[0]
	one.Holder = false
	for i := range sessions - len(c.Now.Sessions) {
		host := fmt.Sprintf("host%05d.some.long.domain.example.com", i)
		s := c.Login(host, 1, byte(i))
		s.Oldest = &admin.Command{Name: "WRITE(16)", LUN: 1, Seconds: float64(i) / 1000}
		if len(res.Registrations) < registrations {
			one.Initiator, one.Host, one.Session = s.Initiator, host, s.ID
			res.Registrations = append(res.Registrations, one)
			continue
		}
		res.Others = append(res.Others, admin.Bystander{Initiator: s.Initiator, Host: host, ISID: s.ISID, Target: s.Target, Session: s.ID, Address: s.Address, Access: admin.MayRead})
	}
}
