package daemon

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
	"nas-target/internal/scsi"
)

// Ten thousand nexuses (fewer under the race detector, where bringing them to
// life takes a minute) and a thousand registrations: the operator's picture and
// a scrape take less than a second.
func TestPictureOfManyIsQuick(t *testing.T) {
	d := startTest(t, parse(t, t.TempDir(), openTarget))
	target := d.now.Load().targets[0]
	port := pr.TargetPort(testTarget, 1)
	name := func(i int) pr.Nexus {
		return pr.Nexus{Initiator: pr.InitiatorPort(fmt.Sprintf("iqn.2026-11.com.example.some.long.domain:host%05d", i), [6]byte{0x40, byte(i >> 8), byte(i)}), Target: port}
	}
	for i := range manyNexuses {
		target.device.Attach(name(i), scsi.LUNMap{0: d.now.Load().units["a"].scsi})
	}
	reservations := d.now.Load().units["a"].scsi.Reservations()
	for i := range 1000 {
		v := reservations.Apply(pr.Op{Action: pr.RegisterAndIgnore, From: name(i), ServiceKey: pr.Key(i + 1)}, pr.Env{}, nil).Verdict
		require.True(t, v.OK())
	}
	require.True(t, reservations.Apply(pr.Op{Action: pr.Reserve, From: name(0), Key: 1, Type: pr.WriteExclusiveRegistrantsOnly}, pr.Env{}, nil).Verdict.OK())
	d.trail.Written()

	c := &control{d: d}
	for what, look := range map[string]func(){
		"status": func() {
			s := c.Status(t.Context())
			r := s.Targets[0].LUNs[0].Reservations
			require.Len(t, r.Registrations, 1000)
			require.Len(t, r.Others, manyNexuses-1000)
			require.NotZero(t, r.Registrations[999].Made.Entry)
		},
		"scrape": func() { require.Equal(t, 1000, d.figures().LUNs[0].Registrations) },
	} {
		began := time.Now()
		look()
		took := time.Since(began)
		require.Less(t, took, raceSlowdown*time.Second, what)
		t.Logf("%s: %v", what, took.Round(time.Millisecond))
	}
}
