package iscsi

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"nas-target/internal/iscsi/pdu"
)

const (
	keySec = pdu.SecurityNegotiation
	keyOp  = pdu.OperationalNegotiation
	keyFF  = pdu.FullFeaturePhase
)

// keyText reads "A=1 B=2".
func keyText(s string) (t pdu.Text) {
	for _, f := range strings.Fields(s) {
		key, value, _ := strings.Cut(f, "=")
		t.Add(key, value)
	}
	return t
}

// keyNamed is the state after a first request with names.
func keyNamed(t testing.TB, l Limits) keyState {
	st := newKeyState(l)
	reply, err := negotiate(keyText("InitiatorName=iqn.2026-11.local:i TargetName=iqn.2026-11.local:t"), &st, keySec)
	require.Nil(t, err)
	require.Empty(t, reply)
	return st
}

func TestKeyDefaults(t *testing.T) {
	require.Equal(t, Params{
		SessionType:         SessionNormal,
		MaxSend:             8192,
		MaxRecv:             8192,
		MaxConnections:      1,
		InitialR2T:          true,
		ImmediateData:       true,
		MaxBurstLength:      262144,
		FirstBurstLength:    65536,
		MaxOutstandingR2T:   1,
		DataPDUInOrder:      true,
		DataSequenceInOrder: true,
		DefaultTime2Wait:    2,
		DefaultTime2Retain:  20,
		ErrorRecoveryLevel:  0,
		TaskReporting:       TaskReportingRFC3720,
		ProtocolLevel:       1,
	}, newKeyState(DefaultLimits()).params)
	require.NoError(t, DefaultLimits().Validate())
	require.Equal(t, "Normal", SessionNormal.String())
	require.Equal(t, "Discovery", SessionDiscovery.String())
}

func TestKeyTableIsSound(t *testing.T) {
	require.LessOrEqual(t, len(keyTable), 64, "keyState.seen has a bit per row")
	require.Len(t, keyIndex, len(keyTable), "a key stands once")
	for i := range keyTable {
		r := &keyTable[i]
		require.Equal(t, i, keyIndex[r.name])
		if r.scope == keyConnection {
			require.NotEqual(t, keyLO, r.use, "%s: each connection states it", r.name)
		}
		var has []string
		for what, ok := range map[string]bool{
			"number": r.number != nil, "limit": r.limit != nil, "boolean": r.boolean != nil,
			"want": r.want != nil, "take": r.take != nil, "declare": r.declare != nil,
		} {
			if ok {
				has = append(has, what)
			}
		}
		switch r.rule {
		case keyMin, keyMax:
			require.ElementsMatch(t, []string{"number", "limit"}, has, r.name)
		case keyAnd, keyOr:
			require.ElementsMatch(t, []string{"boolean", "want"}, has, r.name)
		case keyList:
			require.Equal(t, []string{"take"}, has, r.name)
		case keyDeclare:
			require.Len(t, has, 1, r.name)
		default:
			require.Empty(t, has, r.name)
		}
	}
}

