package model

// cell tells whether a command ends with RESERVATION CONFLICT.
type cell byte

const (
	ok cell = 'o'
	rc cell = 'R'
)

// rights is a row of SPC-4 table 65 and SBC-4 table 13, and the last column of
// SPC-2 table 11:
//
//	A  write exclusive held by another
//	B  exclusive access held by another
//	C  registrants only or all registrants, sender registered
//	D  write exclusive of these, sender not registered
//	E  exclusive access of these, sender not registered
//	L  RESERVE(6) by another
type rights [6]cell

func row(s string) (r rights) {
	for i := range r {
		r[i] = cell(s[2*i])
	}
	return r
}

// The kinds of rows there are.
var (
	//                 A B C D E L
	anybody   = row("o o o o o o")
	notLegacy = row("o o o o o R")
	reads     = row("o R o o R R")
	writes    = row("R R o R R R")
)

// access has a row for each opcode, or for each opcode and service action.
// Opcodes that the target does not have may stand here; one that it has and
// that does not stand here fails the test.
var access = []struct {
	code   string // opcode, or opcode/service action
	name   string
	cdb    string // hex
	in     int    // bytes expected
	out    int    // bytes sent, all zero
	rights rights
}{
	{"00", "TEST UNIT READY", "000000000000", 0, 0, notLegacy},
	{"03", "REQUEST SENSE", "03000000fc00", 252, 0, anybody},
	{"04", "FORMAT UNIT", "0400000000ff", 0, 0, writes}, // with a control byte that is refused when it comes to that
	{"08", "READ(6)", "080000000100", 512, 0, reads},
	{"0a", "WRITE(6)", "0a0000000100", 0, 512, writes},
	{"12", "INQUIRY", "12000000ff00", 255, 0, anybody},
	{"15", "MODE SELECT(6)", "151000000000", 0, 0, writes},
	{"1a", "MODE SENSE(6)", "1a003f00ff00", 255, 0, reads},
	{"1b", "START STOP UNIT, start", "1b0000000100", 0, 0, notLegacy},
	{"1b", "START STOP UNIT, stop", "1b00000000ff", 0, 0, writes},
	{"1b", "START STOP UNIT, power condition", "1b00000011ff", 0, 0, writes},
	{"1c", "RECEIVE DIAGNOSTIC RESULTS", "1c0000010000", 256, 0, reads},
	{"1d", "SEND DIAGNOSTIC", "1d0400000000", 0, 0, writes},
	{"1e", "PREVENT ALLOW MEDIUM REMOVAL, allow", "1e0000000000", 0, 0, anybody},
	{"1e", "PREVENT ALLOW MEDIUM REMOVAL, prevent", "1e00000001ff", 0, 0, writes},
	{"25", "READ CAPACITY(10)", "25000000000000000000", 8, 0, anybody},
	{"28", "READ(10)", "28000000000000000100", 512, 0, reads},
	{"2a", "WRITE(10)", "2a000000000000000100", 0, 512, writes},
	{"2e", "WRITE AND VERIFY(10)", "2e000000000000000100", 0, 512, writes},
	{"2f", "VERIFY(10)", "2f000000000000000100", 0, 0, reads},
	{"2f", "VERIFY(10), BYTCHK", "2f020000000000000100", 0, 512, reads},
	{"34", "PRE-FETCH(10)", "34000000000000000100", 0, 0, reads},
	{"35", "SYNCHRONIZE CACHE(10)", "35000000000000000000", 0, 0, writes},
	{"37", "READ DEFECT DATA(10)", "37000d00000000002000", 32, 0, reads},
	{"3b", "WRITE BUFFER", "3b0200000000000010ff", 0, 16, writes},
	{"3c", "READ BUFFER", "3c030000000000000400", 4, 0, reads},
	{"3e", "READ LONG(10)", "3e000000000000020000", 512, 0, reads},
	{"3f", "WRITE LONG(10)", "3f0000000000000200ff", 0, 512, writes},
	{"41", "WRITE SAME(10)", "41000000000000000100", 0, 512, writes},
	{"42", "UNMAP", "42000000000000000800", 0, 8, writes},
	{"48/01", "SANITIZE, overwrite", "480100000000000000ff", 0, 0, writes},
	{"48/02", "SANITIZE, block erase", "480200000000000000ff", 0, 0, writes},
	{"48/03", "SANITIZE, cryptographic erase", "480300000000000000ff", 0, 0, writes},
	{"48/1f", "SANITIZE, exit failure mode", "481f00000000000000ff", 0, 0, writes},
	{"4c", "LOG SELECT", "4c000000000000000000", 0, 0, writes},
	{"4d", "LOG SENSE", "4d004000000000010000", 256, 0, anybody},
	{"55", "MODE SELECT(10)", "55100000000000000000", 0, 0, writes},
	{"5a", "MODE SENSE(10)", "5a003f00000000010000", 256, 0, reads},
	{"5e/00", "PERSISTENT RESERVE IN, keys", "5e000000000000010000", 256, 0, notLegacy},
	{"5e/01", "PERSISTENT RESERVE IN, reservation", "5e010000000000010000", 256, 0, notLegacy},
	{"5e/02", "PERSISTENT RESERVE IN, capabilities", "5e020000000000010000", 256, 0, notLegacy},
	{"5e/03", "PERSISTENT RESERVE IN, full status", "5e030000000000010000", 256, 0, notLegacy},
	{"83/00", "EXTENDED COPY(LID1)", "830000000000000000000000000000ff", 0, 0, writes},
	{"83/01", "EXTENDED COPY(LID4)", "830100000000000000000000000000ff", 0, 0, writes},
	{"83/10", "POPULATE TOKEN", "8310000000000000000000000000" + "00ff", 0, 0, reads},
	{"83/11", "WRITE USING TOKEN", "8311000000000000000000000000" + "00ff", 0, 0, writes},
	{"83/1c", "COPY OPERATION ABORT", "831c000000000000000000000000" + "00ff", 0, 0, writes},
	{"84/00", "RECEIVE COPY STATUS(LID1)", "84000000000000000000000000200000", 32, 0, notLegacy},
	{"84/01", "RECEIVE COPY DATA(LID1)", "84010000000000000000000000200000", 32, 0, notLegacy},
	{"84/03", "RECEIVE COPY OPERATING PARAMETERS", "84030000000000000000000000200000", 32, 0, notLegacy},
	{"84/04", "RECEIVE COPY FAILURE DETAILS(LID1)", "84040000000000000000000000200000", 32, 0, notLegacy},
	{"84/05", "RECEIVE COPY STATUS(LID4)", "84050000000000000000000000200000", 32, 0, notLegacy},
	{"84/06", "RECEIVE COPY DATA(LID4)", "84060000000000000000000000200000", 32, 0, notLegacy},
	{"84/07", "RECEIVE ROD TOKEN INFORMATION", "84070000000000000000000000200000", 32, 0, notLegacy},
	{"84/08", "REPORT ALL ROD TOKENS", "84080000000000000000000000200000", 32, 0, notLegacy},
	{"88", "READ(16)", "88000000000000000000000000010000", 512, 0, reads},
	{"89", "COMPARE AND WRITE", "89000000000000000000000000010000", 0, 1024, writes},
	{"8a", "WRITE(16)", "8a000000000000000000000000010000", 0, 512, writes},
	{"8b", "ORWRITE(16)", "8b000000000000000000000000010000", 0, 512, writes},
	{"8e", "WRITE AND VERIFY(16)", "8e000000000000000000000000010000", 0, 512, writes},
	{"8f", "VERIFY(16)", "8f000000000000000000000000010000", 0, 0, reads},
	{"90", "PRE-FETCH(16)", "90000000000000000000000000010000", 0, 0, reads},
	{"91", "SYNCHRONIZE CACHE(16)", "91000000000000000000000000000000", 0, 0, writes},
	{"93", "WRITE SAME(16)", "93000000000000000000000000010000", 0, 512, writes},
	{"9c", "WRITE ATOMIC(16)", "9c000000000000000000000000010000", 0, 512, writes},
	{"9e/10", "READ CAPACITY(16)", "9e100000000000000000000000200000", 32, 0, anybody},
	{"9e/12", "GET LBA STATUS(16)", "9e120000000000000000000000200000", 32, 0, reads},
	{"9e/16", "GET STREAM STATUS", "9e160000000000000000000000200000", 32, 0, reads},
	{"a0", "REPORT LUNS", "a00000000000000000400000", 64, 0, anybody},
	{"a3/05", "REPORT IDENTIFYING INFORMATION", "a30500000000000000400000", 64, 0, notLegacy},
	{"a3/0a", "REPORT TARGET PORT GROUPS", "a30a00000000000000400000", 64, 0, anybody},
	{"a3/0b", "REPORT ALIASES", "a30b00000000000000400000", 64, 0, notLegacy},
	{"a3/0c", "REPORT SUPPORTED OPERATION CODES", "a30c00000000000000400000", 64, 0, reads},
	{"a3/0d", "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "a30d00000000000000100000", 16, 0, reads},
	{"a3/0e", "REPORT PRIORITY", "a30e00000000000000400000", 64, 0, notLegacy},
	{"a3/0f", "REPORT TIMESTAMP", "a30f00000000000000400000", 64, 0, notLegacy},
	{"a4/06", "SET IDENTIFYING INFORMATION", "a406000000000000000000ff", 0, 0, writes},
	{"a4/0a", "SET TARGET PORT GROUPS", "a40a000000000000000000ff", 0, 0, writes},
	{"a4/0e", "SET PRIORITY", "a40e000000000000000000ff", 0, 0, writes},
	{"a4/0f", "SET TIMESTAMP", "a40f000000000000000000ff", 0, 0, writes},
	{"a8", "READ(12)", "a80000000000000000010000", 512, 0, reads},
	{"aa", "WRITE(12)", "aa0000000000000000010000", 0, 512, writes},
	{"ae", "WRITE AND VERIFY(12)", "ae0000000000000000010000", 0, 512, writes},
	{"af", "VERIFY(12)", "af0000000000000000010000", 0, 0, reads},
	{"b7", "READ DEFECT DATA(12)", "b70d00000000000000200000", 32, 0, reads},
}

// reserving lists the commands whose answer depends on more: SPC-4 table 66 and
// 5.13.3. Package rules says what they must do.
var reserving = []string{
	"16", "17", "56", "57",
	"5f/00", "5f/01", "5f/02", "5f/03", "5f/04", "5f/05", "5f/06", "5f/07", "5f/08",
}
