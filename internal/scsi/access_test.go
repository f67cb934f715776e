package scsi

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// What every command is to reservations, written from SPC-4 r36f table 65,
// SBC-4 r22 table 13 and SPC-2 r20 table 11, not from the rows.
const accessTable = `
always:     INQUIRY; REPORT LUNS; REQUEST SENSE; LOG SENSE; READ CAPACITY(10); READ CAPACITY(16); REPORT TARGET PORT GROUPS;
            RESERVE(6); RESERVE(10); RELEASE(6); RELEASE(10)
status:     TEST UNIT READY; REPORT IDENTIFYING INFORMATION; REPORT TIMESTAMP; RECEIVE COPY STATUS(LID1); RECEIVE COPY DATA(LID1);
            RECEIVE COPY OPERATING PARAMETERS; RECEIVE COPY FAILURE DETAILS(LID1); RECEIVE COPY STATUS(LID4); RECEIVE ROD TOKEN INFORMATION
persistent: PERSISTENT RESERVE IN/*; PERSISTENT RESERVE OUT/*
read:       READ(6); READ(10); READ(12); READ(16); VERIFY(10); VERIFY(12); VERIFY(16); PRE-FETCH(10); PRE-FETCH(16); GET LBA STATUS(16);
            READ DEFECT DATA(10); READ DEFECT DATA(12); POPULATE TOKEN; MODE SENSE(6); MODE SENSE(10); READ BUFFER;
            RECEIVE DIAGNOSTIC RESULTS; REPORT SUPPORTED OPERATION CODES; REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
write:      WRITE(6); WRITE(10); WRITE(12); WRITE(16); WRITE AND VERIFY(10); WRITE AND VERIFY(12); WRITE AND VERIFY(16);
            WRITE SAME(10); WRITE SAME(16); COMPARE AND WRITE; ORWRITE(16); WRITE ATOMIC(16); UNMAP; SANITIZE/*; FORMAT UNIT; SYNCHRONIZE CACHE(10);
            SYNCHRONIZE CACHE(16); WRITE USING TOKEN; EXTENDED COPY(LID1); MODE SELECT(6); MODE SELECT(10); LOG SELECT; SEND DIAGNOSTIC;
            WRITE BUFFER; SET TARGET PORT GROUPS; SET IDENTIFYING INFORMATION; SET TIMESTAMP
by cdb:     START STOP UNIT; PREVENT ALLOW MEDIUM REMOVAL`

func TestAccessOfEveryCommand(t *testing.T) {
	want := map[string]string{}
	class := ""
	for _, line := range strings.Split(strings.TrimSpace(accessTable), "\n") {
		if head, rest, ok := strings.Cut(line, ": "); ok {
			class, line = head, rest
		}
		for _, name := range strings.Split(line, ";") {
			if name = strings.TrimSpace(name); name != "" {
				want[name] = class
			}
		}
	}
	for _, r := range Commands() {
		family, _, _ := strings.Cut(r.Name, "/")
		class, ok := want[r.Name]
		if !ok {
			class, ok = want[family+"/*"]
		}
		require.True(t, ok, "%s: not in the table", r.Name)
		have := classNames[r.Access]
		if r.AccessOf != nil {
			have = "by cdb"
		}
		require.Equal(t, class, have, r.Name)
	}
	start, prevent := opcodes[0x1b].row, opcodes[0x1e].row
	for cdb, want := range map[[16]byte]pr.Class{
		{0x1b, 4: 0x01}: pr.Status, {0x1b, 4: 0x00}: pr.Write, {0x1b, 4: 0x11}: pr.Write, {0x1b, 4: 0x02}: pr.Write, {0x1b, 4: 0x05}: pr.Status,
		{0x1e, 4: 0}: pr.Always, {0x1e, 4: 1}: pr.Write, {0x1e, 4: 2}: pr.Write, {0x1e, 4: 3}: pr.Write,
	} {
		row := start
		if cdb[0] == 0x1e {
			row = prevent
		}
		require.Equal(t, want, row.access(&cdb), "%x", cdb[:6])
	}
}