// One line per key and interesting value: what the initiator offers in the
// operational stage, what it gets, and the field it ends up in.
func TestKeyResults(t *testing.T) {
	wide := DefaultLimits()
	wide.MaxConnections = 32
	wide.ProtocolLevel = 2
	tight := Limits{
		MaxRecvDataSegmentLength: 65536, MaxConnections: 2, MaxBurstLength: 131072, FirstBurstLength: 32768,
		MaxOutstandingR2T: 4, DefaultTime2Wait: 5, DefaultTime2Retain: 0, ProtocolLevel: 1, InitialR2T: true,
	}
	fast := DefaultLimits()
	fast.FastAbort = true
	strict := DefaultLimits()
	strict.RequireHeaderDigest = true
	strict.RequireDataDigest = true

	for _, c := range []struct {
		limits     Limits
		key, offer string
		reply      string
		field      string
		want       any
	}{
		{wide, "HeaderDigest", "None", "None", "HeaderDigest", false},
		{wide, "HeaderDigest", "CRC32C", "CRC32C", "HeaderDigest", true},
		{wide, "HeaderDigest", "CRC32C,None", "CRC32C", "HeaderDigest", true},
		{wide, "HeaderDigest", "None,CRC32C", "None", "HeaderDigest", false},
		{wide, "HeaderDigest", "X-fancy,CRC32C", "CRC32C", "HeaderDigest", true},
		{wide, "HeaderDigest", ",,CRC32C", "CRC32C", "HeaderDigest", true},
		{wide, "HeaderDigest", "crc32c", "Reject", "HeaderDigest", false},
		{wide, "HeaderDigest", "", "Reject", "HeaderDigest", false},
		{wide, "HeaderDigest", "Yes", "Reject", "HeaderDigest", false},
		{strict, "HeaderDigest", "None,CRC32C", "CRC32C", "HeaderDigest", true},
		{strict, "HeaderDigest", "None", "Reject", "HeaderDigest", false},
		{wide, "DataDigest", "CRC32C,None", "CRC32C", "DataDigest", true},
		{wide, "DataDigest", "None", "None", "DataDigest", false},
		{strict, "DataDigest", "None,CRC32C", "CRC32C", "DataDigest", true},
		{strict, "DataDigest", "None", "Reject", "DataDigest", false},

		{wide, "MaxRecvDataSegmentLength", "512", "", "MaxSend", uint32(512)},
		{wide, "MaxRecvDataSegmentLength", "16777215", "", "MaxSend", uint32(16777215)},
		{wide, "MaxRecvDataSegmentLength", "0x10000", "", "MaxSend", uint32(65536)},

		{wide, "MaxConnections", "1", "1", "MaxConnections", uint32(1)},
		{wide, "MaxConnections", "65535", "32", "MaxConnections", uint32(32)},
		{tight, "MaxConnections", "8", "2", "MaxConnections", uint32(2)},
		{wide, "MaxConnections", "0", "Reject", "MaxConnections", uint32(1)},
		{wide, "MaxConnections", "65536", "Reject", "MaxConnections", uint32(1)},
		{wide, "MaxConnections", "None", "Reject", "MaxConnections", uint32(1)},

		{wide, "InitialR2T", "Yes", "Yes", "InitialR2T", true},
		{wide, "InitialR2T", "No", "No", "InitialR2T", false},
		{tight, "InitialR2T", "No", "Yes", "InitialR2T", true},
		{wide, "InitialR2T", "no", "Reject", "InitialR2T", true},
		{wide, "InitialR2T", "", "Reject", "InitialR2T", true},

		{wide, "ImmediateData", "Yes", "Yes", "ImmediateData", true},
		{wide, "ImmediateData", "No", "No", "ImmediateData", false},
		{tight, "ImmediateData", "Yes", "No", "ImmediateData", false},
		{wide, "ImmediateData", "true", "Reject", "ImmediateData", true},

		{wide, "MaxBurstLength", "65536", "65536", "MaxBurstLength", uint32(65536)},
		{wide, "MaxBurstLength", "16777215", "16776192", "MaxBurstLength", uint32(16776192)},
		{tight, "MaxBurstLength", "262144", "131072", "MaxBurstLength", uint32(131072)},
		{wide, "MaxBurstLength", "512", "512", "MaxBurstLength", uint32(512)},
		{wide, "MaxBurstLength", "511", "Reject", "MaxBurstLength", uint32(262144)},
		{wide, "MaxBurstLength", "16777216", "Reject", "MaxBurstLength", uint32(262144)},
		{wide, "MaxBurstLength", "", "Reject", "MaxBurstLength", uint32(262144)},
		{wide, "MaxBurstLength", "-1", "Reject", "MaxBurstLength", uint32(262144)},
		{wide, "MaxBurstLength", "4294967808", "Reject", "MaxBurstLength", uint32(262144)}, // 1<<32 + 512

		{wide, "FirstBurstLength", "262144", "262144", "FirstBurstLength", uint32(262144)},
		{wide, "FirstBurstLength", "16776192", "262144", "FirstBurstLength", uint32(262144)},
		{tight, "FirstBurstLength", "262144", "32768", "FirstBurstLength", uint32(32768)},
		{wide, "FirstBurstLength", "511", "Reject", "FirstBurstLength", uint32(65536)},
		{wide, "FirstBurstLength", "512", "512", "FirstBurstLength", uint32(512)},

		{wide, "MaxOutstandingR2T", "1", "1", "MaxOutstandingR2T", uint32(1)},
		{wide, "MaxOutstandingR2T", "16", "16", "MaxOutstandingR2T", uint32(16)},
		{wide, "MaxOutstandingR2T", "65535", "16", "MaxOutstandingR2T", uint32(16)},
		{tight, "MaxOutstandingR2T", "16", "4", "MaxOutstandingR2T", uint32(4)},
		{wide, "MaxOutstandingR2T", "0", "Reject", "MaxOutstandingR2T", uint32(1)},

		{wide, "DataPDUInOrder", "Yes", "Yes", "DataPDUInOrder", true},
		{wide, "DataPDUInOrder", "No", "Yes", "DataPDUInOrder", true},
		{wide, "DataSequenceInOrder", "Yes", "Yes", "DataSequenceInOrder", true},
		{wide, "DataSequenceInOrder", "No", "Yes", "DataSequenceInOrder", true},
		{wide, "DataSequenceInOrder", "1", "Reject", "DataSequenceInOrder", true},

		{wide, "DefaultTime2Wait", "0", "2", "DefaultTime2Wait", uint32(2)},
		{wide, "DefaultTime2Wait", "3600", "3600", "DefaultTime2Wait", uint32(3600)},
		{tight, "DefaultTime2Wait", "2", "5", "DefaultTime2Wait", uint32(5)},
		{wide, "DefaultTime2Wait", "3601", "Reject", "DefaultTime2Wait", uint32(2)},
		{wide, "DefaultTime2Retain", "0", "0", "DefaultTime2Retain", uint32(0)},
		{wide, "DefaultTime2Retain", "60", "20", "DefaultTime2Retain", uint32(20)},
		{tight, "DefaultTime2Retain", "20", "0", "DefaultTime2Retain", uint32(0)},
		{wide, "DefaultTime2Retain", "3601", "Reject", "DefaultTime2Retain", uint32(20)},

		{wide, "ErrorRecoveryLevel", "0", "0", "ErrorRecoveryLevel", uint32(0)},
		{wide, "ErrorRecoveryLevel", "2", "0", "ErrorRecoveryLevel", uint32(0)},
		{wide, "ErrorRecoveryLevel", "3", "Reject", "ErrorRecoveryLevel", uint32(0)},

		{wide, "TaskReporting", "RFC3720", "RFC3720", "TaskReporting", TaskReportingRFC3720},
		{wide, "TaskReporting", "ResponseFence,RFC3720", "ResponseFence", "TaskReporting", TaskReportingResponseFence},
		{wide, "TaskReporting", "FastAbort,ResponseFence", "ResponseFence", "TaskReporting", TaskReportingResponseFence},
		{fast, "TaskReporting", "FastAbort,ResponseFence", "FastAbort", "TaskReporting", TaskReportingFastAbort},
		{wide, "TaskReporting", "FastAbort", "Reject", "TaskReporting", TaskReportingRFC3720},
		{wide, "TaskReporting", "None", "Reject", "TaskReporting", TaskReportingRFC3720},

		{wide, "iSCSIProtocolLevel", "2", "2", "ProtocolLevel", uint32(2)},
		{wide, "iSCSIProtocolLevel", "31", "2", "ProtocolLevel", uint32(2)},
		{wide, "iSCSIProtocolLevel", "0", "0", "ProtocolLevel", uint32(0)},
		{tight, "iSCSIProtocolLevel", "2", "1", "ProtocolLevel", uint32(1)},
		{wide, "iSCSIProtocolLevel", "32", "Reject", "ProtocolLevel", uint32(1)},

		{wide, "IFMarker", "No", "Reject", "", nil},
		{wide, "OFMarker", "Yes", "Reject", "", nil},
		{wide, "IFMarkInt", "2048~8192", "Reject", "", nil},
		{wide, "OFMarkInt", "2048", "Reject", "", nil},

		{wide, "X#NodeArchitecture", "ExampleOS/v1", "", "", nil},
		{wide, "X-com.example.key", "1", "NotUnderstood", "", nil},
		{wide, "SomethingNew", "Yes", "NotUnderstood", "", nil},
		{wide, "initialr2t", "Yes", "NotUnderstood", "", nil}, // keys are case sensitive
		{wide, "RDMAExtensions", "Yes", "NotUnderstood", "", nil},

		{wide, "InitiatorAlias", "host", "", "InitiatorAlias", "host"},
		{wide, "InitiatorAlias", "", "", "InitiatorAlias", ""},
		{wide, "InitiatorAlias", "h\xffst", "", "InitiatorAlias", "h\ufffdst"},
		{wide, "SessionType", "Normal", "", "SessionType", SessionNormal},
		{wide, "SessionType", "Discovery", "", "SessionType", SessionDiscovery},
	} {
		t.Run(c.key+"="+c.offer, func(t *testing.T) {
			require.NoError(t, c.limits.Validate())
			st := keyNamed(t, c.limits)
			before := st.params
			reply, err := negotiate(pdu.Text{{Key: c.key, Value: c.offer}}, &st, keyOp)
			require.Nil(t, err)
			var want pdu.Text
			if c.reply != "" {
				want.Add(c.key, c.reply)
			}
			want.Add("MaxRecvDataSegmentLength", keyFormat(c.limits.MaxRecvDataSegmentLength))
			require.Equal(t, want, reply)

			before.MaxRecv = c.limits.MaxRecvDataSegmentLength
			if c.field != "" {
				require.Equal(t, c.want, reflect.ValueOf(st.params).FieldByName(c.field).Interface())
				reflect.ValueOf(&before).Elem().FieldByName(c.field).Set(reflect.ValueOf(c.want))
			}
			if c.key == "MaxBurstLength" {
				before.FirstBurstLength = min(before.FirstBurstLength, before.MaxBurstLength)
			}
			require.Equal(t, before, st.params, "no other field changes")
		})
	}
}

