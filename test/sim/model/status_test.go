package model

import (
	"encoding/binary"
	"slices"

	"pgregory.net/rapid"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
	"nas-target/test/sim/rules"
)

// in runs a PERSISTENT RESERVE IN, with a random allocation length now and
// then, and returns all of its data or nil.
func (m *machine) in(t *rapid.T, sa initiator.PRInAction) []byte {
	n := m.someone(t)
	c := initiator.PRIn(sa, 8192)
	a, good := m.run(n, rules.PRCommand, c, succeeds)
	if !good {
		return nil
	}
	short := uint16(rapid.IntRange(0, 64).Draw(t, "allocation length"))
	b, good := m.run(n, rules.PRCommand, initiator.PRIn(sa, short), succeeds)
	if want := a.Data[:min(int(short), len(a.Data))]; good && string(b.Data) != string(want) {
		t.Fatalf("%d bytes of % x are % x", short, a.Data, b.Data)
	}
	return a.Data
}

// head checks PRGENERATION and ADDITIONAL LENGTH and returns the rest.
func (m *machine) head(t *rapid.T, p []byte) []byte {
	if len(p) < 8 || int(binary.BigEndian.Uint32(p[4:])) != len(p)-8 {
		t.Fatalf("length of % x", p)
	}
	if got := binary.BigEndian.Uint32(p); got != m.state.Gen {
		t.Fatalf("PRGENERATION is %d, state %v", got, m.state)
	}
	return p[8:]
}

func (m *machine) actReadKeys(t *rapid.T) {
	p := m.in(t, initiator.PRReadKeys)
	if p == nil {
		return
	}
	var got, want []uint64
	for p = m.head(t, p); len(p) >= 8; p = p[8:] {
		got = append(got, binary.BigEndian.Uint64(p))
	}
	for _, k := range m.state.Key {
		if k != 0 {
			want = append(want, k)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(p) != 0 || !slices.Equal(got, want) {
		t.Fatalf("READ KEYS says %x, state %v", got, m.state)
	}
}

func (m *machine) actReadReservation(t *rapid.T) {
	p := m.in(t, initiator.PRReadReservation)
	if p == nil {
		return
	}
	var want []byte
	if m.state.Type != 0 {
		want = make([]byte, 16)
		if m.state.Holder != rules.None {
			binary.BigEndian.PutUint64(want, m.state.Key[m.state.Holder])
		}
		want[13] = m.state.Type
	}
	if got := m.head(t, p); string(got) != string(want) {
		t.Fatalf("READ RESERVATION says % x, state %v", got, m.state)
	}
}

// actReadFullStatus accepts one descriptor for several registrations only
// where ALL_TG_PT made them.
func (m *machine) actReadFullStatus(t *rapid.T) {
	p := m.in(t, initiator.PRReadFullStatus)
	if p == nil {
		return
	}
	m.head(t, p)
	full, err := initiator.DecodeFullStatus(p)
	must(t, err)
	var covered [rules.Nexuses]int
	for _, d := range full.Registrants {
		for n := range rules.Nexus(rules.Nexuses) {
			if sim.Member(n.Initiator(), 0).PortID().String() != d.Initiator.String() {
				continue
			}
			if !d.AllPorts && n.Port() != int(d.RelativePort)-1 {
				continue
			}
			covered[n]++
			switch {
			case d.Key != m.state.Key[n], d.Holder != m.state.Holds(n), d.Scope != 0,
				d.Holder && uint8(d.Type) != m.state.Type, !d.Holder && d.Type != 0,
				d.AllPorts && !m.state.AllPorts.Has(n):
				t.Fatalf("READ FULL STATUS says %+v, state %v", d, m.state)
			}
		}
	}
	for n, k := range m.state.Key {
		if want := 1; k != 0 && covered[n] != want || k == 0 && covered[n] != 0 {
			t.Fatalf("READ FULL STATUS tells %d times of %d.%d, state %v", covered[n], rules.Nexus(n).Initiator(), rules.Nexus(n).Port(), m.state)
		}
	}
}

func (m *machine) actCapabilities(t *rapid.T) {
	p := m.in(t, initiator.PRReportCapabilities)
	if p == nil {
		return
	}
	// RLR_C, CRH, SIP_C, ATP_C, PTPL_C; TMV, ALLOW COMMANDS 4, PTPL_A; all types.
	want := []byte{0, 8, 0x9d, 0xc0, 0xea, 0x01, 0, 0}
	if m.state.APTPL {
		want[3] |= 1
	}
	if string(p) != string(want) {
		t.Fatalf("REPORT CAPABILITIES says % x, want % x", p, want)
	}
}
