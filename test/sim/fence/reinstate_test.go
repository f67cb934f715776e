package fence

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// TestNoStaleWriteAfterReinstatement: a host whose path hangs logs in again
// with the same ISID and repeats its writes. What is left of the old ones, on
// the socket, in a queue or in the medium, must not overwrite the new. F22,
// I11, RFC 7143 §6.3.5.
func TestNoStaleWriteAfterReinstatement(t *testing.T) {
	for _, w := range []struct {
		name   string
		config sim.Config
		rounds int
	}{{"direct", sim.Config{}, 300}, {"wire", sim.Config{Wire: true}, 150}} {
		t.Run(w.name, func(t *testing.T) {
			rounds := sim.Size(t, "REINSTATE_ROUNDS", w.rounds)
			seed := sim.Seed(t)
			var mu sync.Mutex
			held, inside := 0, 0
			parallel(rounds, func(first int) {
				r := sim.Rand(seed, first)
				c := w.config
				c.Slow = time.Duration(1+r.IntN(3)) * time.Millisecond
				bed := sim.NewBed(c)
				defer bed.Close()
				host, err := bed.Login(victimName)
				require.NoError(t, err)
				for n := first; n < min(first+batch, rounds); n++ {
					l := &loss{bed: bed, rng: r, epoch: uint32(n + 1)}
					if host, err = l.round(host); err != nil {
						t.Errorf("round %d: %v", n, err)
						return
					}
					mu.Lock()
					held, inside = held+l.held, inside+l.inside
					mu.Unlock()
				}
				if v := bed.Violations(); len(v) > 0 {
					t.Errorf("%v", v)
				}
			})
			t.Logf("at the login: %d writes waited for data, %d calls were in the medium", held, inside)
			require.Greater(t, held, rounds/4)
			require.NotZero(t, inside)
			sim.Bound(t, "reinstatements", rounds)
		})
	}
}

var victimName = sim.Who{Node: "host"}

// loss is one loss of a path.
type loss struct {
	bed   *sim.Bed
	rng   *rand.Rand
	epoch uint32

	held, inside int
}

// spots is how many places are written by every session.
const spots = 6

// at is the first LBA of a spot.
func spotAt(i int) int { return 64 * (i + 1) }

func (l *loss) write(i, session int) initiator.Cmd {
	s := sim.Stamp{Host: uint16(session), Epoch: l.epoch, Seq: uint32(i), LBA: uint32(spotAt(i))}
	n := 1 + i*10 // from immediate data to several R2Ts
	return initiator.Write16(uint64(spotAt(i)), s.Blocks(n), bs, 0)
}

func (l *loss) round(old sim.Host) (fresh sim.Host, err error) {
	sim.Attentions(old)
	var running []sim.Running
	for i := range spots {
		c := l.write(i, 1)
		c.HoldData, c.NoUnsolicited = l.rng.IntN(2) == 0, l.rng.IntN(2) == 0
		running = append(running, old.Start(c))
	}
	time.Sleep(time.Duration(l.rng.IntN(3000)) * time.Microsecond)
	for _, r := range running {
		select {
		case <-r.Asked():
			select {
			case <-r.Done():
			default:
				l.held++
			}
		default:
		}
	}
	l.inside += l.bed.Inside()
	// What was held back arrives while the nexus is replaced, or after.
	late := make(chan struct{})
	pause := time.Duration(l.rng.IntN(1500)) * time.Microsecond
	go func() {
		defer close(late)
		time.Sleep(pause)
		for _, r := range running {
			r.Release()
		}
	}()
	if l.rng.IntN(3) == 0 {
		old.Cut()
	}
	if fresh, err = l.bed.Login(victimName); err != nil {
		return nil, err
	}
	for i := range spots {
		if a := sim.Retry(fresh, l.write(i, 2)); !a.Good() {
			return nil, fmt.Errorf("the repeated write ended with %v", a)
		}
	}
	<-late
	for _, r := range running {
		select {
		case <-r.Done():
		case <-time.After(20 * time.Second):
			return nil, fmt.Errorf("a command of the old session never ended")
		}
	}
	for l.bed.Inside() > 0 {
		time.Sleep(100 * time.Microsecond)
	}
	return fresh, l.look()
}

// look searches for old bytes.
func (l *loss) look() error {
	for i := range spots {
		want := l.write(i, 2).Out
		if got := l.bed.Content(spotAt(i), len(want)/bs); string(got) != string(want) {
			s, _ := sim.ReadStamp(got)
			return fmt.Errorf("spot %d holds what %v", i, s)
		}
	}
	return nil
}