func TestKeyNumbersAreAnsweredInDecimal(t *testing.T) {
	st := keyNamed(t, DefaultLimits())
	reply, err := negotiate(keyText("MaxBurstLength=0x20000"), &st, keyOp)
	require.Nil(t, err)
	require.Equal(t, keyText("MaxBurstLength=131072 MaxRecvDataSegmentLength=262144"), reply)
}

// Every key of the table in every stage: admitted, or refused with this reason.
func TestKeyStages(t *testing.T) {
	anyStage := map[string]bool{
		"InitiatorName": true, "InitiatorAlias": true, "TargetName": true, "SessionType": true, "X#NodeArchitecture": true,
	}
	security := map[string]bool{
		"AuthMethod": true, "CHAP_A": true, "CHAP_C": true, "CHAP_I": true, "CHAP_N": true, "CHAP_R": true,
	}
	unexpected := map[string]bool{
		"TargetAlias": true, "TargetAddress": true, "TargetPortalGroupTag": true,
		"KRB_AP_REQ": true, "KRB_AP_REP": true, "SRP_U": true, "SRP_GROUP": true, "SRP_A": true, "SRP_B": true,
		"SRP_M": true, "SRP_HM": true, "SRP_s": true, "TargetAuth": true,
	}
	inFullFeature := map[string]bool{"InitiatorAlias": true, "MaxRecvDataSegmentLength": true, "SendTargets": true}
	value := map[string]string{
		"InitiatorName": "iqn.a", "TargetName": "iqn.b", "SessionType": "Normal", "MaxRecvDataSegmentLength": "8192",
	}
	for _, r := range keyTable {
		for _, stage := range []pdu.Stage{keySec, keyOp, keyFF} {
			var want keyReason
			switch {
			case unexpected[r.name]:
				want = keyUnexpected
			case stage == keyFF && !inFullFeature[r.name]:
				want = keyLoginOnly
			case stage != keyFF && r.name == "SendTargets":
				want = keyFullFeatureOnly
			case stage == keySec && !anyStage[r.name] && !security[r.name],
				stage == keyOp && security[r.name]:
				want = keyWrongStage
			}
			st := newKeyState(DefaultLimits())
			before := st
			v := value[r.name]
			if v == "" {
				v = "1"
			}
			_, err := negotiate(pdu.Text{{Key: r.name, Value: v}}, &st, stage)
			if want == "" {
				require.Nil(t, err, "%s in %v", r.name, stage)
				continue
			}
			require.NotNil(t, err, "%s in %v", r.name, stage)
			require.Equal(t, want, err.Reason, "%s in %v", r.name, stage)
			require.Equal(t, r.name, err.Key)
			require.Equal(t, before, st, "nothing changes")
		}
	}
}

