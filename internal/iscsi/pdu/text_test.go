package pdu

import "testing"

func TestTextPDUs(t *testing.T) {
	checkVectors(t, []vector{{
		"SendTargets",
		`04 80 0000 00 000010 0000000000000000 00000001 ffffffff
		 00000011 00000022 00000000 00000000 00000000 00000000`,
		&TextRequest{
			Final: true, DataSegmentLength: 16, ITT: 1, TTT: ReservedTag,
			CmdSN: 0x11, ExpStatSN: 0x22,
		},
		"Text Request F lun=0 ITT=0x1 TTT=- CmdSN=17 ExpStatSN=34 data=16",
	}, {
		"part of a text",
		`44 40 0000 00 000010 0005000000000000 00000001 00000002
		 00000011 00000022 00000000 00000000 00000000 00000000`,
		&TextRequest{
			Immediate: true, Continue: true, DataSegmentLength: 16, LUN: 0x0005_0000_0000_0000,
			ITT: 1, TTT: 2, CmdSN: 0x11, ExpStatSN: 0x22,
		},
		"Text Request I C lun=5 ITT=0x1 TTT=0x2 CmdSN=17 ExpStatSN=34 data=16",
	}, {
		"answer that goes on",
		`24 40 0000 00 002000 0005000000000000 00000001 00000002
		 00000011 00000022 00000033 00000000 00000000 00000000`,
		&TextResponse{
			Continue: true, DataSegmentLength: 8192, LUN: 0x0005_0000_0000_0000, ITT: 1, TTT: 2,
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
		},
		"Text Response C lun=5 ITT=0x1 TTT=0x2 StatSN=17 ExpCmdSN=34 MaxCmdSN=51 data=8192",
	}, {
		"final answer",
		`24 80 0000 00 000000 0000000000000000 00000001 ffffffff
		 00000000 00000000 00000000 00000000 00000000 00000000`,
		&TextResponse{Final: true, ITT: 1, TTT: ReservedTag},
		"Text Response F lun=0 ITT=0x1 TTT=- StatSN=0 ExpCmdSN=0 MaxCmdSN=0",
	}})
}
