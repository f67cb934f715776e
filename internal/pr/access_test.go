package pr

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The meet allows what both allow and nothing else, to those named in either
// and to those named in none.
func TestMeetAllowsWhatBothAllow(t *testing.T) {
	nexuses := []Nexus{{"a", "t"}, {"b", "t"}, {"c", "t"}, {"stranger", "t"}}
	draw := func(t *rapid.T) *Access {
		a := &Access{others: Rights(rapid.Uint8().Draw(t, "others")), special: map[Nexus]Rights{}}
		a.condition = Condition(rapid.IntRange(0, 2).Draw(t, "condition"))
		for _, n := range nexuses[:3] {
			if rapid.Bool().Draw(t, "named") {
				a.special[n] = Rights(rapid.Uint8().Draw(t, "rights"))
			}
		}
		return a
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t), draw(t)
		m, loses := Meet(a, b), false
		for _, n := range nexuses {
			require.Equal(t, a.Rights(n)&b.Rights(n), m.Rights(n))
			require.Equal(t, a.Rights(n)&^b.Rights(n), Lost(a, b, n))
			loses = loses || Lost(a, b, n) != 0
		}
		require.Equal(t, loses, shrinks(a, b))
		require.Equal(t, max(a.condition, b.condition), m.Condition())
	})
}

func TestUnknownClassIsNeverAllowed(t *testing.T) {
	for c := range 256 {
		require.Equal(t, Class(c) < classes, Rights(0xff).Allows(Class(c)))
	}
}
