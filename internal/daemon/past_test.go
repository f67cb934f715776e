package daemon

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/scsi"
)

func TestPastOfAUnit(t *testing.T) {
	var p past
	at := time.Unix(1000, 0)
	total := func(bytes uint64) scsi.Totals { return scsi.Totals{Work: scsi.Work{WriteBytes: bytes}} }
	p.note("a", sample{at, total(0)})
	require.Empty(t, p.list()[0].Points, "one look makes no rate")
	require.NotNil(t, p.list()[0].Points, "a list in JSON, and not null")
	for i := 1; i <= 500; i++ {
		p.note("a", sample{at.Add(time.Duration(i) * pastStep), total(uint64(i) * 5000)})
	}
	points := p.list()[0].Points
	require.Len(t, points, int(pastSpan/pastStep)+1)
	require.Equal(t, at.Add(500*pastStep), points[len(points)-1].Time)
	for _, m := range points {
		require.InDelta(t, 1000, m.WriteBytes, 1e-6)
	}

	// A unit that is gone is forgotten; one of the same name begins anew.
	later := at.Add(501 * pastStep)
	p.note("b", sample{later, total(0)})
	p.forget(later)
	require.Len(t, p.list(), 1)
	require.Equal(t, "b", p.list()[0].LUN)
}

// Counters that went back belong to another unit of the name: there is no rate
// over the two.
func TestPastKnowsANewUnit(t *testing.T) {
	var p past
	at := time.Unix(1000, 0)
	p.note("a", sample{at, scsi.Totals{Work: scsi.Work{WriteBytes: 5000}}})
	p.note("a", sample{at.Add(pastStep), scsi.Totals{Work: scsi.Work{WriteBytes: 1000}}})
	require.Empty(t, p.list()[0].Points)
	p.note("a", sample{at.Add(2 * pastStep), scsi.Totals{Work: scsi.Work{WriteBytes: 6000}}})
	require.InDelta(t, 1000, p.list()[0].Points[0].WriteBytes, 1e-6)
}

// Whoever comes late sees what happened before.
func TestPastOfADaemon(t *testing.T) {
	dir := t.TempDir()
	d := startTest(t, parse(t, dir, openTarget))
	_, u := node(t, d, "node1", 1)
	require.Eventually(t, func() bool { return len(d.past.list()) == 2 }, 10*time.Second, 5*time.Millisecond, "the units are noted at once")
	require.NoError(t, u.Write(t.Context(), 0, make([]byte, 65536)))
	d.past.note("a", sample{time.Now(), d.now.Load().units["a"].scsi.State().Total})
	all, err := ask(t, dir).Past(t.Context())
	require.NoError(t, err)
	require.Equal(t, "a", all[0].LUN)
	require.Len(t, all[0].Points, 1)
	require.Positive(t, all[0].Points[0].WriteBytes)
}
