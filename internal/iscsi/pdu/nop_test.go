package pdu

import "testing"

func TestNOP(t *testing.T) {
	checkVectors(t, []vector{{
		"ping of the initiator",
		`40 80 0000 00 000008 0005000000000000 01020304 ffffffff
		 00000011 00000022 00000000 00000000 00000000 00000000`,
		&NOPOut{
			Immediate: true, DataSegmentLength: 8, LUN: 0x0005_0000_0000_0000,
			ITT: 0x01020304, TTT: ReservedTag, CmdSN: 0x11, ExpStatSN: 0x22,
		},
		"NOP-Out I lun=5 ITT=0x1020304 TTT=- CmdSN=17 ExpStatSN=34 data=8",
	}, {
		"answer to the target's ping",
		`00 80 0000 03 abcdef 0102030405060708 ffffffff 0a0b0c0d
		 fffffffe ffffffff 00000000 00000000 00000000 00000000`,
		&NOPOut{
			TotalAHSLength: 3, DataSegmentLength: 0xabcdef, LUN: 0x0102030405060708,
			ITT: ReservedTag, TTT: 0x0a0b0c0d, CmdSN: 0xfffffffe, ExpStatSN: 0xffffffff,
		},
		"NOP-Out lun=0102030405060708 ITT=- TTT=0xa0b0c0d CmdSN=4294967294 ExpStatSN=4294967295 ahs=12 data=11259375",
	}, {
		"ping of the target",
		`20 80 0000 00 000000 0005000000000000 ffffffff 01020304
		 00000011 00000022 00000033 00000000 00000000 00000000`,
		&NOPIn{
			LUN: 0x0005_0000_0000_0000, ITT: ReservedTag, TTT: 0x01020304,
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
		},
		"NOP-In lun=5 ITT=- TTT=0x1020304 StatSN=17 ExpCmdSN=34 MaxCmdSN=51",
	}})
}
