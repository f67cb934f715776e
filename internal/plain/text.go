package plain

import (
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Max is the longest text that Text returns, in bytes. An initiator port name
// has at most 240.
const Max = 256

// Text returns s with everything escaped that is not visible text: control
// characters, line and paragraph separators, invisible and direction-changing
// characters, broken UTF-8. What is longer than Max is cut, and says so with an
// ellipsis. Text of a Text is the same text.
func Text(s string) string {
	return cut(s, Max)
}

// Line is Text of any length.
func Line(s string) string { return cut(s, math.MaxInt) }

func cut(s string, most int) string {
	if len(s) <= most && clean(s) {
		return s
	}
	const ellipsis = "…"
	var b strings.Builder
	last := 0 // end of the last whole piece that leaves room for the ellipsis
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		piece := s[i : i+n]
		switch {
		case r == utf8.RuneError && n == 1:
			piece = fmt.Sprintf(`\x%02x`, s[i])
		case r < 0x100 && !visible(r):
			piece = fmt.Sprintf(`\x%02x`, r)
		case !visible(r):
			piece = fmt.Sprintf(`\u%04x`, r)
		}
		if len(piece) > most-b.Len() {
			return b.String()[:last] + ellipsis
		}
		b.WriteString(piece)
		if b.Len() <= most-len(ellipsis) {
			last = b.Len()
		}
		i += n
	}
	return b.String()
}

func clean(s string) bool {
	for i, r := range s {
		if !visible(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
	}
	return true
}

func visible(r rune) bool { return r == ' ' || unicode.IsPrint(r) }