// keyRefusals holds a script that leads to each reason. The last request is
// the one refused.
var keyRefusals = []struct {
	reason  keyReason
	status  pdu.LoginStatus
	stage   pdu.Stage
	earlier string
	offer   string
}{
	{keyDuplicate, 0x0200, keyOp, "", "InitialR2T=No InitialR2T=No"},
	{keyDuplicate, 0x0200, keyOp, "", "X-a=1 X-a=2"},
	{keyDuplicate, 0x0200, keyOp, "InitialR2T=No", "InitialR2T=No"},
	{keyDuplicate, 0x0200, keyOp, "MaxBurstLength=1", "MaxBurstLength=4096"},
	{keyDuplicate, 0x0200, keyOp, "InitiatorName=iqn.x", "InitiatorName=iqn.y"},
	{keyDuplicate, 0x0200, keyOp, "SessionType=Normal", "SessionType=Discovery"},
	{keyDuplicate, 0x0200, keyOp, "MaxRecvDataSegmentLength=512", "MaxRecvDataSegmentLength=1024"},
	{keyDuplicate, 0x0200, keySec, "AuthMethod=CHAP", "AuthMethod=None"},
	{keyDuplicate, 0x0200, keyFF, "", "MaxRecvDataSegmentLength=512 MaxRecvDataSegmentLength=512"},
	{keyReservedValue, 0x0200, keyOp, "", "InitialR2T=Reject"},
	{keyReservedValue, 0x0200, keyOp, "", "MaxBurstLength=Irrelevant"},
	{keyReservedValue, 0x0200, keyOp, "", "X-a=NotUnderstood"},
	{keyReservedValue, 0x0200, keyFF, "", "SendTargets=Reject"},
	{keyWrongStage, 0x0200, keySec, "", "MaxBurstLength=4096"},
	{keyWrongStage, 0x0200, keyOp, "", "CHAP_A=5"},
	{keyLoginOnly, 0x0200, keyFF, "", "MaxBurstLength=4096"},
	{keyLoginOnly, 0x0200, keyFF, "", "HeaderDigest=None"},
	{keyLoginOnly, 0x0200, keyFF, "", "InitiatorName=iqn.x"},
	{keyFullFeatureOnly, 0x0200, keyOp, "", "SendTargets=All"},
	{keyUnexpected, 0x0200, keyOp, "", "TargetAddress=10.0.0.1"},
	{keyUnexpected, 0x0200, keySec, "", "KRB_AP_REQ=0x00"},
	{keyBadDeclaration, 0x0200, keyOp, "", "MaxRecvDataSegmentLength=511"},
	{keyBadDeclaration, 0x0200, keyOp, "", "MaxRecvDataSegmentLength=16777216"},
	{keyBadDeclaration, 0x0200, keyOp, "", "MaxRecvDataSegmentLength=0"},
	{keyBadDeclaration, 0x0200, keyFF, "", "MaxRecvDataSegmentLength=many"},
	{keyBadInitiator, 0x0200, keySec, "", "InitiatorName=host"},
	{keyBadTarget, 0x0203, keySec, "", "TargetName=disk"},
	{keyBadSessionType, 0x0209, keySec, "", "SessionType=normal"},
	{keyBurstsDisagree, 0x0200, keyOp, "FirstBurstLength=65536", "MaxBurstLength=32768"},
}

func TestKeyRefusals(t *testing.T) {
	seen := map[keyReason]bool{}
	check := func(err *keyError, reason keyReason, status pdu.LoginStatus) {
		t.Helper()
		require.NotNil(t, err)
		require.Equal(t, reason, err.Reason)
		require.Equal(t, status, err.Status)
		require.Contains(t, err.Error(), string(reason))
		require.Contains(t, err.Error(), err.Key)
		seen[reason] = true
	}
	for _, c := range keyRefusals {
		st := newKeyState(DefaultLimits())
		if c.earlier != "" {
			_, err := negotiate(keyText(c.earlier), &st, c.stage)
			require.Nil(t, err, c.earlier)
		}
		before := st
		// A good key in front must not leave a trace either.
		offer := append(keyText("InitiatorAlias=trace"), keyText(c.offer)...)
		reply, err := negotiate(offer, &st, c.stage)
		check(err, c.reason, c.status)
		require.Nil(t, reply)
		require.Equal(t, before, st, "%s: nothing changes", c.offer)
	}

	session := keyNamed(t, DefaultLimits()).params
	join := joinKeyState(DefaultLimits(), session)
	_, err := negotiate(keyText("MaxBurstLength=4096"), &join, keyOp)
	check(err, keyLeadingOnly, 0x0200)
	require.Equal(t, "MaxBurstLength", err.Key)

	st := newKeyState(DefaultLimits())
	check(st.named(), keyMissingName, 0x0207)

	strict := DefaultLimits()
	strict.RequireDataDigest = true
	st = keyNamed(t, strict)
	check(st.complete(), keyDigestRequired, 0x0200)

	for reason := range keyStatus {
		require.True(t, seen[reason], "no case for %s", reason)
	}
	require.Len(t, seen, len(keyStatus))
}

