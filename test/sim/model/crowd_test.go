package model

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// crowded is a unit with as many registrations as it holds, the last of them
// that of the session it returns.
func crowded(t testing.TB, size int) sim.Host {
	bed := sim.NewBed(sim.Config{Wire: true})
	t.Cleanup(bed.Close)
	host, err := bed.Login(sim.Who{Node: "last"})
	require.NoError(t, err)
	p := initiator.PRParams{ServiceKey: 7}
	for i := range size - 1 {
		p.SpecIPT = append(p.SpecIPT, sim.Who{Node: fmt.Sprintf("hyperv-cluster-node.example.org.%04d", i)}.PortID())
	}
	sim.Must(host, initiator.PROut(initiator.PRRegister, 0, 0, p.Marshal()))
	return host
}

const full = 1024

// TestFullUnitReports: a unit with 1,024 registrations tells of each of them,
// and quickly.
func TestFullUnitReports(t *testing.T) {
	host := crowded(t, full)
	keys := sim.Must(host, initiator.PRIn(initiator.PRReadKeys, 65535)).Data
	require.Len(t, keys, 8+8*full)

	// The allocation length ends at 65,535 bytes, ADDITIONAL LENGTH does not.
	status := initiator.PRIn(initiator.PRReadFullStatus, 65535)
	b := sim.Must(host, status).Data
	require.Len(t, b, 65535)
	id := sim.Who{Node: "hyperv-cluster-node.example.org.0000"}.PortID()
	mine := host.Who().PortID()
	want := (full-1)*(24+len(id.Marshal())) + 24 + len(mine.Marshal())
	require.EqualValues(t, want, binary.BigEndian.Uint32(b[4:]))

	var times []time.Duration
	for range 50 {
		begin := time.Now()
		sim.Must(host, status)
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	t.Logf("READ FULL STATUS of %d registrations: median %v, slowest %v", full, times[25], times[49])
	require.Less(t, times[25], sim.Limit(5*time.Millisecond))
}

// BenchmarkReadFullStatus is one READ FULL STATUS of 1,024 registrations over
// a session.
func BenchmarkReadFullStatus(b *testing.B) {
	host := crowded(b, full)
	status := initiator.PRIn(initiator.PRReadFullStatus, 65535)
	for b.Loop() {
		sim.Must(host, status)
	}
}
