package scsi

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// However many calls of a nexus are stuck in the medium, the others read and
// write, before, while and after they fence it.
func TestStuckNexusKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		survivor, victim := r.cluster()
		third := r.login("iqn.2026-11.test:third")
		third.register(0xc)
		release := r.medium.stall()
		var stuck []*pending
		for i := range uint32(64) {
			stuck = append(stuck, victim.write(i, 1))
		}
		synctest.Wait()
		r.medium.letNewIn()

		serves := func() {
			t.Helper()
			var all []*pending
			for i := range uint32(20) {
				all = append(all, survivor.write(500+i, 2), third.write(600+i, 3))
			}
			synctest.Wait()
			for _, w := range all {
				require.True(t, w.ended(), "waits for a call of another nexus")
				require.Equal(t, Good, w.Status)
			}
		}
		serves()
		fence := survivor.preempt(pr.Preempt)
		serves()
		require.False(t, fence.ended())
		release()
		<-fence.over
		serves()
		for _, w := range stuck {
			<-w.over
		}
	})
}

// Spare workers are bounded.
func TestSpareWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		release := r.medium.stall()
		var all []*pending
		for range 60 {
			h := r.login("iqn.2026-11.test:host" + string(rune('a'+len(all))))
			all = append(all, h.write(1, 1))
		}
		synctest.Wait()
		require.Equal(t, unitWorkers, r.unit.data.running)
		require.Equal(t, spareWorkers, r.unit.data.sparing)
		release()
		for _, w := range all {
			<-w.over
			require.Equal(t, Good, w.Status)
		}
		synctest.Wait()
		require.Zero(t, r.unit.data.running)
		require.Zero(t, r.unit.data.sparing)
		require.Zero(t, r.unit.data.len)
	})
}