func TestKeyDeclarationsMayBeRepeated(t *testing.T) {
	st := newKeyState(DefaultLimits())
	first := keyText("InitiatorName=iqn.A TargetName=iqn.B SessionType=Normal InitiatorAlias=x")
	_, err := negotiate(first, &st, keySec)
	require.Nil(t, err)
	before := st.params
	_, err = negotiate(keyText("InitiatorName=iqn.a TargetName=iqn.b SessionType=Normal InitiatorAlias=x"), &st, keyOp)
	require.Nil(t, err)
	before.MaxRecv = st.params.MaxRecv
	require.Equal(t, before, st.params)
}

func TestKeyNamesAreRequired(t *testing.T) {
	for offer, missing := range map[string]string{
		"InitiatorName=iqn.i TargetName=iqn.t":         "",
		"InitiatorName=iqn.i SessionType=Discovery":    "",
		"InitiatorName=iqn.i":                          "TargetName",
		"InitiatorName=iqn.i SessionType=Normal":       "TargetName",
		"TargetName=iqn.t":                             "InitiatorName",
		"TargetName=iqn.t SessionType=Discovery":       "InitiatorName",
		"SessionType=Discovery X#NodeArchitecture=abc": "InitiatorName",
	} {
		st := newKeyState(DefaultLimits())
		_, err := negotiate(keyText(offer), &st, keySec)
		require.Nil(t, err)
		if missing == "" {
			require.Nil(t, st.named(), offer)
			continue
		}
		require.Equal(t, missing, st.named().Key, offer)
	}
}

func TestKeyBursts(t *testing.T) {
	const ours = " MaxRecvDataSegmentLength=262144"
	for _, c := range []struct {
		name        string
		offers      []string
		reply       string // to the last
		first, most uint32
	}{
		{
			"lowered in the answer, wherever MaxBurstLength stands",
			[]string{"FirstBurstLength=262144 MaxBurstLength=65536"},
			"FirstBurstLength=65536 MaxBurstLength=65536" + ours, 65536, 65536,
		},
		{
			"lowered to a MaxBurstLength of an earlier request",
			[]string{"MaxBurstLength=4096", "FirstBurstLength=8192"},
			"FirstBurstLength=4096", 4096, 4096,
		},
		{
			"lowered to the default",
			[]string{"FirstBurstLength=262144"},
			"FirstBurstLength=262144" + ours, 262144, 262144,
		},
		{
			"default lowered in silence",
			[]string{"MaxBurstLength=4096"},
			"MaxBurstLength=4096" + ours, 4096, 4096,
		},
		{
			"refused value leaves the default, lowered in silence",
			[]string{"FirstBurstLength=1 MaxBurstLength=4096"},
			"FirstBurstLength=Reject MaxBurstLength=4096" + ours, 4096, 4096,
		},
		{
			"refused value in an earlier request",
			[]string{"FirstBurstLength=1", "MaxBurstLength=4096"},
			"MaxBurstLength=4096", 4096, 4096,
		},
		{
			"irrelevant without unsolicited data",
			[]string{"FirstBurstLength=65536 InitialR2T=Yes ImmediateData=No"},
			"FirstBurstLength=Irrelevant InitialR2T=Yes ImmediateData=No" + ours, 65536, 262144,
		},
		{
			"irrelevant because of an earlier request",
			[]string{"InitialR2T=Yes ImmediateData=No", "FirstBurstLength=65536"},
			"FirstBurstLength=Irrelevant", 65536, 262144,
		},
		{
			"irrelevant values do not disagree",
			[]string{"InitialR2T=Yes ImmediateData=No FirstBurstLength=65536", "MaxBurstLength=4096"},
			"MaxBurstLength=4096", 4096, 4096,
		},
		{
			"relevant with immediate data",
			[]string{"FirstBurstLength=65536 InitialR2T=Yes ImmediateData=Yes"},
			"FirstBurstLength=65536 InitialR2T=Yes ImmediateData=Yes" + ours, 65536, 262144,
		},
		{
			"relevant with unsolicited Data-Out",
			[]string{"FirstBurstLength=65536 InitialR2T=No ImmediateData=No"},
			"FirstBurstLength=65536 InitialR2T=No ImmediateData=No" + ours, 65536, 262144,
		},
		{
			"InitialR2T may still come",
			[]string{"FirstBurstLength=65536 ImmediateData=No"},
			"FirstBurstLength=65536 ImmediateData=No" + ours, 65536, 262144,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := keyNamed(t, DefaultLimits())
			var reply pdu.Text
			for _, offer := range c.offers {
				var err *keyError
				reply, err = negotiate(keyText(offer), &st, keyOp)
				require.Nil(t, err)
			}
			require.Equal(t, keyText(c.reply), reply)
			require.Equal(t, c.first, st.params.FirstBurstLength)
			require.Equal(t, c.most, st.params.MaxBurstLength)
		})
	}
}

func TestKeyOurLengthIsDeclaredOnce(t *testing.T) {
	st := newKeyState(DefaultLimits())
	reply, err := negotiate(nil, &st, keySec)
	require.Nil(t, err)
	require.Empty(t, reply, "not in the security stage: initiators choke on it")
	require.Equal(t, uint32(8192), st.params.MaxRecv)

	reply, err = negotiate(nil, &st, keyOp)
	require.Nil(t, err)
	require.Equal(t, keyText("MaxRecvDataSegmentLength=262144"), reply)
	require.Equal(t, uint32(262144), st.params.MaxRecv)

	reply, err = negotiate(nil, &st, keyOp)
	require.Nil(t, err)
	require.Empty(t, reply)

	reply, err = negotiate(nil, &st, keyFF)
	require.Nil(t, err)
	require.Empty(t, reply)
}

