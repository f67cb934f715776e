package verify

import (
	"fmt"
	"strings"

	"nas-target/internal/initiator"
)

// want is a demand on the end of a command.
type want struct {
	text string
	ok   func(initiator.Response) bool
}

func status(s initiator.Status) want {
	return want{s.String(), func(r initiator.Response) bool { return r.Code == 0 && r.Status == s }}
}

var (
	good     = want{"GOOD", initiator.Response.Good}
	conflict = status(initiator.ReservationConflict)
	// anyEnd is for what is only looked at.
	anyEnd = want{"", func(initiator.Response) bool { return true }}
)

// sense wants CHECK CONDITION with this key and one of these codes.
func sense(key initiator.SenseKey, codes ...initiator.ASC) want {
	var names []string
	for _, c := range codes {
		names = append(names, senseName(key, c))
	}
	return want{"CHECK CONDITION " + strings.Join(names, " or "), func(r initiator.Response) bool {
		if r.Code != 0 || r.Status != initiator.CheckCondition || r.Sense.Key != key {
			return false
		}
		for _, c := range codes {
			if r.Sense.ASC == c {
				return true
			}
		}
		return len(codes) == 0
	}}
}

// illegal is sense with ILLEGAL REQUEST.
func illegal(codes ...initiator.ASC) want { return sense(initiator.IllegalRequest, codes...) }

var (
	badCDB    = illegal(initiator.ASCInvalidFieldInCDB)
	badList   = illegal(initiator.ASCInvalidFieldInParameter)
	badLength = illegal(initiator.ASCParameterListLength)
	badOpcode = illegal(initiator.ASCInvalidOpcode)
)

func either(list ...want) want {
	var names []string
	for _, w := range list {
		names = append(names, w.text)
	}
	return want{strings.Join(names, " or "), func(r initiator.Response) bool {
		for _, w := range list {
			if w.ok(r) {
				return true
			}
		}
		return false
	}}
}

// not wants any end but one.
func not(w want) want {
	return want{"anything but " + w.text, func(r initiator.Response) bool { return !w.ok(r) }}
}

// isUA tells a unit attention.
func isUA(r initiator.Response) bool {
	return r.Code == 0 && r.Status == initiator.CheckCondition && r.Sense.Key == initiator.UnitAttention
}

// unsupported tells that a target does not know a command, or its service action.
func unsupported(r initiator.Response) bool {
	return illegal(initiator.ASCInvalidOpcode).ok(r)
}

func senseName(key initiator.SenseKey, code initiator.ASC) string {
	return fmt.Sprintf("%X/%02X/%02X (%v, %s)", uint8(key), uint8(code>>8), uint8(code), key, code.Words())
}
