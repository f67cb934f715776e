package sim_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/backstore/backtest"
	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// ordered is a bed that two nexuses reach over the wire, through two ports.
func ordered(t *testing.T) (bed *sim.Bed, a, b sim.Host) {
	t.Helper()
	bed = sim.NewBed(sim.Config{Wire: true, Ports: 2})
	t.Cleanup(func() {
		bed.Stall.Release()
		bed.Close()
	})
	var err error
	a, err = bed.Login(sim.Who{Node: "a"})
	require.NoError(t, err)
	b, err = bed.Login(sim.Who{Node: "b", Port: 1})
	require.NoError(t, err)
	sim.Attentions(a)
	sim.Attentions(b)
	return bed, a, b
}

// ORDERED waits for everything older and holds back everything newer, whichever
// nexus they come from; HEAD OF QUEUE waits for nothing. SAM-5 8.6.
func TestTaskAttributesAcrossNexuses(t *testing.T) {
	const bs = sim.BlockSize
	bed, a, b := ordered(t)
	write := func(lba uint64, attr initiator.TaskAttr) initiator.Cmd {
		c := initiator.Write16(lba, bytes.Repeat([]byte{byte(lba)}, bs), bs, 0)
		c.Attr = attr
		return c
	}
	bed.Stall.StallIf(func(c *backtest.Call) bool { return c.Op.Changes() && c.Off == 0 })
	oldest := a.Start(write(0, initiator.Simple))
	bed.Stall.WaitFor(1)
	middle := b.Start(write(8, initiator.Ordered))
	require.NoError(t, b.Ping()) // it has arrived: both come in the order of CmdSN
	newest := a.Start(write(16, initiator.Simple))
	require.NoError(t, a.Ping())
	require.True(t, sim.Do(b, write(24, initiator.HeadOfQueue)).Good(), "HEAD OF QUEUE overtakes")
	require.Len(t, changes(bed), 1, "nothing else has reached the medium")
	select {
	case <-middle.Done():
		t.Fatal("ORDERED has overtaken")
	case <-newest.Done():
		t.Fatal("SIMPLE has overtaken ORDERED")
	default:
	}
	bed.Stall.Release()
	for _, r := range []sim.Running{oldest, middle, newest} {
		<-r.Done()
		require.True(t, r.Answer().Good(), "%v", r.Answer())
	}
	require.Equal(t, []int64{24, 0, 8, 16}, changes(bed))
	require.Empty(t, bed.Violations())
}

// changes are the first blocks of what was written, in the order in which it
// ended.
func changes(bed *sim.Bed) (lbas []int64) {
	for _, e := range bed.Entries() {
		if e.Op.Changes() {
			lbas = append(lbas, e.Off/sim.BlockSize)
		}
	}
	return lbas
}

// What one nexus changes for all, the others are told once, on every path; who
// did it is not.
func TestChangesAreToldToEveryNexus(t *testing.T) {
	bed, a, b := ordered(t)
	third, err := bed.Login(sim.Who{Node: "b"}) // the other port, the same machine
	require.NoError(t, err)
	sim.Attentions(third)
	told := func(what string, h sim.Host, want ...initiator.ASC) {
		t.Helper()
		require.Equal(t, want, sim.Attentions(h), what)
	}
	// MODE SELECT of the caching page: WCE off, and on again.
	for _, wce := range []byte{0, 4} {
		page := append([]byte{0x08, 0x12, wce}, make([]byte, 17)...)
		sim.Must(a, initiator.ModeSelect10(true, false, append(make([]byte, 8), page...)))
		told("MODE SELECT, the sender", a)
		told("MODE SELECT", b, initiator.ASCModeParametersChanged)
		told("MODE SELECT", third, initiator.ASCModeParametersChanged)
	}
	before := bed.Unit.Size()
	require.NoError(t, bed.Unit.Resize(before+1<<20))
	for _, h := range []sim.Host{a, b, third} {
		told("resize", h, initiator.ASCCapacityChanged)
		sim.Must(h, initiator.Read16(uint64(before/sim.BlockSize), 8, sim.BlockSize, 0))
	}
	require.Empty(t, bed.Violations())
}