func TestKeyDiscovery(t *testing.T) {
	const normalOnly = "MaxConnections=1 InitialR2T=No ImmediateData=Yes MaxBurstLength=262144 FirstBurstLength=1 " +
		"MaxOutstandingR2T=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes TaskReporting=RFC3720 iSCSIProtocolLevel=1"
	const others = "HeaderDigest=None DataDigest=None DefaultTime2Wait=2 DefaultTime2Retain=0 ErrorRecoveryLevel=0"

	for _, offer := range []string{
		"InitiatorName=iqn.i SessionType=Discovery " + normalOnly + " " + others,
		normalOnly + " " + others + " InitiatorName=iqn.i SessionType=Discovery", // order does not matter
	} {
		st := newKeyState(DefaultLimits())
		defaults := st.params
		reply, err := negotiate(keyText(offer), &st, keyOp)
		require.Nil(t, err)
		for _, p := range keyText(normalOnly) {
			v, _ := reply.Get(p.Key)
			require.Equal(t, "Irrelevant", v, p.Key)
		}
		for _, p := range keyText(others) {
			v, _ := reply.Get(p.Key)
			require.Equal(t, p.Value, v, p.Key)
		}
		defaults.InitiatorName = "iqn.i"
		defaults.SessionType = SessionDiscovery
		defaults.MaxRecv = 262144
		defaults.DefaultTime2Retain = 0
		require.Equal(t, defaults, st.params)
	}
}

func TestKeyDigestPolicy(t *testing.T) {
	l := DefaultLimits()
	l.RequireHeaderDigest = true
	l.RequireDataDigest = true

	st := keyNamed(t, l)
	_, err := negotiate(keyText("HeaderDigest=None,CRC32C DataDigest=CRC32C"), &st, keyOp)
	require.Nil(t, err)
	require.Nil(t, st.complete())

	st = keyNamed(t, l)
	_, err = negotiate(keyText("HeaderDigest=CRC32C DataDigest=None"), &st, keyOp)
	require.Nil(t, err)
	require.Equal(t, "DataDigest", st.complete().Key)

	st = keyNamed(t, l)
	require.Equal(t, "HeaderDigest", st.complete().Key, "never offered")

	st = newKeyState(l)
	_, err = negotiate(keyText("InitiatorName=iqn.i SessionType=Discovery HeaderDigest=None"), &st, keyOp)
	require.Nil(t, err)
	require.Nil(t, st.complete(), "discovery moves no data")
}

func TestKeyJoin(t *testing.T) {
	l := DefaultLimits()
	l.MaxConnections = 4
	const leading = "InitialR2T=No MaxBurstLength=131072 FirstBurstLength=262144 MaxConnections=8 " +
		"HeaderDigest=CRC32C MaxRecvDataSegmentLength=65536 InitiatorAlias=a"
	st := keyNamed(t, l)
	_, err := negotiate(keyText(leading), &st, keyOp)
	require.Nil(t, err)
	session := st.params
	require.Equal(t, uint32(131072), session.FirstBurstLength)

	t.Run("what a connection states for itself starts from its default", func(t *testing.T) {
		join := joinKeyState(l, session)
		require.False(t, join.params.HeaderDigest)
		require.Equal(t, uint32(8192), join.params.MaxSend)
		require.Equal(t, uint32(8192), join.params.MaxRecv)
		require.Equal(t, uint32(131072), join.params.MaxBurstLength)
		require.NotNil(t, join.named(), "names come on every connection")

		reply, err := negotiate(keyText("InitiatorName=iqn.2026-11.local:i TargetName=iqn.2026-11.local:t "+
			"DataDigest=CRC32C MaxRecvDataSegmentLength=4096 InitiatorAlias=b"), &join, keyOp)
		require.Nil(t, err)
		require.Nil(t, join.named())
		require.Equal(t, keyText("DataDigest=CRC32C MaxRecvDataSegmentLength=262144"), reply)
		require.True(t, join.params.DataDigest)
		require.Equal(t, uint32(4096), join.params.MaxSend)
	})
	t.Run("the same offer again changes nothing and is answered", func(t *testing.T) {
		join := joinKeyState(l, session)
		reply, err := negotiate(keyText(leading), &join, keyOp)
		require.Nil(t, err)
		v, _ := reply.Get("FirstBurstLength")
		require.Equal(t, "131072", v)
		require.Equal(t, session, join.params)
	})
	for _, offer := range []string{
		"InitialR2T=Yes", "MaxBurstLength=4096", "MaxConnections=1", "SessionType=Discovery",
		"TargetName=iqn.other", "InitiatorName=iqn.other", "DefaultTime2Wait=60", "TaskReporting=ResponseFence",
	} {
		t.Run("refused: "+offer, func(t *testing.T) {
			join := joinKeyState(l, session)
			before := join
			_, err := negotiate(keyText("HeaderDigest=CRC32C "+offer), &join, keyOp)
			require.NotNil(t, err)
			require.Equal(t, keyLeadingOnly, err.Reason)
			require.Equal(t, keyText(offer)[0].Key, err.Key)
			require.Equal(t, before, join)
		})
	}
}

func TestKeyFullFeature(t *testing.T) {
	st := keyNamed(t, DefaultLimits())
	_, err := negotiate(keyText("MaxRecvDataSegmentLength=65536"), &st, keyOp)
	require.Nil(t, err)

	// Each Text negotiation may declare it anew.
	for _, n := range []uint32{4096, 8192} {
		reply, err := negotiate(keyText("MaxRecvDataSegmentLength="+keyFormat(n)), &st, keyFF)
		require.Nil(t, err)
		require.Empty(t, reply)
		require.Equal(t, n, st.params.MaxSend)
	}
	before := st.params
	reply, err := negotiate(keyText("SendTargets=All SendTargetsPlease=All"), &st, keyFF)
	require.Nil(t, err)
	require.Equal(t, keyText("SendTargetsPlease=NotUnderstood"), reply)
	require.Equal(t, before, st.params)
}

