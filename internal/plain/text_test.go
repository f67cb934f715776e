package plain

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"iqn.2026-11.com.example:node1":   "iqn.2026-11.com.example:node1",
		"Büro 漢字":                         "Büro 漢字",
		"%n%s../../etc":                   "%n%s../../etc",
		"a\x1b[31mred":                    `a\x1b[31mred`,
		"two\nlines\r\tand\x00nul\x7f":    `two\x0alines\x0d\x09and\x00nul\x7f`,
		"c1 \u009b31m":                    `c1 \x9b31m`,
		"broken \xff\xc3 utf8":            `broken \xff\xc3 utf8`,
		"turned \u202eround\u2028line":    `turned \u202eround\u2028line`,
		"honest replacement \ufffd":       "honest replacement \ufffd",
		"tag \U000e0041":                  `tag \ue0041`,
		"no-break\u00a0space\u200bhidden": `no-break\xa0space\u200bhidden`,
	} {
		require.Equal(t, want, Text(in))
	}
}

func TestTextIsCutAtMax(t *testing.T) {
	require.Equal(t, strings.Repeat("a", Max), Text(strings.Repeat("a", Max)))
	require.Equal(t, strings.Repeat("a", Max-3)+"…", Text(strings.Repeat("a", Max+1)))
	require.Equal(t, strings.Repeat("a", Max-4)+"…", Text(strings.Repeat("a", Max-4)+"\x1b\x1b"), "no escape is cut in two")
}

func TestLineIsNotCut(t *testing.T) {
	long := strings.Repeat("a", 10*Max)
	require.Equal(t, long, Line(long))
	require.Equal(t, long+`\x1b`, Line(long+"\x1b"))
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "iqn.x:y", "\x1b\n\xff%n", strings.Repeat("é", 200), strings.Repeat("a", Max-2) + "é\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		require.True(t, utf8.ValidString(got))
		require.LessOrEqual(t, len(got), Max)
		require.Equal(t, got, Text(got))
		for _, r := range got {
			require.True(t, visible(r), "%q", got)
		}
	})
}
