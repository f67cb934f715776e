package interop

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
)

// Connections that break in the middle of write bursts leave a target that
// lets the same initiator in at once, has every block whole, old or new, and
// goes on serving.
func TestCutInAWriteBurst(t *testing.T) {
	const (
		rounds = 20
		writes = 16
		chunk  = 64 << 10
		blocks = chunk / 512
		area   = writes * chunk
	)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	tgt := start(t, 64*mib)

	before := make([][]byte, rounds+1) // what each round writes; 0 is zeros
	before[0] = make([]byte, area)
	for round := 1; round <= rounds; round++ {
		isid := [6]byte{0x80, 1, 2, 3, 4, 5} // the same port each time
		s, err := initiator.Dial(t.Context(), initiator.Config{
			Addr: tgt.Addr, Target: tgt.IQN, InitiatorName: "iqn.2026-11.test.interop:cut", ISID: isid, Tolerant: true,
		})
		require.NoError(t, err, "round %d", round)
		u := s.Unit(uint16(tgt.LUN))
		_, err = u.DrainUA(t.Context())
		require.NoError(t, err)

		before[round] = stamp(int64(round), 0, area)
		s.Conns()[0].NetConn().CutAfter(random.Int64N(area))
		var tasks []*initiator.Task
		for i := range writes {
			c := initiator.Write16(uint64(i*blocks), before[round][i*chunk:(i+1)*chunk], 512, 0)
			task, err := u.Start(t.Context(), c)
			if err != nil {
				break // cut already
			}
			tasks = append(tasks, task)
		}
		for _, task := range tasks {
			_, _ = task.Wait(t.Context()) // ends with the connection at the latest
		}
		_ = s.Close()

		begin := time.Now()
		s, u = login(t, tgt, "iqn.2026-11.test.interop:after")
		require.Less(t, time.Since(begin), 5*time.Second, "the next login has to wait")
		got, err := u.Read(t.Context(), 0, area/512)
		require.NoError(t, err)
		requireWholeBlocks(t, got, before[:round+1])
		require.NoError(t, s.Logout(t.Context()))
	}
}

// requireWholeBlocks fails unless each block is as one of the versions has it.
func requireWholeBlocks(t *testing.T, got []byte, versions [][]byte) {
	t.Helper()
	for off := 0; off < len(got); off += 512 {
		whole := false
		for _, v := range versions {
			whole = whole || bytes.Equal(got[off:off+512], v[off:off+512])
		}
		require.True(t, whole, "block %d is torn: %q", off/512, got[off:off+64])
	}
}