func TestKeyISCSINames(t *testing.T) {
	long := "iqn." + strings.Repeat("a", 219)
	for in, want := range map[string]string{
		"iqn.1991-05.com.microsoft:WIN-Node_1.example.com": "iqn.1991-05.com.microsoft:win-node_1.example.com",
		"iqn.2026-11.local.nas-target:lab":                 "iqn.2026-11.local.nas-target:lab",
		"IQN.x":                                            "iqn.x",
		"iqn.2026-11.de.müller:größe":                      "iqn.2026-11.de.müller:größe",
		"iqn.2026-11.jp.例え:ディスク":                           "iqn.2026-11.jp.例え:ディスク",
		"eui.02004567A425678D":                             "eui.02004567a425678d",
		"naa.52004567BA64678D":                             "naa.52004567ba64678d",
		"naa.62004567BA64678D0123456789ABCDEF":             "naa.62004567ba64678d0123456789abcdef",
		long:                                               long,
	} {
		got, ok := keyISCSIName(in)
		require.True(t, ok, in)
		require.Equal(t, want, got)
	}
	for _, in := range []string{
		"", "iqn", "iqn.", "eui.", "host1", "iqn:2026", "abc.2026-11.x", long + "a",
		"iqn.a b", "iqn.a,i,0x00023d000001", "iqn.a/b", "iqn.a\x01", "iqn.a\xff", "iqn.a=b", "iqn.a\n", "iqn.😀",
		"eui.02004567a425678", "eui.02004567a425678dd", "eui.02004567a425678g", "naa.0123", "naa.62004567ba64678d0",
		"iqn." + strings.Repeat("Ⱥ", 109), // longer in lower case than a name may be
	} {
		_, ok := keyISCSIName(in)
		require.False(t, ok, "%q", in)
	}
}

func TestLimitsValidate(t *testing.T) {
	for name, change := range map[string]func(*Limits){
		"MaxRecvDataSegmentLength 511":      func(l *Limits) { l.MaxRecvDataSegmentLength = 511 },
		"MaxRecvDataSegmentLength 1048577":  func(l *Limits) { l.MaxRecvDataSegmentLength = 1<<20 + 1 },
		"MaxConnections 0":                  func(l *Limits) { l.MaxConnections = 0 },
		"MaxConnections 33":                 func(l *Limits) { l.MaxConnections = 33 },
		"MaxBurstLength 511":                func(l *Limits) { l.MaxBurstLength = 511 },
		"MaxBurstLength 16776193":           func(l *Limits) { l.MaxBurstLength = 16776193 },
		"FirstBurstLength 511":              func(l *Limits) { l.FirstBurstLength = 511 },
		"FirstBurstLength 262145":           func(l *Limits) { l.FirstBurstLength = 262145 },
		"MaxOutstandingR2T 0":               func(l *Limits) { l.MaxOutstandingR2T = 0 },
		"MaxOutstandingR2T 17":              func(l *Limits) { l.MaxOutstandingR2T = 17 },
		"DefaultTime2Wait 3601":             func(l *Limits) { l.DefaultTime2Wait = 3601 },
		"DefaultTime2Retain 3601":           func(l *Limits) { l.DefaultTime2Retain = 3601 },
		"ProtocolLevel 3":                   func(l *Limits) { l.ProtocolLevel = 3 },
		"262144 exceeds MaxBurstLength 512": func(l *Limits) { l.MaxBurstLength = 512 },
	} {
		l := DefaultLimits()
		change(&l)
		require.ErrorContains(t, l.Validate(), name)
	}
}

// The offers of real initiators and our answers, with DefaultLimits. A line is
// a stage, an offered pair (>), a replied pair (<) or a field of Params (=).
func TestKeyRecordings(t *testing.T) {
	files, err := filepath.Glob("testdata/keys/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { keyReplay(t, file) })
	}
}

func keyReplay(t *testing.T, file string) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()

	st := newKeyState(DefaultLimits())
	var stage pdu.Stage
	var offer, want pdu.Text
	requests := 0
	step := func() {
		if len(offer) == 0 {
			return
		}
		// Through the bytes, as it arrives.
		parsed, err := pdu.ParseText(offer.Append(nil), pdu.TextLimits{})
		require.NoError(t, err)
		reply, kerr := negotiate(parsed, &st, stage)
		require.Nil(t, kerr)
		require.Equal(t, want, reply)
		if requests == 0 {
			require.Nil(t, st.named())
		}
		requests++
		offer, want = nil, nil
	}
	fields := 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		key, value, _ := strings.Cut(rest, "=")
		switch kind {
		case "#", "":
		case "security", "operational", "full-feature":
			step()
			stage = map[string]pdu.Stage{"security": keySec, "operational": keyOp, "full-feature": keyFF}[kind]
		case ">":
			offer.Add(key, value)
		case "<":
			want.Add(key, value)
		case "=":
			step()
			name, value, _ := strings.Cut(rest, " ")
			field := reflect.ValueOf(st.params).FieldByName(name)
			require.True(t, field.IsValid(), name)
			require.Equal(t, value, fmt.Sprint(field.Interface()), name)
			fields++
		default:
			t.Fatalf("%s: %q", file, lines.Text())
		}
	}
	require.NoError(t, lines.Err())
	step()
	require.Nil(t, st.complete())
	require.NotZero(t, fields)
}

