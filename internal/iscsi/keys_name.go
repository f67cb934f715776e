package iscsi

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// keyISCSIName checks an iSCSI name, RFC 7143 §4.2.7, and returns it in the
// lower case in which names compare. The characters are those of RFC 3722, and
// the underscore, which host names bring along. There is no comma among them,
// so a name cannot imitate the ",i,0x" of a port name.
func keyISCSIName(s string) (name string, ok bool) {
	if !utf8.ValidString(s) {
		return "", false
	}
	name = strings.ToLower(s)
	if len(name) > keyNameLen || len(name) < 5 {
		return "", false
	}
	switch kind, rest := name[:4], name[4:]; kind {
	case "iqn.":
		return name, strings.IndexFunc(rest, keyNotInName) < 0
	case "eui.":
		return name, len(rest) == 16 && strings.Trim(rest, "0123456789abcdef") == ""
	case "naa.":
		return name, (len(rest) == 16 || len(rest) == 32) && strings.Trim(rest, "0123456789abcdef") == ""
	}
	return "", false
}

// keyNameLen is the most bytes an iSCSI name has.
const keyNameLen = 223

func keyNotInName(r rune) bool {
	if r < utf8.RuneSelf {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-.:_", r)
	}
	return !unicode.In(r, unicode.Letter, unicode.Digit, unicode.Mark)
}
