package conformance

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const preamble = `    Send READCAPACITY16 (Expecting SUCCESS)
    [OK] READCAPACITY16 returned SUCCESS NO SENSE(0x00) (null)(0x0000)


     CUnit - A unit testing framework for C - Version 2.1-3
     http://cunit.sourceforge.net/


`

const summary = `    Send PRIN/READ_KEYS


Run Summary:    Type  Total    Ran Passed Failed Inactive
              suites      1      1    n/a      0        0
               tests      1      1      1      0        0
`

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		test, out string
		want      Status
		reason    string
	}{
		"passed": {"Read10.Simple", `Suite: Read10
  Test: Simple ...
    Test READ10 of 1-256 blocks at the start of the LUN
    [OK] READ10 returned SUCCESS NO SENSE(0x00) (null)(0x0000)
passed`, Passed, ""},
		"passed without a word": {"iSCSITMF.LUNReset", "Suite: iSCSITMF\n  Test: LUNReset ...passed", Passed, ""},
		"what is not implemented is skipped, though the tool says passed": {"CompareAndWrite.Simple", `Suite: CompareAndWrite
  Test: Simple ...
    Send COMPAREANDWRITE (Expecting SUCCESS) LBA:0 LEN:1024 WRPROTECT:0
    [SKIPPED] COMPAREANDWRITE is not implemented.
    [SKIPPED] COMPAREANDWRITE is not implemented.
passed`, Skipped, "COMPAREANDWRITE is not implemented."},
		"skipped on the line of the name": {"Unmap.Simple", "Suite: Unmap\n  Test: Simple ...    [SKIPPED] Logical unit is fully provisioned. Skipping test\npassed",
			Skipped, "Logical unit is fully provisioned. Skipping test"},
		"failed with a reason": {"GetLBAStatus.BeyondEol", `Suite: GetLBAStatus
  Test: BeyondEol ...
    [FAILED] GET_LBA_STATUS successful but should have failed at 9223372036854775808
FAILED
    1. test_get_lba_status_beyond_eol.c:38  - CU_ASSERT_EQUAL(_r,0)`, Failed, "GET_LBA_STATUS successful but should have failed at …"},
		"failed by an assertion alone": {"iSCSIdatasn.Invalid", `Suite: iSCSIdatasn
  Test: Invalid ...
FAILED
    1. test_iscsi_datasn_invalid.c:98  - CU_ASSERT_NOT_EQUAL(ret,0)
    2. test_iscsi_datasn_invalid.c:116  - CU_ASSERT_NOT_EQUAL(ret,0)    Send PRIN/READ_KEYS
    [FAILED] PRIN command: failed with sense.`, Failed, "test_iscsi_datasn_invalid.c:98  - CU_ASSERT_NOT_EQUAL(ret,0)"},
		"failed after a skip is failed":  {"A.B", "  Test: B ...\n [SKIPPED] x\n [FAILED] y\nFAILED", Failed, "y"},
		"no verdict":                     {"Read10.Simple", "Suite: Read10\n  Test: Simple ...\n    Test READ10", Crashed, "no verdict"},
		"words of a test are no verdict": {"A.B", "  Test: B ...\n    this passed once\n", Crashed, "no verdict"},
		"another test":                   {"A.C", "  Test: B ...\npassed", Crashed, "the tool did not run the test"},
	} {
		t.Run(name, func(t *testing.T) {
			r := parse(c.test, preamble+c.out+summary)
			require.Equal(t, c.want, r.Status)
			require.Equal(t, c.reason, r.Reason)
		})
	}
}

func TestAnyDifferenceCounts(t *testing.T) {
	before := []Result{{Test: "A.a", Status: Passed}, {Test: "A.b", Status: Skipped, Reason: "X is not implemented."}}
	path := filepath.Join(t.TempDir(), "expected")
	require.NoError(t, Save(path, before))
	want, err := Load(path)
	require.NoError(t, err)
	require.Empty(t, Differences(want, before))

	for name, after := range map[string][]Result{
		"worse":         {{Test: "A.a", Status: Failed, Reason: "no"}, before[1]},
		"better":        {before[0], {Test: "A.b", Status: Passed}},
		"other reason":  {before[0], {Test: "A.b", Status: Skipped, Reason: "another"}},
		"did not run":   {before[0]},
		"new in a list": {before[0], before[1], {Test: "A.c", Status: Passed}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Len(t, Differences(want, after), 1)
		})
	}
}
