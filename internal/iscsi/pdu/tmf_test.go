package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTMF(t *testing.T) {
	checkVectors(t, []vector{{
		"ABORT TASK",
		`42 81 0000 00 000000 0005000000000000 00000009 00000007
		 00000011 00000022 00000010 00000000 00000000 00000000`,
		&TMFRequest{
			Immediate: true, Function: TMFAbortTask, LUN: 0x0005_0000_0000_0000,
			ITT: 9, RefTaskTag: 7, CmdSN: 0x11, ExpStatSN: 0x22, RefCmdSN: 0x10,
		},
		"TMF Request I function=ABORT TASK lun=5 ITT=0x9 RefTaskTag=0x7 CmdSN=17 ExpStatSN=34 RefCmdSN=16",
	}, {
		"TASK REASSIGN",
		`02 88 0000 00 000000 0000000000000000 00000009 00000007
		 00000011 00000022 00000000 00000003 00000000 00000000`,
		&TMFRequest{
			Function: TMFTaskReassign, ITT: 9, RefTaskTag: 7,
			CmdSN: 0x11, ExpStatSN: 0x22, ExpDataSN: 3,
		},
		"TMF Request function=TASK REASSIGN lun=0 ITT=0x9 RefTaskTag=0x7 CmdSN=17 ExpStatSN=34 RefCmdSN=0 ExpDataSN=3",
	}, {
		"response with additional information",
		`22 80 07 00 00 000000 0162290000000000 00000009 00000000
		 00000011 00000022 00000033 00000000 00000000 00000000`,
		&TMFResponse{
			Response: TMFSucceeded, AdditionalInfo: [3]byte{0x01, 0x62, 0x29},
			ITT: 9, StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
		},
		"TMF Response response=function succeeded info=016229 ITT=0x9 StatSN=17 ExpCmdSN=34 MaxCmdSN=51",
	}, {
		"rejected",
		`22 80 ff 00 00 000000 0000000000000000 00000009 00000000
		 00000000 00000000 00000000 00000000 00000000 00000000`,
		&TMFResponse{Response: TMFRejected, ITT: 9},
		"TMF Response response=function rejected ITT=0x9 StatSN=0 ExpCmdSN=0 MaxCmdSN=0",
	}})
}

func TestTMFNames(t *testing.T) {
	for f := TMFAbortTask; f <= TMFQueryAsyncEvent; f++ {
		require.NotContains(t, f.String(), "function(")
	}
	require.Equal(t, "function(0)", TMFFunction(0).String())
	require.Equal(t, "function(13)", TMFFunction(13).String())
	for r := TMFComplete; r <= TMFSucceeded; r++ {
		require.NotContains(t, r.String(), "response(")
	}
	require.Equal(t, "response(8)", TMFResult(8).String())
	require.Equal(t, "response(254)", TMFResult(254).String())
}
