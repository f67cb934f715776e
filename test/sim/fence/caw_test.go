package fence

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

const contenders = 16

// TestCompareAndWriteIsAtomic: of sixteen that replace the same block, one
// finds it as it was, and nobody ever reads a mixture. G7.
func TestCompareAndWriteIsAtomic(t *testing.T) {
	for _, w := range []struct {
		name   string
		config sim.Config
		size   string
		rounds int
	}{{"direct", sim.Config{}, "CAW_ROUNDS", 200}, {"wire", sim.Config{Wire: true}, "CAW_WIRE_ROUNDS", 100}} {
		t.Run(w.name, func(t *testing.T) {
			rounds := sim.Size(t, w.size, w.rounds)
			w.config.Ports = 2
			bed := sim.NewBed(w.config)
			defer bed.Close()
			var hosts []sim.Host
			for i := range contenders + 1 {
				h, err := bed.Login(sim.Who{Node: fmt.Sprintf("c%d", i), Port: i % 2})
				require.NoError(t, err)
				sim.Attentions(h)
				hosts = append(hosts, h)
			}
			const lba = 100
			now := sim.Stamp{LBA: lba}.Blocks(1)
			sim.Must(hosts[0], initiator.Write16(lba, now, bs, 0))

			var stop atomic.Bool
			torn := make(chan error, 1)
			go func() { torn <- readAlong(hosts[contenders], lba, &stop) }()
			for round := range rounds {
				winner := contend(t, hosts[:contenders], uint32(round+1), lba, now)
				now = sim.Stamp{Host: uint16(winner), Epoch: uint32(round + 1), LBA: lba}.Blocks(1)
				require.Equal(t, now, bed.Content(lba, 1), "round %d", round)
			}
			stop.Store(true)
			require.NoError(t, <-torn)
			require.Empty(t, bed.Violations())
			sim.Bound(t, "contests", rounds)
		})
	}
}

// contend lets all hosts try, and returns the one that succeeded.
func contend(t *testing.T, hosts []sim.Host, round uint32, lba int, old []byte) (winner int) {
	answers := make([]sim.Answer, len(hosts))
	barrier := make(chan struct{})
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c := initiator.CompareAndWrite(uint64(lba), old, sim.Stamp{Host: uint16(i), Epoch: round, LBA: uint32(lba)}.Blocks(1), bs, 0)
			<-barrier
			answers[i] = sim.Do(h, c)
		}()
	}
	close(barrier)
	wg.Wait()
	winner = -1
	for i, a := range answers {
		if a.Good() {
			require.Equal(t, -1, winner, "round %d has two winners", round)
			winner = i
			continue
		}
		require.True(t, a.Is(initiator.CheckCondition) && a.Sense.Is(initiator.Miscompare, initiator.ASCMiscompare), "%v", a)
	}
	require.NotEqual(t, -1, winner, "round %d has no winner", round)
	return winner
}

// readAlong reads the block until stop, and finds whole stamps only.
func readAlong(h sim.Host, lba int, stop *atomic.Bool) error {
	for !stop.Load() {
		a := sim.Do(h, initiator.Read16(uint64(lba), 1, bs, 0))
		if !a.Good() || !sim.Intact(a.Data) {
			return fmt.Errorf("%v: %x", a, a.Data)
		}
	}
	return nil
}
