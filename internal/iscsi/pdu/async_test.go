package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAsync(t *testing.T) {
	checkVectors(t, []vector{{
		"session dropped",
		`32 80 0000 00 000000 0000000000000000 ffffffff 00000000
		 00000011 00000022 00000033 03000000 00020014 00000000`,
		&AsyncMessage{
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
			Event: AsyncSessionDropped, Param2: 2, Param3: 20,
		},
		"Async Message event=session dropped vcode=0 lun=0 StatSN=17 ExpCmdSN=34 MaxCmdSN=51 params=0,2,20",
	}, {
		"vendor event",
		`32 80 0000 00 000014 0005000000000000 ffffffff 00000000
		 00000011 00000022 00000033 f9070102 03040506 00000000`,
		&AsyncMessage{
			DataSegmentLength: 20, LUN: 0x0005_0000_0000_0000,
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
			Event: 249, VCode: 7, Param1: 0x0102, Param2: 0x0304, Param3: 0x0506,
		},
		"Async Message event=event(249) vcode=7 lun=5 StatSN=17 ExpCmdSN=34 MaxCmdSN=51 params=258,772,1286 data=20",
	}})
}

func TestAsyncNames(t *testing.T) {
	for n, want := range []string{
		"SCSI event", "logout requested", "connection dropped", "session dropped",
		"renegotiation requested", "tasks terminated", "event(6)",
	} {
		require.Equal(t, want, AsyncEvent(n).String())
	}
	require.Equal(t, "vendor event", AsyncVendor.String())
}
