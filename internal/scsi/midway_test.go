package scsi

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// RESERVATION CONFLICT says that nothing was done. A command that is stopped
// by a fence after it changed the medium says something else.
func TestConflictMeansNothingWasDone(t *testing.T) {
	for _, c := range []struct {
		name, cdb string
		out       []byte
	}{
		{"WRITE AND VERIFY", "8e 00 0000000000000010 00000001 00 00", block(7)},
		{"WRITE SAME over 1 MiB", "93 00 0000000000000010 00001000 00 00", block(7)},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.medium.data = make([]byte, 4<<20)
			r.unit.change(func(f *conf) { f.blocks = 8192 })
			survivor, victim := r.cluster()
			release := r.medium.stall()
			w, g := victim.start(unhex(c.cdb), c.out, len(c.out), 0)
			require.Equal(t, Pending, g)
			synctest.Wait()
			fence := survivor.preempt(pr.Preempt)
			synctest.Wait()
			release()
			<-fence.over
			<-w.over
			require.Equal(t, Good, fence.Status)
			require.Equal(t, 1, r.medium.writes, "%s", c.name)
			requireSense(t, ErrFencedMidway, w.Task)
			again := victim.run(unhex(c.cdb), c.out, 0)
			require.Equal(t, ReservationConflict, again.Status)
			require.Equal(t, 1, r.medium.writes)
		})
	}
}
