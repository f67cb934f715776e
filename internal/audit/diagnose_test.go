package audit

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

func at(ns ...pr.Nexus) []Live {
	var live []Live
	for _, n := range ns {
		live = append(live, Live{Nexus: n})
	}
	return live
}

func withISID(n pr.Nexus, isid byte) pr.Nexus {
	return pr.Nexus{Initiator: pr.InitiatorPort(pr.Node(n.Initiator), [6]byte{0x40, 0, 1, 0x37, 0, isid}), Target: n.Target}
}

// One row for each finding: what happened, who is logged in, what is said.
func TestDiagnose(t *testing.T) {
	cluster := func(s *script) { // node1 holds, node2 is registered
		s.good(register(n1, 1)).good(register(n2, 2)).good(reserve(n1, 1, regOnly))
	}
	n2new := withISID(n2, 0x77)
	n1new := withISID(n1, 0x71)
	for name, c := range map[string]struct {
		script func(*script)
		state  func(*pr.State)
		live   []Live
		want   []string // code severity: text
	}{
		"all is well":   {script: cluster, live: at(n1, n2)},
		"nothing there": {live: at(n1, n2)},
		"lost": {state: func(s *pr.State) { *s = pr.State{Condition: pr.InformationLost} }, live: at(n1), want: []string{
			"information_lost critical: The saved reservations cannot be trusted. Every command is refused, so that nobody fenced can write.",
		}},
		"not ready": {state: func(s *pr.State) { *s = pr.State{Condition: pr.NotReady} }, want: []string{
			"information_not_ready critical: The saved reservations cannot be read now. Commands are refused until they can.",
		}},
		"the holder is gone": {script: cluster, live: at(n2), want: []string{
			"holder_without_session warning: node1 holds the reservation and has no session.",
		}},
		"the holder came back with another ISID": {script: cluster, live: at(n1new, n2), want: []string{
			"holder_under_other_isid critical: node1 holds the reservation from ISID 0x400001370001, but its session is 0x400001370071: it cannot release what it holds.",
			"not_registered info: node1 is not registered and may not write.",
		}},
		"the holder's path is down": {
			script: func(s *script) {
				s.good(register(n1, 1)).good(register(n1b, 1)).good(reserve(n1, 1, regOnly))
			}, live: at(n1b), want: []string{
				"holder_without_session warning: node1 holds the reservation through ISID 0x400001370001, a path without a session; its other paths are registered.",
			}},
		"a registrant came back with another ISID": {script: cluster, live: at(n1, n2new), want: []string{
			"registered_under_other_isid warning: node2 is registered, but from ISID 0x400001370002; its session is 0x400001370077, which is not registered.",
			"not_registered info: node2 is not registered and may not write.",
		}},
		"a registrant is gone": {script: cluster, live: at(n1), want: []string{
			"registered_without_session warning: node2 is registered and has no session.",
		}},
		"a leftover beside a registration in use": {
			script: func(s *script) { cluster(s); s.good(register(n2new, 2)) }, live: at(n1, n2new), want: []string{
				"registered_without_session info: node2 has a registration from ISID 0x400001370002 without a session, beside others in use: a path that is down, or a leftover.",
			}},
		"fenced": {
			script: func(s *script) { cluster(s); s.good(preempt(n2, 2, 1, regOnly)) },
			live:   []Live{{Nexus: n1, Conflicts: 312}, {Nexus: n2}}, want: []string{
				"preempted warning: node1 lost its registration to a PREEMPT AND ABORT of node2 and may not write. 312 of its commands were refused.",
			}},
		"fenced on every path": {
			script: func(s *script) { cluster(s); s.good(register(n1b, 1)).good(preempt(n2, 2, 1, regOnly)) },
			live:   []Live{{Nexus: n1, Conflicts: 1}, {Nexus: n2}, {Nexus: n1b, Conflicts: 2}, {Nexus: withISID(n1, 0x33)}}, want: []string{
				"preempted warning: node1 lost its registration to a PREEMPT AND ABORT of node2 and may not write. 3 of its commands were refused.",
			}},
		"unregistered by itself": {
			script: func(s *script) { cluster(s); s.good(pr.Op{Action: pr.Register, From: n2, Key: 2, APTPL: true}) },
			live:   at(n1, n2), want: []string{"not_registered info: node2 is not registered and may not write."}},
		"fenced and registered again": {
			script: func(s *script) { cluster(s); s.good(preempt(n2, 2, 1, regOnly)).good(register(n1, 1)) }, live: at(n1, n2)},
		"one of two paths, and nobody minds": {script: cluster, live: at(n1, n1b, n2), want: []string{
			"path_not_registered info: node1 is registered through another path, but not from ISID 0x400001370001: writes on such a path are refused.",
		}},
		"one of six paths": {
			script: cluster,
			live:   append(at(n1, n2, withISID(n1, 0x11), withISID(n1, 0x12), withISID(n1, 0x13), withISID(n1, 0x14)), Live{Nexus: withISID(n1, 0x15), Conflicts: 4}), want: []string{
				"path_not_registered warning: node1 is registered through another path, but not from ISID 0x400001370011, 0x400001370012, 0x400001370013 and 2 more: writes on such a path are refused. 4 of its commands were refused.",
			}},
		"nobody may write": {script: cluster, live: at(n3), want: []string{
			"nobody_may_write critical: No session that is logged in may write to this disk.",
			"holder_without_session warning: node1 holds the reservation and has no session.",
			"registered_without_session warning: node2 is registered and has no session.",
			"not_registered info: node3 is not registered and may not write.",
		}},
		"refused once": {script: cluster, live: []Live{{Nexus: n1}, {Nexus: n2, Conflicts: 2}}, want: []string{
			"conflicts info: 2 commands of node2 were refused by reservation conflict since it logged in.",
		}},
		"SPC-2": {script: func(s *script) { s.good(pr.Op{Action: pr.LegacyReserve, From: n3}) }, live: at(n1, n3), want: []string{
			"legacy_reservation info: node3 holds an SPC-2 reservation: commands of all others are refused until it releases, leaves or is reset.",
		}},
		"one key for two": {script: func(s *script) { s.good(register(n1, 7)).good(register(n2, 7)).good(register(n3, 7)) }, live: at(n1, n2, n3), want: []string{
			"shared_key info: node1 and node2 are registered with the same key 0x0000000000000007: preempting it takes the rights of both.",
		}},
		"not durable": {script: cluster, state: func(s *pr.State) { s.APTPL = false }, live: at(n1, n2), want: []string{
			"not_durable info: A power cycle of this host ends the registrations: they were made without APTPL. A restart of the daemon does not.",
		}},
		"all registrants, all gone": {
			script: func(s *script) { s.good(register(n1, 1)).good(reserve(n1, 1, pr.WriteExclusiveAllRegistrants)) },
			live:   at(n3), want: []string{
				"nobody_may_write critical: No session that is logged in may write to this disk.",
				"registered_without_session warning: node1 is registered and has no session.",
				"not_registered info: node3 is not registered and may not write.",
			}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			if c.script != nil {
				c.script(s)
			}
			state := s.unit.State()
			if c.state != nil {
				c.state(&state)
			}
			var got []string
			for _, f := range Diagnose(state, c.live, s.origins()) {
				got = append(got, fmt.Sprintf("%s %s: %s", f.Code, f.Severity, f.Text))
				reached[f.Code] = true
			}
			require.Equal(t, c.want, got)
		})
	}
	for _, code := range Codes {
		require.True(t, reached[code], "no row ends in %s", code)
	}
}

var reached = map[Code]bool{}

func TestDiagnoseSaysByWhomAndWhen(t *testing.T) {
	s := newScript(t)
	s.good(register(n1, 1)).good(register(n2, 2)).good(preempt(n2, 2, 1, regOnly))
	s.good(reserve(n2, 2, regOnly))
	f := Diagnose(s.unit.State(), at(n1, n2), s.origins())
	require.Len(t, f, 1)
	require.Equal(t, Preempted, f[0].Code)
	require.Equal(t, n1, f[0].Nexus)
	require.Equal(t, "node2", f[0].By)
	require.Equal(t, noon.Add(seconds(2)), f[0].At)
}

func TestDiagnoseIsBounded(t *testing.T) {
	var s pr.State
	for i := range 1024 {
		s.Registrations = append(s.Registrations, pr.Registration{Nexus: nexus(fmt.Sprint("n", i), 1), Key: 1})
	}
	f := Diagnose(s, nil, nil)
	require.Len(t, f, maxPerCode+1+1+1) // no session, how many more, one shared key, not durable
	require.Equal(t, "The same is true of 1008 more.", f[maxPerCode].Text)
}
