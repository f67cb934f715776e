package plain

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func encode(t testing.TB, v any) []byte {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

func TestJSON(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		`quotes " and \ and / stay`:   `quotes " and \ and / stay`,
		`literal \n \u001b stays`:     `literal \n \u001b stays`,
		"<&> Büro 漢字 🙂":               "<&> Büro 漢字 🙂",
		"a\x1b[31m\n\r\t\b\f\x00\x7f": `a\x1b[31m\x0a\x0d\x09\x08\x0c\x00\x7f`,
		"c1 \u009b \u202e \u2028 x":   `c1 \x9b \u202e \u2028 x`,
		"broken \xff":                 "broken \ufffd",
	} {
		b := JSON(encode(t, map[string]string{"k": in}))
		var back map[string]string
		require.NoError(t, json.Unmarshal(b, &back), "%s", b)
		require.Equal(t, want, back["k"])
	}
}

func TestJSONLeavesHarmlessTextAlone(t *testing.T) {
	b := encode(t, []any{1, "a<b", nil, map[string]any{"x": 1.5}})
	require.Equal(t, &b[0], &JSON(b)[0])
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{"", "a\x1b\u202e\\\"", "\\u001b", "\xff\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := JSON(encode(t, []string{s, s}))
		var back []string
		require.NoError(t, json.Unmarshal(b, &back), "%s", b)
		require.Len(t, back, 2)
		for _, r := range back[0] {
			require.True(t, visible(r), "%q", back[0])
		}
		require.Equal(t, string(b), string(JSON(b)))
	})
}
