package audit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

const (
	target  = "iqn.2026-11.com.example:cluster"
	witness = "witness"
	unitID  = "7f9f4a52"
)

var (
	port1 = pr.TargetPort(target, 1)
	port2 = pr.TargetPort(target, 2)
	n1    = nexus("node1", 1)
	n1b   = pr.Nexus{Initiator: n1.Initiator, Target: port2}
	n2    = nexus("node2", 2)
	n3    = nexus("node3", 3)
)

func nexus(host string, isid byte) pr.Nexus {
	return pr.Nexus{Initiator: pr.InitiatorPort("iqn.1991-05.com.microsoft:"+host, [6]byte{0x40, 0, 1, 0x37, 0, isid}), Target: port1}
}

// memory is a store that keeps nothing beyond the test.
type memory struct {
	s   pr.State
	rev pr.Revision
	err error
}

func (m *memory) Load(string) (pr.State, pr.Revision, error) { return m.s, m.rev, nil }

func (m *memory) Save(_ string, s pr.State, _ pr.Revision) (pr.Revision, error) {
	if m.err != nil {
		return 0, m.err
	}
	m.s = s
	m.rev++
	return m.rev, nil
}

// script drives a real reservation manager and keeps what it tells.
type script struct {
	t       *testing.T
	store   *memory
	unit    *pr.Unit
	records []pr.Record
	out     func(pr.Record)
	clock   int64
}

func newScript(t *testing.T) *script {
	s := &script{t: t, store: &memory{}}
	s.out = func(r pr.Record) { s.records = append(s.records, r) }
	u, err := pr.Open(pr.Config{
		ID: unitID, Store: s.store,
		Events: pr.Events{Out: func(r pr.Record) { s.out(r) }},
		Clock:  func() int64 { s.clock += 7e6; return s.clock },
	})
	require.NoError(t, err)
	s.unit = u
	return s
}

var env = pr.Env{TargetPorts: []pr.Port{{Name: port1, RelativeID: 1}, {Name: port2, RelativeID: 2}}}

func (s *script) do(op pr.Op) pr.Verdict {
	op.Peer = "192.0.2.7:49152"
	return s.unit.Apply(op, env, func(_, _ *pr.Access) {}).Verdict
}

func (s *script) good(op pr.Op) *script {
	s.t.Helper()
	v := s.do(op)
	require.True(s.t, v.OK(), "%v: %v", op.Action, v)
	return s
}

func (s *script) refused(op pr.Op) *script {
	s.t.Helper()
	require.False(s.t, s.do(op).OK(), "%v", op.Action)
	return s
}

func register(n pr.Nexus, k pr.Key) pr.Op {
	return pr.Op{Action: pr.Register, From: n, ServiceKey: k, APTPL: true}
}

func reserve(n pr.Nexus, k pr.Key, t pr.Type) pr.Op {
	return pr.Op{Action: pr.Reserve, From: n, Key: k, Type: t}
}

func preempt(n pr.Nexus, k, victim pr.Key, t pr.Type) pr.Op {
	return pr.Op{Action: pr.PreemptAndAbort, From: n, Key: k, ServiceKey: victim, Type: t}
}

const regOnly = pr.WriteExclusiveRegistrantsOnly

// origins replays what the script's records did, as a trail would.
func (s *script) origins() *Origins {
	units := map[string]*Origins{}
	for i, r := range s.records {
		e := entryOf(r, witness, noon.Add(seconds(i)))
		e.Seq = uint64(i + 1)
		noteIn(units, &e)
	}
	return units[unitID]
}
