package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReject(t *testing.T) {
	checkVectors(t, []vector{{
		"data digest error",
		`3f 80 02 00 00 000030 0000000000000000 ffffffff 00000000
		 00000011 00000022 00000033 00000005 00000000 00000000`,
		&Reject{
			Reason: RejectDataDigest, DataSegmentLength: 48,
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33, DataSN: 5,
		},
		"Reject reason=data digest error StatSN=17 ExpCmdSN=34 MaxCmdSN=51 DataSN=5 data=48",
	}})
}

func TestRejectReasonNames(t *testing.T) {
	for r, want := range []string{
		"reason(0)", "reason(1)", "data digest error", "SNACK reject", "protocol error",
		"command not supported", "too many immediate commands", "task in progress",
		"invalid DataACK", "invalid PDU field", "long operation reject", "reason(11)",
		"waiting for logout", "reason(13)",
	} {
		require.Equal(t, want, RejectReason(r).String())
	}
}
