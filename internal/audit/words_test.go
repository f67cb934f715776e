package audit

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func TestWords(t *testing.T) {
	s := newScript(t)
	s.good(register(n1, 1)).good(register(n2, 2)).good(register(n3, 2))
	s.good(pr.Op{Action: pr.RegisterAndIgnore, From: n3, ServiceKey: 3, APTPL: true})
	s.good(reserve(n1, 1, regOnly)).good(reserve(n1, 1, regOnly))
	s.refused(reserve(n2, 2, regOnly))
	s.refused(reserve(n2, 9, regOnly))
	s.good(preempt(n2, 2, 1, regOnly))
	s.refused(pr.Op{Action: pr.Release, From: n1, Key: 1, Type: regOnly})
	s.good(pr.Op{Action: pr.Preempt, From: n2, Key: 2, ServiceKey: 3, Type: regOnly})
	s.good(pr.Op{Action: pr.Release, From: n2, Key: 2, Type: regOnly})
	s.good(pr.Op{Action: pr.Release, From: n2, Key: 2, Type: regOnly})
	s.good(pr.Op{Action: pr.Register, From: n1, ServiceKey: 1, AllTargetPorts: true})
	s.good(pr.Op{Action: pr.Register, From: n1, Key: 1, AllTargetPorts: true})
	s.good(reserve(n2, 2, pr.WriteExclusive))
	s.good(pr.Op{Action: pr.Register, From: n2, Key: 2})
	s.good(pr.Op{Action: pr.LegacyReserve, From: n3})
	s.refused(register(n1, 1))
	s.good(pr.Op{Action: pr.LegacyRelease, From: n3})
	s.store.err = errors.New("read-only file system")
	s.refused(register(n1, 1))
	s.store.err = nil
	s.good(register(n1, 1)).good(register(n2, 2)).good(reserve(n1, 1, pr.ExclusiveAccess))
	s.good(pr.Op{Action: pr.OperatorClear})

	var got []string
	for _, r := range s.records {
		e := entryOf(r, witness, noon)
		if r.Op.Action == pr.OperatorClear {
			e.By.Operator = "uid 0"
		}
		got = append(got, Words(e))
	}
	require.Equal(t, []string{
		"node1 registered key 0x0000000000000001 on witness",
		"node2 registered key 0x0000000000000002 on witness",
		"node3 registered key 0x0000000000000002 on witness",
		"node3 changed its key on witness to 0x0000000000000003",
		"node1 reserved witness, write-exclusive-registrants-only, after waiting 7ms for the others' I/O",
		"node1 confirmed its reservation of witness",
		"node2 was refused RESERVE on witness: it is held by node1",
		"node2 was refused RESERVE on witness: its key is not the registered one",
		"node2 preempted key 0x0000000000000001 on witness and aborted its commands: node1 lost its registration; node2 holds it now, write-exclusive-registrants-only, after waiting 7ms for the others' I/O",
		"node1 was refused RELEASE on witness: it is not registered",
		"node2 preempted key 0x0000000000000003 on witness: node3 lost its registration, after waiting 7ms for the others' I/O",
		"node2 released witness",
		"node2 released witness, which it did not hold",
		"node1 registered key 0x0000000000000001 on witness at 2 target ports",
		"node1 gave up its registration on witness",
		"node2 reserved witness, write-exclusive, after waiting 7ms for the others' I/O",
		"node2 gave up its registration on witness, and with it the reservation",
		"node3 reserved witness the SPC-2 way, after waiting 7ms for the others' I/O",
		"node1 was refused REGISTER on witness: another initiator holds an SPC-2 reservation",
		"node3 released its SPC-2 reservation of witness",
		"node1 was refused REGISTER on witness: it could not be saved (read-only file system)",
		"node1 registered key 0x0000000000000001 on witness",
		"node2 registered key 0x0000000000000002 on witness",
		"node1 reserved witness, exclusive-access, after waiting 7ms for the others' I/O",
		"operator uid 0 cleared witness: node1, node2 lost 2 registrations; the reservation is gone",
	}, got)
}

