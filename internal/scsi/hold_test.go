package scsi

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// A host whose path broke while the disk hangs logs in again and fences
// another: its own old calls, stuck in the medium, do not keep it from that.
func TestReservationCommandsDoNotWaitForTheOldSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		survivor, victim := r.cluster()
		release := r.medium.stall()
		stuck := survivor.write(1, 1)
		synctest.Wait()
		survivor.it.Detach()
		again := &host{r: r, it: r.dev.Attach(survivor.it.Nexus(), LUNMap{0: r.unit})}
		requireSense(t, UANexusLoss, again.run(make([]byte, 6), nil, 0))

		fence := again.preempt(pr.PreemptAndAbort)
		synctest.Wait()
		require.True(t, fence.ended(), "waits for a call of its own old session")
		require.Equal(t, Good, fence.Status)
		require.Equal(t, ReservationConflict, victim.run(writeCDB(2), block(2), 0).Status)
		w := again.write(1, 2)
		synctest.Wait()
		require.False(t, w.ended(), "a write overtook one of the old session")
		release()
		<-w.over
		<-stuck.over
		require.Equal(t, block(2), r.medium.data[512:1024])
	})
}
