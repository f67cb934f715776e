package verify

import (
	"encoding/binary"
	"fmt"
	"strings"

	"nas-target/internal/initiator"
)

// answer puts the end of a command into words.
func answer(r initiator.Response) string {
	switch {
	case r.Code != 0:
		return fmt.Sprintf("iSCSI response %#02x", r.Code)
	case r.Status == initiator.CheckCondition && len(r.SenseData) == 0:
		return "CHECK CONDITION without sense data"
	case r.Status == initiator.CheckCondition:
		s := "CHECK CONDITION " + senseName(r.Sense.Key, r.Sense.ASC)
		if r.Sense.InfoValid {
			s += fmt.Sprintf(", information %d", r.Sense.Info)
		}
		return s
	}
	return r.Status.String()
}

// opcodes names the commands that cases send.
var opcodes = map[byte]string{
	0x00: "TEST UNIT READY", 0x03: "REQUEST SENSE", 0x04: "FORMAT UNIT", 0x08: "READ (6)", 0x0a: "WRITE (6)",
	0x12: "INQUIRY", 0x15: "MODE SELECT (6)", 0x16: "RESERVE (6)", 0x17: "RELEASE (6)", 0x1a: "MODE SENSE (6)",
	0x1b: "START STOP UNIT", 0x1c: "RECEIVE DIAGNOSTIC RESULTS", 0x1d: "SEND DIAGNOSTIC", 0x1e: "PREVENT ALLOW MEDIUM REMOVAL",
	0x25: "READ CAPACITY (10)", 0x28: "READ (10)", 0x2a: "WRITE (10)", 0x2e: "WRITE AND VERIFY (10)", 0x2f: "VERIFY (10)",
	0x34: "PRE-FETCH (10)", 0x35: "SYNCHRONIZE CACHE (10)", 0x37: "READ DEFECT DATA (10)", 0x3b: "WRITE BUFFER", 0x3c: "READ BUFFER",
	0x41: "WRITE SAME (10)", 0x42: "UNMAP", 0x48: "SANITIZE", 0x4c: "LOG SELECT", 0x4d: "LOG SENSE", 0x55: "MODE SELECT (10)",
	0x56: "RESERVE (10)", 0x57: "RELEASE (10)", 0x5a: "MODE SENSE (10)", 0x5e: "PERSISTENT RESERVE IN", 0x5f: "PERSISTENT RESERVE OUT",
	0x83: "EXTENDED COPY", 0x84: "RECEIVE COPY RESULTS", 0x88: "READ (16)", 0x89: "COMPARE AND WRITE", 0x8a: "WRITE (16)",
	0x8b: "ORWRITE (16)", 0x8e: "WRITE AND VERIFY (16)", 0x8f: "VERIFY (16)", 0x90: "PRE-FETCH (16)", 0x91: "SYNCHRONIZE CACHE (16)",
	0x93: "WRITE SAME (16)", 0x9c: "WRITE ATOMIC (16)", 0xa0: "REPORT LUNS", 0xa8: "READ (12)", 0xaa: "WRITE (12)",
	0xae: "WRITE AND VERIFY (12)", 0xaf: "VERIFY (12)", 0xb7: "READ DEFECT DATA (12)",
}

// actions names commands that a service action tells apart.
var actions = map[[2]byte]string{
	{0x9e, 0x10}: "READ CAPACITY (16)", {0x9e, 0x12}: "GET LBA STATUS (16)",
	{0xa3, 0x05}: "REPORT IDENTIFYING INFORMATION", {0xa3, 0x0a}: "REPORT TARGET PORT GROUPS",
	{0xa3, 0x0c}: "REPORT SUPPORTED OPERATION CODES", {0xa3, 0x0d}: "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
	{0xa4, 0x0a}: "SET TARGET PORT GROUPS", {0x83, 0x10}: "POPULATE TOKEN", {0x83, 0x11}: "WRITE USING TOKEN",
	{0x84, 0x03}: "RECEIVE COPY OPERATING PARAMETERS", {0x84, 0x07}: "RECEIVE ROD TOKEN INFORMATION",
}

var prInNames = []string{"READ KEYS", "READ RESERVATION", "REPORT CAPABILITIES", "READ FULL STATUS"}

var prOutNames = []string{
	"REGISTER", "RESERVE", "RELEASE", "CLEAR", "PREEMPT", "PREEMPT AND ABORT", "REGISTER AND IGNORE EXISTING KEY",
	"REGISTER AND MOVE", "REPLACE LOST RESERVATION",
}

var typeNames = map[initiator.PRType]string{
	1: "Write Exclusive", 3: "Exclusive Access", 5: "Write Exclusive - Registrants Only",
	6: "Exclusive Access - Registrants Only", 7: "Write Exclusive - All Registrants", 8: "Exclusive Access - All Registrants",
}

func typeName(t initiator.PRType) string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return fmt.Sprintf("type %X", uint8(t))
}

// describe puts a command into words.
func describe(c initiator.Cmd) string {
	if len(c.CDB) == 0 {
		return "an empty CDB"
	}
	op := c.CDB[0]
	switch op {
	case 0x5e:
		return describePRIn(c)
	case 0x5f:
		return describePROut(c)
	}
	name := opcodes[op]
	if len(c.CDB) > 1 {
		if n := actions[[2]byte{op, c.CDB[1] & 0x1f}]; n != "" {
			name = n
		}
	}
	if name == "" {
		return fmt.Sprintf("opcode %02Xh (CDB %x)", op, c.CDB)
	}
	return name + details(c.CDB)
}

