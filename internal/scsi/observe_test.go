package scsi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

func TestStateCounts(t *testing.T) {
	r := newRig(t)
	a, b := r.login("iqn.a"), r.login("iqn.b")
	require.Equal(t, Good, a.run(writeCDB(0), block(1), 0).Status)
	require.Equal(t, Good, a.run(writeCDB(1), block(1), 0).Status)
	read := []byte{0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0}
	task := b.run(read, nil, 1024)
	require.Equal(t, Good, task.Status)
	task.Took(3 * time.Millisecond)
	task.Took(20 * time.Microsecond)

	reserve := r.unit.Reservations().Apply(pr.Op{Action: pr.LegacyReserve, From: a.it.Nexus()}, pr.Env{}, nil)
	require.True(t, reserve.Verdict.OK())
	require.Equal(t, ReservationConflict, b.run(read, nil, 1024).Status)

	s := r.unit.State()
	require.Equal(t, uint64(2048), s.Blocks)
	require.Equal(t, uint32(512), s.BlockSize)
	require.True(t, s.WriteCache)
	require.NoError(t, s.Failure)
	require.Len(t, s.Nexuses, 2)
	require.Equal(t, a.it.Nexus(), s.Nexuses[0].Nexus)
	require.Equal(t, uint64(2), s.Nexuses[0].Work.Commands[ClassWrite])
	require.Equal(t, uint64(1024), s.Nexuses[0].Work.WriteBytes)
	require.Equal(t, uint64(1024), s.Nexuses[1].Work.ReadBytes)
	require.Equal(t, uint64(1), s.Nexuses[1].Work.Conflicts)
	l := s.Total.Latency[ClassRead]
	require.Equal(t, uint64(3_020_000), l.Nanoseconds)
	require.Equal(t, uint64(1), l.Counts[1], "20 µs is in the second bucket")
	require.Equal(t, uint64(1), l.Counts[8], "3 ms is at most 4.2 ms")

	// What a nexus did stays counted when it leaves.
	before := s.Total
	b.it.Detach()
	s = r.unit.State()
	require.Len(t, s.Nexuses, 1)
	require.Equal(t, before, s.Total)
	require.Equal(t, uint64(1), s.Total.Conflicts)
}

func TestLatencyBuckets(t *testing.T) {
	for i := range latencyBuckets - 1 {
		var l latency
		l.add(LatencyBound(i))
		l.add(LatencyBound(i) + 1)
		var got Latency
		l.addTo(&got)
		require.Equal(t, uint64(1), got.Counts[i], "a bound belongs to its bucket")
		require.Equal(t, uint64(1), got.Counts[i+1])
	}
	var l latency
	l.add(-time.Second)
	l.add(time.Hour)
	var got Latency
	l.addTo(&got)
	require.Equal(t, uint64(1), got.Counts[0])
	require.Equal(t, uint64(1), got.Counts[latencyBuckets-1])
}

// A task of a LUN that does not exist has a nexus and no unit.
func TestTookOfOddTasks(t *testing.T) {
	r := newRig(t)
	h := r.login("iqn.a")
	(&Task{}).Took(1)
	p := &Task{LUN: NewLUN(9), InLen: 96}
	copy(p.CDB[:], []byte{0x12, 0, 0, 0, 96, 0})
	h.it.Submit(p)
	p.Took(1)
}
