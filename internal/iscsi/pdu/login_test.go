package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogin(t *testing.T) {
	checkVectors(t, []vector{{
		"leading request",
		`43 87 00 00 00 0001c4 00023d010000 0000 00000001 00020000
		 00000011 00000022 00000000 00000000 00000000 00000000`,
		&LoginRequest{
			Immediate: true, Transit: true, CSG: OperationalNegotiation, NSG: FullFeaturePhase,
			DataSegmentLength: 452, ISID: ISID{0x00, 0x02, 0x3d, 0x01}, ITT: 1, CID: 2,
			CmdSN: 0x11, ExpStatSN: 0x22,
		},
		"Login Request T CSG=operational NSG=full-feature version=0..0 ISID=00023d010000 TSIH=0 CID=2 ITT=0x1 CmdSN=17 ExpStatSN=34 data=452",
	}, {
		"request that goes on, of an existing session",
		`03 40 02 01 00 000000 800102030405 abcd 00000001 00000000
		 00000000 00000000 00000000 00000000 00000000 00000000`,
		&LoginRequest{
			Continue: true, VersionMax: 2, VersionMin: 1,
			ISID: ISID{0x80, 1, 2, 3, 4, 5}, TSIH: 0xabcd, ITT: 1,
		},
		"Login Request C CSG=security version=1..2 ISID=800102030405 TSIH=43981 CID=0 ITT=0x1 CmdSN=0 ExpStatSN=0",
	}, {
		"final response",
		`23 87 00 00 00 000030 00023d010000 0001 00000001 00000000
		 00000011 00000022 00000033 00000000 00000000 00000000`,
		&LoginResponse{
			Transit: true, CSG: OperationalNegotiation, NSG: FullFeaturePhase,
			DataSegmentLength: 48, ISID: ISID{0x00, 0x02, 0x3d, 0x01}, TSIH: 1, ITT: 1,
			StatSN: 0x11, ExpCmdSN: 0x22, MaxCmdSN: 0x33,
		},
		"Login Response T CSG=operational NSG=full-feature status=success (0000) version=0..0 ISID=00023d010000 TSIH=1 ITT=0x1 StatSN=17 ExpCmdSN=34 MaxCmdSN=51 data=48",
	}, {
		"refusal",
		`23 00 03 02 00 000000 00023d010000 0000 00000001 00000000
		 00000000 00000000 00000000 02070000 00000000 00000000`,
		&LoginResponse{
			VersionMax: 3, VersionActive: 2, ISID: ISID{0x00, 0x02, 0x3d, 0x01}, ITT: 1,
			Status: LoginMissingParameter,
		},
		"Login Response CSG=security status=missing parameter (0207) version=2..3 ISID=00023d010000 TSIH=0 ITT=0x1 StatSN=0 ExpCmdSN=0 MaxCmdSN=0",
	}})
}

func TestStageNames(t *testing.T) {
	for s, want := range []string{"security", "operational", "stage(2)", "full-feature"} {
		require.Equal(t, want, Stage(s).String())
	}
}

func TestLoginStatus(t *testing.T) {
	for s, want := range map[LoginStatus]string{
		0x0000: "success (0000)",
		0x0101: "target moved temporarily (0101)",
		0x0102: "target moved permanently (0102)",
		0x0200: "initiator error (0200)",
		0x0201: "authentication failure (0201)",
		0x0202: "authorization failure (0202)",
		0x0203: "target not found (0203)",
		0x0204: "target removed (0204)",
		0x0205: "unsupported version (0205)",
		0x0206: "too many connections (0206)",
		0x0207: "missing parameter (0207)",
		0x0208: "cannot include in session (0208)",
		0x0209: "session type not supported (0209)",
		0x020a: "session does not exist (020a)",
		0x020b: "invalid request during login (020b)",
		0x0300: "target error (0300)",
		0x0301: "service unavailable (0301)",
		0x0302: "out of resources (0302)",
		0x0399: "status (0399)",
	} {
		require.Equal(t, want, s.String())
	}
	require.Len(t, loginStatusNames, 18)
	require.Equal(t, LoginClassTarget, LoginOutOfResources.Class())
	require.Equal(t, uint8(2), LoginOutOfResources.Detail())
	require.Equal(t, LoginClassSuccess, LoginSuccess.Class())
	require.Equal(t, LoginClassRedirection, LoginMovedPermanently.Class())
	require.Equal(t, LoginClassInitiator, LoginInvalidRequest.Class())
}
