package pdu

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSCSIResponse(t *testing.T) {
	checkVectors(t, []vector{{
		"CHECK CONDITION with sense and underflow",
		`21 82 00 02 00 000014 0000000000000000 00000007 00000000
		 00000011 00000022 00000033 00000000 00000000 00000200`,
		&SCSIResponse{
			Underflow: true, Status: 2, DataSegmentLength: 20, ITT: 7,
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33, Residual: 512,
		},
		"SCSI Response U response=completed status=02h ITT=0x7 StatSN=17 ExpCmdSN=34 MaxCmdSN=51 ExpDataSN=0 residual=512 data=20",
	}, {
		"target failure with everything set",
		`21 94 01 28 01 000000 abcd000000000000 00000007 01020304
		 00000011 00000022 00000033 00000004 00000005 00000006`,
		&SCSIResponse{
			BidiOverflow: true, Overflow: true, Response: TargetFailure, Status: 0x28,
			TotalAHSLength: 1, StatusQualifier: 0xabcd, ITT: 7, SNACKTag: 0x01020304,
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
			ExpDataSN: 4, BidiResidual: 5, Residual: 6,
		},
		"SCSI Response o O response=target-failure status=28h qualifier=abcdh ITT=0x7 SNACKTag=0x1020304 StatSN=17 ExpCmdSN=34 MaxCmdSN=51 ExpDataSN=4 bidi-residual=5 residual=6 ahs=4",
	}, {
		"vendor response, bidi underflow",
		`21 88 80 00 00 000000 0000000000000000 00000007 00000000
		 00000000 00000000 00000000 00000000 00000009 00000000`,
		&SCSIResponse{BidiUnderflow: true, Response: 0x80, ITT: 7, BidiResidual: 9},
		"SCSI Response u response=response(128) status=00h ITT=0x7 StatSN=0 ExpCmdSN=0 MaxCmdSN=0 ExpDataSN=0 bidi-residual=9",
	}})
}

func TestSense(t *testing.T) {
	sense := []byte{0x70, 0, 5}
	data := AppendSense([]byte{0xee}, sense)
	require.Equal(t, []byte{0xee, 0, 3, 0x70, 0, 5}, data)

	got, rest, err := SplitSense(append(data[1:], 0xaa, 0xbb))
	require.NoError(t, err)
	require.Equal(t, sense, got)
	require.Equal(t, []byte{0xaa, 0xbb}, rest)

	got, rest, err = SplitSense(nil)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Empty(t, rest)

	for n := 1; n < 5; n++ {
		_, _, err = SplitSense([]byte{0, 3, 0x70, 0, 5}[:n])
		require.ErrorIs(t, err, ErrSenseLength, "%d bytes", n)
	}

	long := AppendSense(nil, bytes.Repeat([]byte{1}, 70000))
	require.Len(t, long, 2+65535)
	got, rest, err = SplitSense(long)
	require.NoError(t, err)
	require.Len(t, got, 65535)
	require.Empty(t, rest)
}
