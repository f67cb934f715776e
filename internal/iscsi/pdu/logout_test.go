package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogout(t *testing.T) {
	checkVectors(t, []vector{{
		"close session",
		`46 80 0000 00 000000 0000000000000000 00000001 00000000
		 00000011 00000022 00000000 00000000 00000000 00000000`,
		&LogoutRequest{Immediate: true, ITT: 1, CmdSN: 0x11, ExpStatSN: 0x22},
		"Logout Request I reason=close session ITT=0x1 CmdSN=17 ExpStatSN=34",
	}, {
		"remove connection",
		`06 82 0000 00 000000 0000000000000000 00000001 abcd0000
		 00000011 00000022 00000000 00000000 00000000 00000000`,
		&LogoutRequest{Reason: LogoutForRecovery, ITT: 1, CID: 0xabcd, CmdSN: 0x11, ExpStatSN: 0x22},
		"Logout Request reason=remove connection for recovery CID=43981 ITT=0x1 CmdSN=17 ExpStatSN=34",
	}, {
		"response",
		`26 80 01 00 00 000000 0000000000000000 00000001 00000000
		 00000011 00000022 00000033 00000000 00020014 00000000`,
		&LogoutResponse{
			Response: LogoutNoCID, ITT: 1, StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
			Time2Wait: 2, Time2Retain: 20,
		},
		"Logout Response response=CID not found ITT=0x1 StatSN=17 ExpCmdSN=34 MaxCmdSN=51 Time2Wait=2 Time2Retain=20",
	}})
}

func TestLogoutNames(t *testing.T) {
	require.Equal(t, "close connection", LogoutCloseConnection.String())
	require.Equal(t, "reason(3)", LogoutReason(3).String())
	require.Equal(t, "closed", LogoutClosed.String())
	require.Equal(t, "connection recovery not supported", LogoutRecoveryUnsupported.String())
	require.Equal(t, "cleanup failed", LogoutCleanupFailed.String())
	require.Equal(t, "response(4)", LogoutResult(4).String())
}
