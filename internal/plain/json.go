package plain

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// JSON makes the strings of an encoded JSON text fit to be shown, as Text does
// but without cutting: what a reader decodes holds no control character. b must
// be the output of encoding/json; it is returned as it is if there is nothing
// to do.
func JSON(b []byte) []byte {
	at := foreign(b, 0)
	if at < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for from := 0; ; {
		out = append(out, b[from:at]...)
		r, n := jsonRune(b[at:])
		if r < 0x100 {
			out = fmt.Appendf(out, `\\x%02x`, r)
		} else {
			out = fmt.Appendf(out, `\\u%04x`, r)
		}
		from = at + n
		if at = foreign(b, from); at < 0 {
			return append(out, b[from:]...)
		}
	}
}

// foreign finds the next character, or escape of one, that is not to be shown.
// Outside strings an encoder writes none.
func foreign(b []byte, from int) int {
	for i := from; i < len(b); {
		switch c := b[i]; {
		case c == '\\':
			r, n := jsonRune(b[i:])
			if r != 0xfffd && !visible(r) {
				return i
			}
			i += n
		case c < utf8.RuneSelf:
			if c == 0x7f {
				return i
			}
			i++ // below 0x20 there is only the encoder's own white space
		default:
			r, n := utf8.DecodeRune(b[i:])
			if !visible(r) {
				return i
			}
			i += n
		}
	}
	return -1
}

// jsonRune decodes the character or escape that b begins with.
func jsonRune(b []byte) (r rune, n int) {
	if b[0] != '\\' {
		return utf8.DecodeRune(b)
	}
	switch b[1] {
	case 'u':
		v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		if err != nil {
			return utf8.RuneError, 6
		}
		return rune(v), 6
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	return rune(b[1]), 2 // quote, backslash, slash
}
