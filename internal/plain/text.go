package plain

import (
	"fmt"
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
	if fits(s) {
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
		if b.Len()+len(piece) > Max {
			return b.String()[:last] + ellipsis
		}
		b.WriteString(piece)
		if b.Len() <= Max-len(ellipsis) {
			last = b.Len()
		}
		i += n
	}
	return b.String()
}

func fits(s string) bool {
	if len(s) > Max {
		return false
	}
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
