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

// A quarrel is a way in which several nodes take the unit from each other, so
// that one and only one may succeed.
type quarrel struct {
	name  string
	nodes [2]int // at least, at most
	types []initiator.PRType
	// order returns what node i of n sends; node n is the holder, where the
	// quarrel has one apart from the quarrellers.
	order    func(i, n int, sa initiator.PROutAction, held initiator.PRType) initiator.Cmd
	outsider bool
}

func nodeKey(i int) uint64 { return uint64(0x1000 + i) }

var quarrels = []quarrel{
	{
		// Two nodes that cannot hear each other, each sure that the other is dead.
		name: "each the other", nodes: [2]int{2, 2}, types: []initiator.PRType{0, we, ea, wero, earo, wear, eaar},
		order: func(i, n int, sa initiator.PROutAction, held initiator.PRType) initiator.Cmd {
			return sim.PR(sa, held, nodeKey(i), nodeKey(1-i))
		},
	},
	{
		// The heirs of a holder that died.
		name: "all the holder", nodes: [2]int{2, 8}, types: []initiator.PRType{we, ea, wero, earo}, outsider: true,
		order: func(i, n int, sa initiator.PROutAction, held initiator.PRType) initiator.Cmd {
			return sim.PR(sa, held, nodeKey(i), nodeKey(n))
		},
	},
	{
		// Zero preempts every registrant of an all-registrants reservation.
		name: "each all others", nodes: [2]int{2, 8}, types: []initiator.PRType{wear, eaar},
		order: func(i, n int, sa initiator.PROutAction, held initiator.PRType) initiator.Cmd {
			return sim.PR(sa, held, nodeKey(i), 0)
		},
	},
}

// TestMutualPreempt: exactly one winner. G16, I4.
func TestMutualPreempt(t *testing.T) {
	for _, w := range []struct {
		name   string
		config sim.Config
		rounds int
	}{{"direct", sim.Config{}, 300}, {"wire", sim.Config{Wire: true}, 200}} {
		t.Run(w.name, func(t *testing.T) {
			rounds := sim.Size(t, "MUTUAL_ROUNDS", w.rounds)
			r := sim.Rand(sim.Seed(t), 0)
			w.config.Ports = 2
			bed := sim.NewBed(w.config)
			defer bed.Close()
			var nodes []sim.Host
			for i := range 9 {
				h, err := bed.Login(sim.Who{Node: fmt.Sprintf("n%d", i), Port: i % 2})
				require.NoError(t, err)
				nodes = append(nodes, h)
			}
			won := make([]int, len(nodes))
			for n := range rounds {
				q := &quarrels[n%len(quarrels)]
				winner, err := q.round(nodes, r)
				require.NoError(t, err, "round %d, %s", n, q.name)
				won[winner]++
			}
			require.Empty(t, bed.Violations())
			require.NotZero(t, won[0])
			require.NotZero(t, won[1])
			t.Logf("won by: %v", won)
			sim.Bound(t, "mutual preempts", rounds)
		})
	}
}

func (q *quarrel) round(all []sim.Host, r *rand.Rand) (winner int, err error) {
	n := q.nodes[0] + r.IntN(q.nodes[1]-q.nodes[0]+1)
	held := q.types[r.IntN(len(q.types))]
	sa := []initiator.PROutAction{initiator.PRPreempt, initiator.PRPreemptAndAbort}[r.IntN(2)]
	nodes := all[:n]
	if q.outsider {
		nodes = all[:n+1]
	}
	sim.Must(all[0], sim.Join(nodeKey(0)))
	sim.Must(all[0], sim.PR(initiator.PRClear, 0, nodeKey(0), 0))
	for i, h := range nodes {
		sim.Must(h, sim.Join(nodeKey(i)))
	}
	if holder := nodes[len(nodes)-1]; held != 0 {
		sim.Must(holder, sim.PR(initiator.PRReserve, held, nodeKey(len(nodes)-1), 0))
	}
	for _, h := range all {
		sim.Attentions(h)
	}

	answers := make([]sim.Answer, n)
	var wg sync.WaitGroup
	barrier, decided := make(chan struct{}), make(chan struct{})
	var once sync.Once
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-barrier
			answers[i] = insist(nodes[i], q.order(i, n, sa, held), decided)
			if answers[i].Good() {
				once.Do(func() { close(decided) })
			}
		}()
	}
	close(barrier)
	wg.Wait()

	winner = -1
	for i, a := range answers {
		switch {
		case a.Good() && winner < 0:
			winner = i
		case !a.Conflict() && a.Fate == sim.Answered:
			return 0, fmt.Errorf("type %d, action %d: %v", held, sa, answers)
		}
	}
	if winner < 0 {
		return 0, fmt.Errorf("type %d, action %d: nobody won: %v", held, sa, answers)
	}
	return winner, q.aftermath(nodes, winner, held)
}

// insist sends c until it has an answer other than a unit attention. Once
// decided is closed, somebody may have ended it without a word.
func insist(h sim.Host, c initiator.Cmd, decided <-chan struct{}) sim.Answer {
	for {
		k := h.Start(c)
		select {
		case <-k.Done():
		case <-decided:
			select {
			case <-k.Done():
			case <-time.After(30 * time.Millisecond):
				h.Settle()
				<-k.Done()
			}
		}
		if _, ua := k.Answer().UA(); !ua {
			return k.Answer()
		}
	}
}

// aftermath looks whether the target agrees with what it answered.
func (q *quarrel) aftermath(nodes []sim.Host, winner int, held initiator.PRType) error {
	who := nodes[winner]
	data := sim.Must(who, initiator.PRIn(initiator.PRReadFullStatus, 4096)).Data
	status, err := initiator.DecodeFullStatus(data)
	if err != nil {
		return err
	}
	left := len(nodes) - 1
	if held == wear || held == eaar {
		left = 1
	}
	if len(status.Registrants) != left {
		return fmt.Errorf("%d registrants are left, not %d", len(status.Registrants), left)
	}
	for _, reg := range status.Registrants {
		mine := reg.Key == nodeKey(winner)
		if reg.Holder != (mine && held != 0) || reg.Holder && reg.Type != held {
			return fmt.Errorf("type %d, node %d won, but %+v", held, winner, reg)
		}
	}
	for i, h := range nodes {
		a := sim.Retry(h, initiator.Write16(0, make([]byte, bs), bs, 0))
		may := i == winner || held == 0 || (held == wero || held == earo) && q.outsider && i < len(nodes)-1
		if a.Good() != may || !may && !a.Conflict() {
			return fmt.Errorf("type %d, node %d won, node %d wrote: %v", held, winner, i, a)
		}
	}
	return nil
}
