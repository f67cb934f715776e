package iscsi

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
)

// exchange sends one text and gathers the whole answer.
func exchange(i *iscsitest.Initiator, text string) (pdu.Text, int) {
	i.T.Helper()
	q := &pdu.TextRequest{Immediate: true, Final: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}
	i.Send(q, iscsitest.Text(text).Append(nil))
	var got []byte
	for parts := 1; ; parts++ {
		a, data := iscsitest.Expect[*pdu.TextResponse](i)
		require.Equal(i.T, q.ITT, a.ITT)
		got = append(got, data...)
		if a.Final {
			require.Equal(i.T, pdu.ReservedTag, a.TTT)
			require.False(i.T, a.Continue)
			t, err := pdu.ParseText(got, pdu.TextLimits{Pairs: 10000})
			require.NoError(i.T, err)
			return t, parts
		}
		require.NotEqual(i.T, pdu.ReservedTag, a.TTT)
		q.TTT, q.DataSegmentLength = a.TTT, 0
		i.Send(q, nil)
	}
}

func TestSendTargets(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		hidden := *r.node
		hidden.Name = "iqn.2026-11.test:hidden"
		hidden.Authorize = func(InitiatorInfo) (*Auth, *LoginError) {
			return nil, refuse(pdu.LoginAuthorizationFailed, ReasonLoginTargetNotFound)
		}
		two := *r.node
		two.Name, two.Groups = "iqn.2026-11.test:two", []uint16{1, 2}
		r.srv.SetNodes([]*Node{r.node, &hidden, &two})
		require.NoError(t, r.srv.AddPortal(Portal{TPGT: 2, Listener: iscsitest.NewListener("[2001:db8::1]:3260")}))
		require.NoError(t, r.srv.AddPortal(Portal{TPGT: 3, Listener: iscsitest.NewListener("0.0.0.0:3261"), Announce: "nat.example:9000"}))
		require.NoError(t, r.srv.AddPortal(Portal{TPGT: 1, Listener: iscsitest.NewListener("0.0.0.0:3262")}))

		disk := []pdu.Pair{{Key: "TargetName", Value: testTarget}, {Key: "TargetAddress", Value: "10.0.0.1:3260,1"}, {Key: "TargetAddress", Value: "10.0.0.1:3262,1"}}
		other := []pdu.Pair{{Key: "TargetName", Value: "iqn.2026-11.test:two"}, {Key: "TargetAddress", Value: "10.0.0.1:3260,1"},
			{Key: "TargetAddress", Value: "10.0.0.1:3262,1"}, {Key: "TargetAddress", Value: "[2001:db8::1]:3260,2"}}

		i := r.connect()
		i.Login("", "")
		got, _ := exchange(i, "SendTargets=All")
		require.Equal(t, pdu.Text(append(append([]pdu.Pair{}, disk...), other...)), got)
		got, _ = exchange(i, "SendTargets="+testTarget)
		require.Equal(t, pdu.Text(disk), got)
		for _, none := range []string{"iqn.2026-11.test:hidden", "iqn.2026-11.test:nowhere"} {
			got, _ = exchange(i, "SendTargets="+none)
			require.Empty(t, got)
		}
		for _, bad := range []string{"Alle", "A", "all", ""} {
			got, _ = exchange(i, "SendTargets="+bad)
			require.Equal(t, iscsitest.Text("SendTargets=Reject"), got, bad)
		}
		got, _ = exchange(i, "SendTargetsPlease=All")
		require.Equal(t, iscsitest.Text("SendTargetsPlease=NotUnderstood"), got)

		// On a normal session: its own target.
		i = r.login("")
		for _, what := range []string{"All", "", testTarget} {
			got, _ = exchange(i, "SendTargets="+what)
			require.Equal(t, pdu.Text(disk), got, what)
		}
		got, _ = exchange(i, "SendTargets=iqn.2026-11.test:two")
		require.Empty(t, got)
	})
}

// Long answers come in parts of what the initiator takes.
func TestLongTextAnswer(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		var nodes []*Node
		for n := range 100 {
			x := *r.node
			x.Name = fmt.Sprintf("iqn.2026-11.test:disk%03d", n)
			nodes = append(nodes, &x)
		}
		r.srv.SetNodes(nodes)
		i := r.connect()
		i.Login("", "MaxRecvDataSegmentLength=512")
		got, parts := exchange(i, "SendTargets=All")
		require.Len(t, got, 200)
		require.Equal(t, (got.Len()+511)/512, parts)

		// A new request ends an answer under way.
		q := &pdu.TextRequest{Immediate: true, Final: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}
		i.Send(q, iscsitest.Text("SendTargets=All").Append(nil))
		a, _ := iscsitest.Expect[*pdu.TextResponse](i)
		require.False(t, a.Final)
		i.Send(q, iscsitest.Text("SendTargets=All").Append(nil))
		b, _ := iscsitest.Expect[*pdu.Reject](i)
		require.Equal(t, pdu.RejectProtocolError, b.Reason)
		r.requireSaw(ReasonTextOpen)
		got, _ = exchange(i, "X-other=1")
		require.Equal(t, iscsitest.Text("X-other=NotUnderstood"), got)
		q.TTT = a.TTT
		i.Send(q, nil)
		b, _ = iscsitest.Expect[*pdu.Reject](i)
		require.Equal(t, pdu.RejectInvalidField, b.Reason)
	})
}

// The initiator's text may come in parts, too.
func TestTextRequestInParts(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.connect()
		i.Login("", "")
		text := iscsitest.Text("SendTargets=" + testTarget).Append(nil)
		q := &pdu.TextRequest{Immediate: true, Continue: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}
		for at := 0; at < len(text)-5; at += 5 {
			i.Send(q, text[at:at+5])
			a, data := iscsitest.Expect[*pdu.TextResponse](i)
			require.Empty(t, data)
			require.False(t, a.Final)
			q.TTT, q.DataSegmentLength = a.TTT, 0
		}
		q.Continue, q.Final = false, true
		i.Send(q, text[(len(text)-1)/5*5:])
		a, data := iscsitest.Expect[*pdu.TextResponse](i)
		require.True(t, a.Final)
		require.Contains(t, string(data), "TargetAddress=10.0.0.1:3260,1")

		// More than we keep.
		q = &pdu.TextRequest{Immediate: true, Continue: true, ITT: i.NextITT(), TTT: pdu.ReservedTag, CmdSN: i.CmdSN}
		for range textLimit / 8192 {
			i.Send(q, make([]byte, 8192))
			a, _ = iscsitest.Expect[*pdu.TextResponse](i)
			q.TTT, q.DataSegmentLength = a.TTT, 0
		}
		i.Send(q, make([]byte, 1))
		b, _ := iscsitest.Expect[*pdu.Reject](i)
		require.Equal(t, pdu.RejectProtocolError, b.Reason)
		ping(i)
	})
}

// MaxRecvDataSegmentLength may change at any time.
func TestSegmentLengthChanges(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxRecvDataSegmentLength=65536")
		want := store(i, 0, 100)
		for _, n := range []int{512, 8192, 65536} {
			text, _ := exchange(i, fmt.Sprintf("MaxRecvDataSegmentLength=%d", n))
			require.Empty(t, text)
			c := i.Read10(0, 100)
			i.Send(c, nil)
			got, _ := collectRead(i, c, n, 262144)
			require.Equal(t, want, got)
		}
		require.EqualValues(t, 65536, r.srv.Sessions()[0].Params.MaxSend, "what was agreed stays on record")
	})
}
