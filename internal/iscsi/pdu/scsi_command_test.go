package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSCSICommand(t *testing.T) {
	checkVectors(t, []vector{{
		// The sample PDU of RFC 7143 Appendix A.4.
		"READ (10)",
		`01 c0 0000 00 000000 0000000000000000 14000000 00000400
		 00000014 00000018 28000000 00000000 02000000 00000000`,
		&SCSICommand{
			Final: true, Read: true, ITT: 0x14000000, EDTL: 1024,
			CmdSN: 20, ExpStatSN: 24, CDB: [16]byte{0: 0x28, 8: 2},
		},
		"SCSI Command F R attr=untagged lun=0 ITT=0x14000000 EDTL=1024 CmdSN=20 ExpStatSN=24 CDB=28000000000000000200000000000000",
	}, {
		"write with priority, AHS and immediate data",
		`41 23 f0 00 07 001000 4001000000000000 00000001 01020304
		 05060708 090a0b0c 101112131415161718191a1b1c1d1e1f`,
		&SCSICommand{
			Immediate: true, Write: true, Attr: AttrHeadOfQueue, Pri: 15,
			TotalAHSLength: 7, DataSegmentLength: 4096, LUN: 0x4001_0000_0000_0000,
			ITT: 1, EDTL: 0x01020304, CmdSN: 0x05060708, ExpStatSN: 0x090a0b0c,
			CDB: [16]byte{
				0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17,
				0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f,
			},
		},
		"SCSI Command I W attr=head-of-queue pri=15 lun=1 ITT=0x1 EDTL=16909060 CmdSN=84281096 ExpStatSN=151653132 CDB=101112131415161718191a1b1c1d1e1f ahs=28 data=4096",
	}})
}

func TestSCSICommandOwnsItsCDB(t *testing.T) {
	h := header(t, `01 80 0000 00000000 0000000000000000 00000000 00000000
		00000000 00000000 aaaaaaaa 00000000 00000000 00000000`)
	var p SCSICommand
	p.Decode(&h)
	h = BHS{}
	require.Equal(t, byte(0xaa), p.CDB[0])
}

func TestTaskAttrNames(t *testing.T) {
	for a, want := range []string{
		"untagged", "simple", "ordered", "head-of-queue", "aca", "attr(5)", "attr(6)", "attr(7)",
	} {
		require.Equal(t, want, TaskAttr(a).String())
	}
}