// details names what tells one command of a kind from another.
func details(cdb []byte) string {
	b32, b16 := binary.BigEndian.Uint32, binary.BigEndian.Uint16
	switch {
	case cdb[0] == 0x12 && cdb[1]&1 != 0:
		return fmt.Sprintf(" page %02Xh", cdb[2])
	case cdb[0] == 0x12:
		return fmt.Sprintf(", allocation length %d", b16(cdb[3:]))
	case cdb[0] == 0x1a || cdb[0] == 0x5a:
		return fmt.Sprintf(" page %02Xh/%02Xh", cdb[2]&0x3f, cdb[3])
	case cdb[0] == 0x9e && cdb[1] == 0x10:
		return fmt.Sprintf(", allocation length %d", b32(cdb[10:]))
	case cdb[0] == 0x41 && len(cdb) == 10, cdb[0]&0xf0 == 0x20 && cdb[0] != 0x25 && len(cdb) == 10:
		return fmt.Sprintf(" LBA %d, %d blocks%s", b32(cdb[2:]), b16(cdb[7:]), bits(cdb))
	case cdb[0] == 0x89:
		return fmt.Sprintf(" LBA %d, %d blocks", binary.BigEndian.Uint64(cdb[2:]), cdb[13])
	case cdb[0]&0xf0 == 0x80 && len(cdb) == 16 && cdb[0] >= 0x88, cdb[0] == 0x93:
		return fmt.Sprintf(" LBA %d, %d blocks%s", binary.BigEndian.Uint64(cdb[2:]), b32(cdb[10:]), bits(cdb))
	}
	return ""
}

// bits names byte 1, where it is not zero.
func bits(cdb []byte) string {
	if cdb[1] == 0 {
		return ""
	}
	return fmt.Sprintf(", byte 1 %02Xh", cdb[1])
}

func describePRIn(c initiator.Cmd) string {
	sa := c.CDB[1] & 0x1f
	name := fmt.Sprintf("service action %02Xh", sa)
	if int(sa) < len(prInNames) {
		name = prInNames[sa]
	}
	return fmt.Sprintf("PERSISTENT RESERVE IN %s, allocation length %d", name, binary.BigEndian.Uint16(c.CDB[7:]))
}

func describePROut(c initiator.Cmd) string {
	sa := c.CDB[1] & 0x1f
	name := fmt.Sprintf("service action %02Xh", sa)
	if int(sa) < len(prOutNames) {
		name = prOutNames[sa]
	}
	var b strings.Builder
	b.WriteString("PERSISTENT RESERVE OUT " + name)
	if scope, t := c.CDB[2]>>4, initiator.PRType(c.CDB[2]&0x0f); c.CDB[2] != 0 {
		b.WriteString(", " + typeName(t))
		if scope != 0 {
			fmt.Fprintf(&b, ", scope %d", scope)
		}
	}
	list := c.Out
	if len(list) != 24 && sa != 7 && (len(list) < 24 || list[20]&0x08 == 0) {
		fmt.Fprintf(&b, ", parameter list of %d bytes", len(list))
	}
	if len(list) < 24 {
		return b.String()
	}
	fmt.Fprintf(&b, ", key %s, service action key %s", keyName(binary.BigEndian.Uint64(list)), keyName(binary.BigEndian.Uint64(list[8:])))
	if sa == 7 {
		flag(&b, list[17]&0x02, "UNREG")
		flag(&b, list[17]&0x01, "APTPL")
		fmt.Fprintf(&b, ", to relative port %d", binary.BigEndian.Uint16(list[18:]))
		b.WriteString(" of " + transportIDs(list[24:]))
		return b.String()
	}
	flag(&b, list[20]&0x08, "SPEC_I_PT")
	flag(&b, list[20]&0x04, "ALL_TG_PT")
	flag(&b, list[20]&0x01, "APTPL")
	if len(list) > 28 {
		b.WriteString(" with " + transportIDs(list[28:]))
	}
	return b.String()
}

func flag(b *strings.Builder, set byte, name string) {
	if set != 0 {
		b.WriteString(", " + name)
	}
}

// transportIDs names ports as far as they can be decoded.
func transportIDs(b []byte) string {
	var names []string
	for len(b) >= 4 {
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return fmt.Sprintf("a truncated TransportID %x", b)
		}
		id, err := initiator.DecodeTransportID(b[:n])
		if err != nil {
			return fmt.Sprintf("TransportID %x", b[:n])
		}
		names = append(names, id.String())
		b = b[n:]
	}
	return strings.Join(names, " and ")
}

// keyName writes a key of ours by its number, as the record calls it.
func keyName(k uint64) string {
	switch {
	case k == 0:
		return "0"
	case ours(k):
		return fmt.Sprintf("K%d", k&0xffff)
	}
	return fmt.Sprintf("0x%016x", k)
}

func keyNames(keys []uint64) string {
	if len(keys) == 0 {
		return "no keys"
	}
	var names []string
	for _, k := range keys {
		names = append(names, keyName(k))
	}
	return strings.Join(names, " ")
}
