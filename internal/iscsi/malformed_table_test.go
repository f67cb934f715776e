package iscsi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// malformedInput lists what a peer may get wrong, what is answered, and the
// tests that show it. Where RFC 7143 leaves a choice this is ours.
var malformedInput = []struct {
	input, answer, clause string
	tests                 []string
}{
	{"first PDU is no Login Request", "close", "§6.3", []string{"TestLoginRefusals/not a login"}},
	{"an opcode of targets", "close", "§11.2.1.2", []string{"TestLoginRefusals/target opcode", "TestFatalPDUs/target opcode"}},
	{"another request in a login", "020B", "§11.13.5", []string{"TestLoginRefusals/other request in login"}},
	{"a login in full feature phase", "Reject 04", "§7.13", []string{"TestRejects/login again"}},
	{"Version-min over 0", "0205, Version-active 0", "§11.13.2", []string{"TestLoginRefusals/version"}},
	{"an illegal stage or transition", "0200", "§6.3", []string{
		"TestLoginRefusals/stage 2", "TestLoginRefusals/stage 3", "TestLoginRefusals/to stage 2",
		"TestLoginRefusals/to the same stage", "TestLoginRefusals/back"}},
	{"CSG is not the current stage", "0200", "§6.3", []string{"TestLoginRefusals/stage jumps"}},
	{"no InitiatorName or TargetName", "0207", "§6.3", []string{
		"TestLoginRefusals/no initiator name", "TestLoginRefusals/no target name", "TestLoginRefusals/no text"}},
	{"a malformed InitiatorName", "0200", "§4.2.7", []string{
		"TestLoginRefusals/bad initiator name", "TestLoginRefusals/initiator name of 224 bytes", "TestKeyISCSINames"}},
	{"a malformed TargetName", "0203", "§4.2.7", []string{
		"TestLoginRefusals/bad target name", "TestLoginRefusals/target name of 224 bytes", "TestKeyISCSINames"}},
	{"a key without =, without a name, without a NUL behind it, over a limit", "0200, Reject 04", "§6.1", []string{
		"TestLoginRefusals/no equals", "TestLoginRefusals/empty key", "TestLoginRefusals/no NUL", "TestLoginRefusals/key of 64 characters",
		"TestLoginRefusals/value over every limit", "TestLoginRefusals/text over every limit", "TestLengthsOfLoginText",
		"TestRejects/text without end", "TestRejects/text too long"}},
	{"a key twice", "0200, Reject 04", "§6.3, §6.4", []string{
		"TestLoginRefusals/key twice", "TestLoginRefusals/key again later", "TestRejects/text with a key twice"}},
	{"an offer of Reject, Irrelevant or NotUnderstood", "0200, Reject 04", "§6.2", []string{
		"TestLoginRefusals/offer of Reject", "TestLoginRefusals/offer of Irrelevant", "TestLoginRefusals/offer of NotUnderstood",
		"TestRejects/text with a reserved value"}},
	{"a number out of range, without digits, with a sign", "key=Reject", "§6.2.2", []string{"TestLoginGoesOnAfterBadNumbers", "TestKeyResults"}},
	{"C with T or F", "0200, Reject 04", "§6.2", []string{"TestLoginRefusals/C with T", "TestRejects/text with C and F"}},
	{"DataSegmentLength over what we declared", "all connections of the session close", "§7.7", []string{
		"TestFatalPDUs/segment over what we declared", "TestFatalPDUs/segment of 16 MiB", "TestFormatErrorEndsAllConnections",
		"TestLoginRefusals/segment over 8192", "TestLoginRefusals/segment of 16 MiB"}},
	{"data on a SNACK, a task management request or a logout", "Reject 09", "§7.7", []string{
		"TestRejects/SNACK with data", "TestRejects/data on TMF", "TestRejects/data on logout"}},
	{"additional headers where there are none, beyond their length, of an unknown type", "Reject 09, 0200", "§7.7", []string{
		"TestRejects/AHS on NOP", "TestRejects/AHS on logout", "TestRejects/AHS leads outside", "TestRejects/AHS of length zero",
		"TestRejects/AHS of unknown type", "TestRejects/bidirectional length of the wrong size", "TestLoginRefusals/AHS"}},
	{"a CDB of more than 16 bytes that is not known", "CHECK CONDITION 5 20/00", "§11.2.2.3", []string{"TestAdditionalHeaders"}},
	{"a command with neither W nor F", "Reject 09", "§11.3.1", []string{"TestRejects/W=0 and F=0"}},
	{"an expected length without a direction", "Reject 09", "§11.3.1", []string{"TestRejects/length without direction"}},
	{"immediate data, and ImmediateData=No", "CHECK CONDITION B 0C/0C", "§13.11", []string{"TestDataOutFaults/immediate data not allowed"}},
	{"immediate data over FirstBurstLength or the expected length", "CHECK CONDITION B 0C/0C, Reject 09", "§11.4.7", []string{
		"TestDataOutFaults/immediate data over FirstBurstLength", "TestRejects/immediate data over the expected length", "TestRejects/data on a read"}},
	{"unsolicited data, and InitialR2T=Yes", "CHECK CONDITION B 0C/0C", "§13.10", []string{"TestDataOutFaults/unsolicited data not allowed"}},
	{"Data-Out for an unknown tag or another LUN", "Reject 09", "§11.17", []string{"TestDataOutForNobody"}},
	{"Data-Out outside what was asked for, or twice", "CHECK CONDITION B 0C/0D", "§11.8", []string{
		"TestDataOutFaults/solicited outside the R2T", "TestDataOutFaults/solicited too long", "TestDataOutFaults/solicited overlap",
		"TestDataOutFaults/solicited offset wraps", "TestDataOutFaults/unsolicited burst too long", "TestDataOutFaults/unsolicited offset"}},
	{"the last Data-Out too early, or not marked", "CHECK CONDITION B 0C/0D", "§11.8", []string{
		"TestDataOutFaults/solicited too short", "TestDataOutFaults/unsolicited burst too short",
		"TestDataOutFaults/solicited without F at its end", "TestDataOutFaults/unsolicited without F at its end"}},
	{"DataSN missing, twice, backwards", "CHECK CONDITION B 47/05", "§7.9", []string{
		"TestDataOutFaults/solicited DataSN twice", "TestDataOutFaults/solicited DataSN 27", "TestDataOutFaults/solicited DataSN -1",
		"TestDataOutFaults/solicited DataSN backwards", "TestDataOutFaults/unsolicited DataSN gap"}},
	{"CmdSN outside the window, or there already", "silence", "§4.2.2.1", []string{"TestIgnoredCommands"}},
	{"a tag that is in use", "Reject 07", "§11.17", []string{"TestTagInUse"}},
	{"the reserved tag on a command, a task management request, a text, a logout", "Reject 09", "§11.2.1.8", []string{
		"TestRejects/reserved tag on command", "TestRejects/reserved tag on TMF", "TestRejects/reserved tag on text", "TestRejects/reserved tag on logout"}},
	{"task attributes 5 to 7", "CHECK CONDITION 5 0E/03", "§11.3.1.2", []string{
		"TestDataOutFaults/task attribute 5", "TestDataOutFaults/task attribute 6", "TestDataOutFaults/task attribute 7"}},
	{"task attribute ACA", "CHECK CONDITION 5 24/00", "SAM-5 8.6", []string{"../scsi.TestACAIsRefused"}},
	{"a LUN that is not mapped", "CHECK CONDITION 5 25/00, task management response 2", "§11.6.1", []string{
		"TestFailedWriteConsumesWhatWasPromised", "TestTaskManagementAnswers"}},
	{"an unknown opcode", "Reject 05", "§11.17", []string{"TestRejects/unknown opcode", "TestRejects/vendor opcode with data"}},
	{"NOP-Out without a tag that is not immediate", "Reject 04", "§11.18.1", []string{"TestRejects/NOP without tag, not immediate"}},
	{"NOP-Out that answers no ping", "silence", "§11.18", []string{"TestPingAnswerThatWasNotAskedFor"}},
	{"a second text while one is open, a stale tag", "Reject 04, Reject 09", "§11.10", []string{"TestLongTextAnswer", "TestRejects/text with a tag never given"}},
	{"SNACK", "Reject 05", "§7.1.5", []string{"TestRejects/SNACK"}},
	{"a logout of an unknown connection", "response 1", "§11.15.1", []string{"TestLogout"}},
	{"requests after a logout", "silence, then close", "§11.14", []string{"TestRequestsAfterLogout"}},
	{"no logout although asked for it", "close", "§11.9.1", []string{"TestShutdown"}},
	{"reserved bits", "not looked at", "§11.1", []string{"TestReservedBitsAreIgnored"}},
	{"commands on a discovery session", "Reject 05", "§13.21", []string{"TestDiscoverySessionDoesNoIO"}},
}

// Every row names tests that exist.
func TestMalformedInputIsTested(t *testing.T) {
	exist := map[string]bool{}
	for _, dir := range []string{".", "../scsi"} {
		files, err := filepath.Glob(dir + "/*_test.go")
		require.NoError(t, err)
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
					if dir != "." {
						exist[dir+"."+fn.Name.Name] = true
					} else {
						exist[fn.Name.Name] = true
					}
				}
			}
		}
	}
	for _, c := range loginRefusals {
		exist["TestLoginRefusals/"+c.name] = true
	}
	for _, c := range rejected {
		exist["TestRejects/"+c.name] = true
	}
	for _, c := range fatal {
		exist["TestFatalPDUs/"+c.name] = true
	}
	for _, c := range dataOutFaults {
		exist["TestDataOutFaults/"+c.name] = true
	}
	for _, row := range malformedInput {
		require.NotEmpty(t, row.tests, row.input)
		for _, name := range row.tests {
			require.True(t, exist[name], "%s: there is no %s", row.input, name)
		}
	}
}
