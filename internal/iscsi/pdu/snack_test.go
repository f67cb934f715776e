package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSNACK(t *testing.T) {
	checkVectors(t, []vector{{
		"DataACK",
		`10 82 0000 00 000000 0005000000000000 ffffffff 00000008
		 00000000 00000022 00000000 00000000 00000003 00000004`,
		&SNACKRequest{
			Type: SNACKDataACK, LUN: 0x0005_0000_0000_0000, ITT: ReservedTag, TTT: 8,
			ExpStatSN: 0x22, BegRun: 3, RunLength: 4,
		},
		"SNACK Request type=DataACK lun=5 ITT=- TTT=0x8 ExpStatSN=34 BegRun=3 RunLength=4",
	}})
}

func TestSNACKNames(t *testing.T) {
	for n, want := range []string{"data/R2T", "status", "DataACK", "R-Data", "type(4)"} {
		require.Equal(t, want, SNACKType(n).String())
	}
}
