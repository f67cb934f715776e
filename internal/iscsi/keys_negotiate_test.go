package iscsi

import (
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/pdu"
)

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
	strict.Digests.Data = DigestRequired
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
	l.Digests = Digests{DigestRequired, DigestRequired}

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
	reply, err := negotiate(keyText("InitiatorName=iqn.i SessionType=Discovery HeaderDigest=None DataDigest=None"), &st, keyOp)
	require.Nil(t, err)
	require.Equal(t, keyText("HeaderDigest=None DataDigest=None MaxRecvDataSegmentLength=262144"), reply)
	require.Nil(t, st.complete(), "discovery moves no data")

	l.Digests = Digests{DigestRefused, DigestRefused}
	st = keyNamed(t, l)
	reply, err = negotiate(keyText("HeaderDigest=CRC32C,None DataDigest=CRC32C"), &st, keyOp)
	require.Nil(t, err)
	require.Equal(t, keyText("HeaderDigest=None DataDigest=Reject MaxRecvDataSegmentLength=262144"), reply)
	require.Nil(t, st.complete())
	require.False(t, st.params.HeaderDigest || st.params.DataDigest)

	st = newKeyState(l)
	reply, err = negotiate(keyText("InitiatorName=iqn.i SessionType=Discovery HeaderDigest=CRC32C"), &st, keyOp)
	require.Nil(t, err)
	require.Equal(t, keyText("HeaderDigest=CRC32C MaxRecvDataSegmentLength=262144"), reply)
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
