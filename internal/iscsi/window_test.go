package iscsi

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"nas-target/internal/iscsi/pdu"
)

func TestWindow(t *testing.T) {
	for _, first := range []pdu.Serial{0, 1, 1000, 0x7ffffffe, 0xfffffffe, 0xffffffff} {
		w := newWindow(first, 4)
		require.Equal(t, first+3, w.max)
		require.Equal(t, inOrder, w.classify(first))
		require.Equal(t, early, w.classify(first+1))
		require.Equal(t, early, w.classify(first+3))
		require.Equal(t, ignore, w.classify(first+4), "beyond MaxCmdSN")
		require.Equal(t, ignore, w.classify(first-1), "behind ExpCmdSN")
		require.Equal(t, ignore, w.classify(first+1<<31))

		w.hold(first + 2)
		require.Equal(t, ignore, w.classify(first+2), "a duplicate of one that came early")
		w.take()
		require.False(t, w.due())
		require.Equal(t, ignore, w.classify(first), "a duplicate")
		w.take()
		require.True(t, w.due(), "the gap is filled")
		w.take()
		require.False(t, w.due())
		require.Equal(t, first+3, w.exp)
		require.Equal(t, first+3, w.max, "three are alive: one slot is left")
		w.take()
		require.True(t, w.closed())
		require.Equal(t, ignore, w.classify(first+4))
		w.release(2)
		require.Equal(t, first+5, w.max)
		require.Equal(t, inOrder, w.classify(first+4))
	}
}

// Whatever the initiator does, the window never moves back, never promises
// more than there is room for, and takes each number once and in order.
func TestWindowHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		depth := rapid.IntRange(1, 200).Draw(t, "depth")
		first := pdu.Serial(rapid.Uint32().Draw(t, "first"))
		w := newWindow(first, depth)
		held := map[pdu.Serial]bool{}
		taken, live := 0, 0
		take := func() {
			require.Equal(t, first.Add(taken), w.exp)
			w.take()
			taken++
			live++
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			exp, max := w.exp, w.max
			if live > 0 && rapid.Bool().Draw(t, "answer") {
				n := rapid.IntRange(1, live).Draw(t, "n")
				w.release(int32(n))
				live -= n
			} else {
				sn := exp.Add(rapid.IntRange(-2, depth+2).Draw(t, "sn"))
				switch what := w.classify(sn); what {
				case inOrder:
					require.Equal(t, exp, sn)
					take()
					for w.due() {
						require.True(t, held[w.exp])
						delete(held, w.exp)
						take()
					}
				case early:
					require.False(t, held[sn])
					held[sn] = true
					w.hold(sn)
				default:
					require.True(t, held[sn] || !sn.In(exp, max))
				}
			}
			require.False(t, w.exp.Before(exp))
			require.False(t, w.max.Before(max))
			require.LessOrEqual(t, int(w.max.Sub(w.exp))+1+live, depth)
			require.EqualValues(t, len(held), w.ahead)
		}
	})
}