func TestWordsOfOtherEntries(t *testing.T) {
	node1, root := Party{Initiator: n1.Initiator, Peer: "192.0.2.1:5"}, Party{Operator: "uid 0"}
	for want, e := range map[string]Entry{
		"node1 logged in: from 192.0.2.1:5":                              {Kind: KindLogin, Action: ActionLogin, Result: Granted, By: node1, Detail: "from 192.0.2.1:5"},
		"192.0.2.9:5 was refused a login: chap_wrong_response":           {Kind: KindLogin, Action: ActionLogin, Result: "x", Reason: "chap_wrong_response", By: Party{Peer: "192.0.2.9:5"}},
		"node1 left: ping_timeout":                                       {Kind: KindLogin, Action: ActionSessionEnd, Result: Granted, Reason: "ping_timeout", By: node1},
		"operator uid 0 resized shared: 10 to 20 bytes":                  {Kind: KindAdmin, Action: ActionResize, LUN: "shared", Result: Granted, Detail: "10 to 20 bytes", By: root},
		"operator uid 0 was refused resizing shared: it only grows":      {Kind: KindAdmin, Action: ActionResize, LUN: "shared", Result: "refused", Detail: "it only grows", By: root},
		"operator uid 0 killed a session: 3 of node1":                    {Kind: KindAdmin, Action: ActionKill, Result: Granted, Detail: "3 of node1", By: root},
		"operator uid 0 cleared the failure of shared: EIO":              {Kind: KindAdmin, Action: ActionClearFailure, LUN: "shared", Result: Granted, Detail: "EIO", By: root},
		"operator uid 0 was refused clearing the reservations of shared": {Kind: KindAdmin, Action: ActionClear, LUN: "shared", Result: "refused", By: root},
		"operator uid 0 set the log level: debug":                        {Kind: KindAdmin, Action: ActionLogLevel, Result: Granted, Detail: "debug", By: root},
		"nas-target started: version 1":                                  {Kind: KindAdmin, Action: ActionStart, Result: Granted, Detail: "version 1"},
		"nas-target something new":                                       {Kind: KindAdmin, Action: "something new", Result: Granted},
	} {
		require.Equal(t, want, Words(e))
	}
	require.Contains(t, Words(Entry{Kind: KindLost, Lost: 7}), "7 entries of this trail were lost")
}

func TestEveryReasonHasWords(t *testing.T) {
	for _, r := range pr.Reasons {
		require.NotEmpty(t, reasonWords[r], r)
	}
	require.Len(t, reasonWords, len(pr.Reasons))
}

// hostile are names that should stay text wherever they go.
var hostile = []string{
	"iqn.2026-11.evil:\x1b[2J\x1b[31mnode", "iqn.2026-11.evil:a\nb\r\nc", "iqn.2026-11.evil:%n%s%x", "iqn.2026-11.evil:../../etc/passwd",
	"iqn.2026-11.evil:\xff\xfe\x80", "iqn.2026-11.evil:<script>alert(1)</script>", "iqn.2026-11.evil:\u202egnp.exe",
	"iqn.2026-11.evil:" + strings.Repeat("a", 400), "", ":", ",i,0x",
}

func requireInert(t *testing.T, s string) {
	t.Helper()
	for _, r := range s {
		require.True(t, r == ' ' || unicode.IsPrint(r), "%q", s)
	}
	require.NotContains(t, s, "\ufffd")
}

func TestHostileNamesAreInert(t *testing.T) {
	for _, name := range hostile {
		n := pr.Nexus{Initiator: pr.InitiatorPort(name, [6]byte{1}), Target: pr.TargetPort(name, 1)}
		r := pr.Record{
			Op:     pr.Op{Action: pr.Preempt, From: n, Peer: name},
			Before: pr.State{Registrations: []pr.Registration{{Nexus: n, Key: 1}}, Reservation: pr.Reservation{Type: regOnly, Holder: n}, Legacy: n},
			Err:    errors.New(name),
		}
		e := entryOf(r, name, noon)
		requireInert(t, Words(e))
		e.Result, e.Reason = "reservation-conflict", string(pr.ReasonNotHolder)
		requireInert(t, Words(e))
		for _, f := range Diagnose(r.Before, []Live{{Nexus: nexus("node9", 9), Conflicts: 3}}, nil) {
			requireInert(t, f.Text)
			requireInert(t, f.Advice)
			requireInert(t, f.Nexus.String())
		}
	}
}