// keyCheck holds for every negotiation, whatever was offered.
func keyCheck(t require.TestingT, before, after keyState, offer, reply pdu.Text, err *keyError, stage pdu.Stage) {
	if err != nil {
		require.Nil(t, reply)
		require.Equal(t, before, after)
		require.Contains(t, keyStatus, err.Reason)
		require.NotEmpty(t, err.Key)
		return
	}
	p, l := after.params, after.limits
	require.LessOrEqual(t, p.FirstBurstLength, p.MaxBurstLength)
	require.LessOrEqual(t, p.MaxBurstLength, l.MaxBurstLength)
	require.LessOrEqual(t, p.FirstBurstLength, max(l.FirstBurstLength, 65536))
	require.LessOrEqual(t, p.MaxConnections, l.MaxConnections)
	require.LessOrEqual(t, p.MaxOutstandingR2T, l.MaxOutstandingR2T)
	require.LessOrEqual(t, p.DefaultTime2Retain, uint32(20))
	require.GreaterOrEqual(t, p.DefaultTime2Wait, uint32(2))
	require.GreaterOrEqual(t, p.MaxSend, uint32(512))
	require.LessOrEqual(t, p.MaxSend, uint32(1<<24-1))
	require.LessOrEqual(t, p.ProtocolLevel, l.ProtocolLevel)
	require.Zero(t, p.ErrorRecoveryLevel)
	require.True(t, p.DataPDUInOrder && p.DataSequenceInOrder)

	_, dup := reply.Duplicate()
	require.False(t, dup)
	expected := 0
	for _, o := range offer {
		i, known := keyIndex[o.Key]
		answered := !known || keyTable[i].rule <= keyList || keyTable[i].rule == keyObsolete
		v, ok := reply.Get(o.Key)
		if o.Key != "MaxRecvDataSegmentLength" {
			require.Equal(t, answered, ok, o.Key)
		}
		if answered {
			expected++
		}
		switch {
		case !known:
			require.Equal(t, pdu.ValueNotUnderstood, v)
		case answered:
			require.NotEqual(t, pdu.ValueNotUnderstood, v, "%s is of the RFC", o.Key)
		}
	}
	if stage == keyOp && !before.declared {
		expected++
	}
	require.Len(t, reply, expected)
	if len(reply) > 0 {
		parsed, perr := pdu.ParseText(reply.Append(nil), pdu.TextLimits{Pairs: pdu.DefaultPairs + 1})
		require.NoError(t, perr)
		require.Equal(t, reply, parsed)
	}
}

func TestKeyRandomOffers(t *testing.T) {
	names := make([]string, 0, len(keyTable)+1)
	for _, r := range keyTable {
		if r.rule <= keyObsolete && r.stage != keySecurity && r.use != keyFFPO {
			names = append(names, r.name)
		}
	}
	names = append(names, "X-com.example")
	key := rapid.SampledFrom(names)
	value := rapid.OneOf(
		rapid.SampledFrom([]string{
			"Yes", "No", "None", "CRC32C", "None,CRC32C", "Normal", "Discovery", "iqn.a", "iqn.b", "", "RFC3720",
			"512", "4096", "8192", "65536", "262144", "16776192", "16777215", "16777216",
		}),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.Uint32Max(1<<25).Draw(t, "n")) }),
	)
	l := DefaultLimits()
	l.MaxConnections = 32
	rapid.Check(t, func(t *rapid.T) {
		st := newKeyState(l)
		for range rapid.IntRange(1, 4).Draw(t, "requests") {
			var offer pdu.Text
			for range rapid.IntRange(0, 12).Draw(t, "pairs") {
				offer.Add(key.Draw(t, "key"), value.Draw(t, "value"))
			}
			before := st
			reply, err := negotiate(offer, &st, keyOp)
			keyCheck(t, before, st, offer, reply, err, keyOp)

			// The same again, from the same state, gives the same.
			twin := before
			reply2, err2 := negotiate(offer, &twin, keyOp)
			require.Equal(t, reply, reply2)
			require.Equal(t, err, err2)
			require.Equal(t, st, twin)
		}
	})
}

func FuzzNegotiate(f *testing.F) {
	files, err := filepath.Glob("testdata/keys/*.txt")
	require.NoError(f, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		var text []byte
		for line := range strings.Lines(string(b)) {
			if pair, ok := strings.CutPrefix(line, "> "); ok {
				text = append(append(text, strings.TrimSuffix(pair, "\n")...), 0)
			}
		}
		f.Add(text, []byte{}, uint8(1), false)
	}
	for _, c := range keyRefusals {
		f.Add(keyText(c.earlier).Append(nil), keyText(c.offer).Append(nil), uint8(c.stage), true)
	}
	session := newKeyState(DefaultLimits()).params
	f.Fuzz(func(t *testing.T, first, second []byte, stage uint8, join bool) {
		st := newKeyState(DefaultLimits())
		if join {
			st = joinKeyState(DefaultLimits(), session)
		}
		for _, b := range [][]byte{first, second} {
			offer, err := pdu.ParseText(b, pdu.TextLimits{})
			if err != nil {
				var te *pdu.TextError
				require.True(t, errors.As(err, &te))
				continue
			}
			before := st
			reply, kerr := negotiate(offer, &st, pdu.Stage(stage&3))
			keyCheck(t, before, st, offer, reply, kerr, pdu.Stage(stage&3))
			_ = st.named()
			_ = st.complete()
		}
	})
}
