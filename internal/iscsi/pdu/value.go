package pdu

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// ValueError says why a value was refused.
type ValueError struct{ Reason TextReason }

func (e *ValueError) Error() string { return "pdu: " + string(e.Reason) }

var (
	errNotNumber   = &ValueError{ValueNotNumber}
	errOutOfRange  = &ValueError{ValueOutOfRange}
	errNotBoolean  = &ValueError{ValueNotBoolean}
	errNotBinary   = &ValueError{ValueNotBinary}
	errValueTooBig = &ValueError{ValueTooLong}
)

// The values a reply may have instead of a result, §6.2. None of them may be
// proposed.
const (
	ValueReject        = "Reject"
	ValueIrrelevant    = "Irrelevant"
	ValueNotUnderstood = "NotUnderstood"
)

// ParseNumber reads a number from low to high, both included: decimal without
// sign or leading zeros, or 0x and hex digits, §6.1. Leading zeros are refused
// because peers disagree whether they mean octal.
func ParseNumber(s string, low, high uint64) (uint64, error) {
	digits, base := s, uint64(10)
	if d, ok := cutPrefixFold(s, "0x"); ok {
		digits, base = d, 16
	} else if len(s) > 1 && s[0] == '0' {
		return 0, errNotNumber
	}
	if digits == "" {
		return 0, errNotNumber
	}
	var n uint64
	over := false
	for i := 0; i < len(digits); i++ {
		d := digit(digits[i])
		if d >= base {
			return 0, errNotNumber
		}
		next := n*base + d
		over = over || next/base != n
		n = next
	}
	if over || n < low || n > high {
		return 0, errOutOfRange
	}
	return n, nil
}

// digit returns the value of a hex digit, something large for all else.
func digit(c byte) uint64 {
	switch {
	case '0' <= c && c <= '9':
		return uint64(c - '0')
	case 'a' <= c && c <= 'f':
		return uint64(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return uint64(c-'A') + 10
	}
	return 0xff
}

// ParseBool reads Yes or No, in exactly this spelling.
func ParseBool(s string) (bool, error) {
	switch s {
	case "Yes":
		return true, nil
	case "No":
		return false, nil
	}
	return false, errNotBoolean
}

// FormatBool returns Yes or No.
func FormatBool(v bool) string {
	if v {
		return "Yes"
	}
	return "No"
}

// ParseBinary reads a binary value of at most limit bytes: 0x and hex digits,
// of which an odd number has a zero in front, or 0b and base64 with padding
// (RFC 4648). The length is checked before anything is allocated.
func ParseBinary(s string, limit int) ([]byte, error) {
	if digits, ok := cutPrefixFold(s, "0x"); ok {
		return parseHex(digits, limit)
	}
	if digits, ok := cutPrefixFold(s, "0b"); ok {
		return parseBase64(digits, limit)
	}
	return nil, errNotBinary
}

func parseHex(digits string, limit int) ([]byte, error) {
	if digits == "" {
		return nil, errNotBinary
	}
	if (len(digits)+1)/2 > limit {
		return nil, errValueTooBig
	}
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, errNotBinary
	}
	return b, nil
}

func parseBase64(digits string, limit int) ([]byte, error) {
	// The decoder skips line ends; here they are not part of a value.
	if digits == "" || len(digits)%4 != 0 || strings.ContainsAny(digits, "\r\n") {
		return nil, errNotBinary
	}
	pad := len(digits) - len(strings.TrimRight(digits, "="))
	if len(digits)/4*3-min(pad, 2) > limit {
		return nil, errValueTooBig
	}
	b, err := base64.StdEncoding.Strict().DecodeString(digits)
	if err != nil {
		return nil, errNotBinary
	}
	return b, nil
}

// FormatHex returns 0x and the hex digits.
func FormatHex(b []byte) string { return "0x" + hex.EncodeToString(b) }

// cutPrefixFold cuts a prefix of ASCII letters in either case.
func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
