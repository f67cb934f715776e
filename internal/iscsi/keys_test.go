package iscsi

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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
	strict.Digests = Digests{DigestRequired, DigestRequired}
	without := DefaultLimits()
	without.Digests = Digests{DigestRefused, DigestRefused}

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
		{without, "HeaderDigest", "CRC32C,None", "None", "HeaderDigest", false},
		{without, "DataDigest", "CRC32C", "Reject", "DataDigest", false},

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
