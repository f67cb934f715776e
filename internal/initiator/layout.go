package initiator

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// layout is what the standard defines of one target PDU: every bit outside
// defined is reserved and must be zero, every bit of fixed must be one.
type layout struct {
	defined, fixed [bhsLen]byte
	data           bool // may carry a data segment
}

// layouts has one row per target opcode, in four-byte words as the figures of
// RFC 7143 §11.4 to §11.19 draw them. Bits that are defined only in some
// circumstances are checked by the PDU's own function.
var layouts = map[Opcode]layout{
	OpNOPIn:        row("3f800000 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 00000000 00000000 00000000", true),
	OpSCSIResponse: row("3f9effff ffffffff ffff0000 00000000 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff", true),
	OpTMFResponse:  row("3f80ff00 ffffffff ffffff00 00000000 ffffffff 00000000 ffffffff ffffffff ffffffff 00000000 00000000 00000000", false),
	OpLoginResp:    rowNoFixed("3fcfffff ffffffff ffffffff ffffffff ffffffff 00000000 ffffffff ffffffff ffffffff ffff0000 00000000 00000000", true),
	OpTextResp:     rowNoFixed("3fc00000 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 00000000 00000000 00000000", true),
	OpDataIn:       rowNoFixed("3fc700ff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff", true),
	OpLogoutResp:   row("3f80ff00 ffffffff 00000000 00000000 ffffffff 00000000 ffffffff ffffffff ffffffff 00000000 ffffffff 00000000", false),
	OpR2T:          row("3f800000 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff", false),
	OpAsync:        row("3f800000 ffffffff ffffffff ffffffff ffffffff 00000000 ffffffff ffffffff ffffffff ffffffff ffffffff 00000000", true),
	OpReject:       row("3f80ff00 ffffffff 00000000 00000000 ffffffff 00000000 ffffffff ffffffff ffffffff ffffffff 00000000 00000000", true),
}

// row is a layout whose byte 1 starts with a bit that is always one.
func row(mask string, data bool) layout {
	l := rowNoFixed(mask, data)
	l.fixed[1] = 0x80
	return l
}

func rowNoFixed(mask string, data bool) layout {
	b, err := hex.DecodeString(strings.ReplaceAll(mask, " ", ""))
	if err != nil || len(b) != bhsLen {
		panic("initiator: bad layout " + mask)
	}
	return layout{defined: [bhsLen]byte(b), data: data}
}

// checkLayout reports every deviation of a target PDU from its row, and false
// when the opcode is not a target's.
func checkLayout(p *PDU, report func(Rule, *PDU, string)) bool {
	l, ok := layouts[p.Opcode()]
	if !ok {
		report(RuleOpcode, p, fmt.Sprintf("byte 0 is %#02x", p.BHS[0]))
		return false
	}
	for i, b := range p.BHS {
		if extra := b &^ l.defined[i]; extra != 0 {
			report(RuleReserved, p, fmt.Sprintf("byte %d is %#02x, reserved bits %#02x", i, b, extra))
		}
		if missing := l.fixed[i] &^ b; missing != 0 {
			report(RuleFixedBits, p, fmt.Sprintf("byte %d is %#02x, bits %#02x must be one", i, b, missing))
		}
	}
	if p.AHSLen() != 0 {
		report(RuleAHS, p, fmt.Sprintf("TotalAHSLength is %d bytes", p.AHSLen()))
	}
	if !l.data && p.DataLen() != 0 {
		report(RuleDataSegmentLength, p, fmt.Sprintf("%d bytes of data", p.DataLen()))
	}
	return true
}
