package pdu

import (
	"fmt"
	"strings"
)

// Pair is one key=value.
type Pair struct{ Key, Value string }

// Text is key=value text in the order it was sent, §6.1.
type Text []Pair

// Limits of key=value text.
const (
	MaxKeyLen       = 63  // §6.1
	DefaultValueLen = 255 // §6.1, for keys that do not say otherwise
	DefaultPairs    = 128 // ours: RFC 7143 defines about 40 keys
)

// TextLimits bounds what ParseText accepts, in bytes and pairs. Zero means the
// default: DefaultValueLen and DefaultPairs.
type TextLimits struct {
	ValueLen int
	Pairs    int
}

// TextReason names why text or a value was refused. It is stable: logs and
// metrics show it as it is.
type TextReason string

// Reasons of refused text and values.
const (
	TextNoFinalNUL   TextReason = "text_no_final_nul"
	TextNoEquals     TextReason = "text_no_equals"
	TextEmptyPair    TextReason = "text_empty_pair"
	TextEmptyKey     TextReason = "text_empty_key"
	TextKeyTooLong   TextReason = "text_key_too_long"
	TextKeySyntax    TextReason = "text_key_syntax"
	TextValueTooLong TextReason = "text_value_too_long"
	TextTooManyPairs TextReason = "text_too_many_pairs"

	ValueNotNumber  TextReason = "value_not_number"
	ValueOutOfRange TextReason = "value_out_of_range"
	ValueNotBoolean TextReason = "value_not_boolean"
	ValueNotBinary  TextReason = "value_not_binary"
	ValueTooLong    TextReason = "value_too_long"
)

// TextReasons lists all of them.
var TextReasons = []TextReason{
	TextNoFinalNUL, TextNoEquals, TextEmptyPair, TextEmptyKey, TextKeyTooLong,
	TextKeySyntax, TextValueTooLong, TextTooManyPairs,
	ValueNotNumber, ValueOutOfRange, ValueNotBoolean, ValueNotBinary, ValueTooLong,
}

// TextError says why text was refused and where.
type TextError struct {
	Reason TextReason
	Offset int // of the pair in the text
}

func (e *TextError) Error() string {
	return fmt.Sprintf("pdu: %s at byte %d", e.Reason, e.Offset)
}

// ParseText reads the text of one negotiation step, all PDUs of a C-bit run
// put together. Every pair ends in NUL, the last one too. NULs after the last
// pair are tolerated: some peers count their padding as data. Values are any
// bytes but NUL; the result does not alias b.
func ParseText(b []byte, lim TextLimits) (Text, error) {
	if lim.ValueLen == 0 {
		lim.ValueLen = DefaultValueLen
	}
	if lim.Pairs == 0 {
		lim.Pairs = DefaultPairs
	}
	if len(b) == 0 {
		return nil, nil
	}
	if b[len(b)-1] != 0 {
		return nil, &TextError{TextNoFinalNUL, len(b)}
	}
	end := len(b)
	for end > 0 && b[end-1] == 0 {
		end--
	}
	if end == 0 {
		return nil, nil
	}
	// Count before allocating: the number of pairs is the peer's choice.
	pairs := 1
	for _, c := range b[:end] {
		if c == 0 {
			pairs++
		}
	}
	if pairs > lim.Pairs {
		return nil, &TextError{TextTooManyPairs, 0}
	}
	t := make(Text, 0, pairs)
	s := string(b[:end])
	for at := 0; at < end; {
		pair, _, _ := strings.Cut(s[at:], "\x00")
		p, reason := parsePair(pair, lim.ValueLen)
		if reason != "" {
			return nil, &TextError{reason, at}
		}
		t = append(t, p)
		at += len(pair) + 1
	}
	return t, nil
}

func parsePair(s string, valueLen int) (Pair, TextReason) {
	key, value, ok := strings.Cut(s, "=")
	switch {
	case s == "":
		return Pair{}, TextEmptyPair
	case !ok:
		return Pair{}, TextNoEquals
	case key == "":
		return Pair{}, TextEmptyKey
	case len(key) > MaxKeyLen:
		return Pair{}, TextKeyTooLong
	case !keySyntax(key):
		return Pair{}, TextKeySyntax
	case len(value) > valueLen:
		return Pair{}, TextValueTooLong
	}
	return Pair{key, value}, ""
}

// keySyntax checks a standard label, §6.1: a capital letter, then letters,
// digits and ".-+@_". A public extension key has '#' as its second character,
// and later RFCs named keys after the protocols, which start in lower case:
// iSCSIProtocolLevel (RFC 7144), iSERHelloRequired (RFC 7145).
func keySyntax(key string) bool {
	if (key[0] < 'A' || key[0] > 'Z') &&
		!strings.HasPrefix(key, "iSCSI") && !strings.HasPrefix(key, "iSER") {
		return false
	}
	for i := 1; i < len(key); i++ {
		c := key[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '+', c == '@', c == '_':
		case c == '#' && i == 1 && key[0] == 'X':
		default:
			return false
		}
	}
	return true
}

// Get returns the value of the first pair with this key. Keys are case
// sensitive.
func (t Text) Get(key string) (value string, ok bool) {
	for _, p := range t {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// Duplicate returns the first key that occurs twice. Legal for TargetName and
// TargetAddress in discovery, an error in negotiation.
func (t Text) Duplicate() (key string, ok bool) {
	for i, p := range t {
		if _, found := t[:i].Get(p.Key); found {
			return p.Key, true
		}
	}
	return "", false
}

// Add appends a pair.
func (t *Text) Add(key, value string) { *t = append(*t, Pair{key, value}) }

// Len returns the bytes that Append adds.
func (t Text) Len() int {
	n := 0
	for _, p := range t {
		n += len(p.Key) + len(p.Value) + 2
	}
	return n
}

// Append appends the text as it stands on the wire. It checks nothing.
func (t Text) Append(dst []byte) []byte {
	for _, p := range t {
		dst = append(dst, p.Key...)
		dst = append(dst, '=')
		dst = append(dst, p.Value...)
		dst = append(dst, 0)
	}
	return dst
}

// String prints the pairs between spaces, values quoted where needed. A CHAP
// response shows as ***.
func (t Text) String() string {
	var b strings.Builder
	for i, p := range t {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch {
		case p.Key == "CHAP_R":
			fmt.Fprintf(&b, "%s=***", p.Key)
		case printable(p.Value):
			fmt.Fprintf(&b, "%s=%s", p.Key, p.Value)
		default:
			fmt.Fprintf(&b, "%s=%q", p.Key, p.Value)
		}
	}
	return b.String()
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' {
			return false
		}
	}
	return true
}
