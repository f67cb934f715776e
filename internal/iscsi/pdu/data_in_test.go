package pdu

import "testing"

func TestDataIn(t *testing.T) {
	checkVectors(t, []vector{{
		"in the middle",
		`25 00 00 00 00 002000 0000000000000000 00000007 ffffffff
		 00000000 00000022 00000033 00000002 00004000 00000000`,
		&DataIn{
			DataSegmentLength: 8192, ITT: 7, TTT: ReservedTag,
			ExpCmdSN: 0x22, MaxCmdSN: 0x33, DataSN: 2, BufferOffset: 0x4000,
		},
		"Data-In ITT=0x7 TTT=- ExpCmdSN=34 MaxCmdSN=51 DataSN=2 offset=16384 data=8192",
	}, {
		"last, with status and underflow",
		`25 83 00 04 00 000200 0000000000000000 00000007 ffffffff
		 00000011 00000022 00000033 00000000 00000000 00000e00`,
		&DataIn{
			Final: true, Underflow: true, HasStatus: true, Status: 4,
			DataSegmentLength: 512, ITT: 7, TTT: ReservedTag,
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33, Residual: 3584,
		},
		"Data-In F U S ITT=0x7 TTT=- status=04h StatSN=17 ExpCmdSN=34 MaxCmdSN=51 DataSN=0 offset=0 residual=3584 data=512",
	}, {
		"wants an acknowledgement, overflow",
		`25 c4 00 00 00 000200 0005000000000000 00000007 00000008
		 00000000 00000022 00000033 00000001 00000200 00000001`,
		&DataIn{
			Final: true, Acknowledge: true, Overflow: true,
			DataSegmentLength: 512, LUN: 0x0005_0000_0000_0000, ITT: 7, TTT: 8,
			ExpCmdSN: 0x22, MaxCmdSN: 0x33, DataSN: 1, BufferOffset: 512, Residual: 1,
		},
		"Data-In F A O lun=5 ITT=0x7 TTT=0x8 ExpCmdSN=34 MaxCmdSN=51 DataSN=1 offset=512 residual=1 data=512",
	}})
}
