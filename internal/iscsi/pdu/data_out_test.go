package pdu

import "testing"

func TestDataOut(t *testing.T) {
	checkVectors(t, []vector{{
		"last of a solicited burst",
		`05 80 0000 00 010000 0005000000000000 00000007 00000008
		 00000000 00000022 00000000 00000003 00030000 00000000`,
		&DataOut{
			Final: true, DataSegmentLength: 65536, LUN: 0x0005_0000_0000_0000,
			ITT: 7, TTT: 8, ExpStatSN: 0x22, DataSN: 3, BufferOffset: 0x30000,
		},
		"Data-Out F lun=5 ITT=0x7 TTT=0x8 ExpStatSN=34 DataSN=3 offset=196608 data=65536",
	}, {
		"unsolicited",
		`05 00 0000 00 000200 0000000000000000 00000007 ffffffff
		 00000000 00000000 00000000 00000000 00000000 00000000`,
		&DataOut{DataSegmentLength: 512, ITT: 7, TTT: ReservedTag},
		"Data-Out lun=0 ITT=0x7 TTT=- ExpStatSN=0 DataSN=0 offset=0 data=512",
	}})
}
