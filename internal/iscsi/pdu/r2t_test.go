package pdu

import "testing"

func TestR2T(t *testing.T) {
	checkVectors(t, []vector{{
		"second of a write",
		`31 80 0000 00 000000 0005000000000000 00000007 00000008
		 00000011 00000022 00000033 00000001 00040000 00010000`,
		&R2T{
			LUN: 0x0005_0000_0000_0000, ITT: 7, TTT: 8, StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
			R2TSN: 1, BufferOffset: 0x40000, DesiredLength: 0x10000,
		},
		"R2T lun=5 ITT=0x7 TTT=0x8 StatSN=17 ExpCmdSN=34 MaxCmdSN=51 R2TSN=1 offset=262144 length=65536",
	}})
}
