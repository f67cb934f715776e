package scsi

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// pair is a device with two port groups, a nexus through each, and one unit.
func pair(t *testing.T, change ...func(*UnitConfig)) (b *bench, one, two *IT) {
	b = newBench(t, change...)
	b.dev = NewDevice("iqn.2026-11.test:disk", []Port{
		{Name: "iqn.2026-11.test:disk,t,0x0001", Relative: 1, Group: 1},
		{Name: "iqn.2026-11.test:disk,t,0x0002", Relative: 2, Group: 2},
		{Name: "iqn.2026-11.test:disk,t,0x0003", Relative: 3, Group: 2},
	})
	at := func(i int) *IT {
		it := b.dev.Attach(Nexus{Initiator: "iqn.2026-11.test:a,i,0x800000000001", Target: b.dev.Ports()[i].Name}, LUNMap{0: b.unit})
		b.clearUA(it)
		return it
	}
	one, two = at(0), at(1)
	b.it = one
	return b, one, two
}

func TestReportPortGroups(t *testing.T) {
	b, _, two := pair(t)
	groups := "008f0001 00000001 00000001 008f0002 00000002 00000002 00000003"
	require.Equal(t, unhex("0000001c"+groups), b.in("a3 0a 00 00 00 00 00000100 00 00"))
	require.Equal(t, unhex("00000020 10000000"+groups), b.in("a3 2a 00 00 00 00 00000100 00 00"))
	b.refused(ErrInvalidField.AtCDB(1, 7), "a3 4a 00 00 00 00 00000100 00 00", nil)
	b.unit.SetAccessState(2, AccessStandby)
	b.clearUA(two)
	b.clearUA(b.it)
	require.Equal(t, unhex("0000001c 008f0001 00000001 00000001 028f0002 00020002 00000002 00000003"), b.in("a3 0a 00 00 00 00 00000100 00 00"))
	require.Equal(t, b.in("a3 0a 00 00 00 00 00000100 00 00"), b.through(two, 0, "a3 0a 00 00 00 00 00000100 00 00", nil, 256).In)
	require.EqualValues(t, 0x10, b.in("12 00 00 00 ff 00")[5]&0x30, "implicit only")
	b.refused(ErrInvalidField.AtCDB(1, 4), "a4 0a 00 00 00 00 00000008 00 00", make([]byte, 8))
}

// SPC-4 r36f 5.16.2.4: what each state accepts, for every command there is.
func TestAccessStates(t *testing.T) {
	always := []byte{0x12, 0xa0, 0x03}
	standby := map[byte]bool{0x4c: true, 0x4d: true, 0x15: true, 0x55: true, 0x1a: true, 0x5a: true, 0x1c: true, 0x1d: true,
		0x5e: true, 0x5f: true, 0x3b: true, 0x3c: true}
	unavailable := map[byte]bool{0x3b: true, 0x3c: true}
	b, one, two := pair(t, func(c *UnitConfig) {
		c.SetAccess = func(map[uint16]AccessState) error { return nil }
		c.Remember = func(Memory) error { return nil }
	})
	for _, c := range []struct {
		state AccessState
		also  map[byte]bool
		stpg  bool
		want  *Check
	}{
		{AccessOptimized, nil, true, nil},
		{AccessNonOptimized, nil, true, nil},
		{AccessStandby, standby, true, ErrStandby},
		{AccessUnavailable, unavailable, true, ErrUnavailable},
		{AccessTransitioning, nil, false, ErrAsymmetricTransit},
	} {
		b.unit.SetAccessState(2, c.state)
		for _, r := range Commands() {
			b.clearUA(one)
			b.clearUA(two)
			cdb := fmt.Sprintf("%02x%02x%s", r.Op, r.SA, "00000000000000000000")
			got := b.through(two, 0, cdb, nil, 64)
			allowed := c.want == nil || c.also[r.Op]
			for _, op := range always {
				allowed = allowed || op == r.Op
			}
			switch {
			case r.Op == 0xa3 && r.SA == 0x0a:
				allowed = true
			case r.Op == 0xa4 && r.SA == 0x0a:
				allowed = allowed || c.stpg
			}
			if allowed {
				for _, refusal := range []*Check{ErrStandby, ErrUnavailable, ErrAsymmetricTransit} {
					require.NotErrorIs(t, got.Failure, refusal, "%s in %s", r.Name, c.state)
				}
			} else {
				require.ErrorIs(t, got.Failure, c.want, "%s in %s", r.Name, c.state)
			}
			b.through(two, 0, "17 00 00 00 00 00", nil, 0) // RELEASE what RESERVE did
			b.clearUA(one)
			require.Equal(t, Good, b.through(one, 0, "00 00 00 00 00 00", nil, 0).Status, "the other group is as it was")
		}
		inq := b.through(two, 0, "12 00 00 00 ff 00", nil, 255).In[0]
		require.Equal(t, c.state == AccessUnavailable, inq == notAccessible, c.state)
	}
}

func TestAccessChangeIsToldToAll(t *testing.T) {
	b, one, two := pair(t)
	b.unit.SetAccessState(1, AccessNonOptimized)
	b.refusedAt(one, UAAsymmetricChanged, "00 00 00 00 00 00", nil)
	b.refusedAt(two, UAAsymmetricChanged, "00 00 00 00 00 00", nil)
	b.unit.SetAccessState(1, AccessNonOptimized)
	require.Equal(t, Good, b.through(one, 0, "00 00 00 00 00 00", nil, 0).Status)
}

func TestSetPortGroups(t *testing.T) {
	var asked map[uint16]AccessState
	var fail error
	b, one, two := pair(t, func(c *UnitConfig) {
		c.SetAccess = func(s map[uint16]AccessState) error { asked = s; return fail }
	})
	require.EqualValues(t, 0x30, b.in("12 00 00 00 ff 00")[5]&0x30)
	set := func(n int) string { return fmt.Sprintf("a4 0a 00 00 00 00 %08x 00 00", n) }
	b.good(set(0), nil)
	b.good(set(4), make([]byte, 4))
	require.Nil(t, asked)
	b.good(set(12), unhex("00000000 01000001 02000002"))
	require.Equal(t, map[uint16]AccessState{1: AccessNonOptimized, 2: AccessStandby}, asked)
	require.Equal(t, Good, b.through(one, 0, "00 00 00 00 00 00", nil, 0).Status, "who asked is not told")
	b.refusedAt(two, UAAsymmetricChanged, "a3 0a 00 00 00 00 00000100 00 00", nil)
	require.Equal(t, unhex("0000001c 018f0001 00010001 00000001 028f0002 00010002 00000002 00000003"), b.in("a3 0a 00 00 00 00 00000100 00 00"))
	b.refusedAt(two, ErrStandby, "00 00 00 00 00 00", nil)

	for list, want := range map[string]*Check{
		"000000":                     ErrParameterListLength,
		"00000000 0000":              ErrParameterListLength,
		"00000000 00000001 00000009": ErrInvalidParameter.AtData(10, 7), // no such group
		"00000000 00000001 01000001": ErrInvalidParameter.AtData(10, 7), // twice
		"00000000 04000001":          ErrInvalidParameter.AtData(4, 3),  // no such state
		"00000000 0f000001":          ErrInvalidParameter.AtData(4, 3),  // not to be asked for
	} {
		b.refused(want, set(len(unhex(list))), unhex(list))
	}
	fail = errors.New("the other head does not answer")
	b.refused(ErrSetTPGFailed, set(8), unhex("00000000 00000002"))
	b.refusedAt(two, ErrStandby, "00 00 00 00 00 00", nil)
	fail = nil
	require.Equal(t, Good, b.through(two, 0, set(8), unhex("00000000 00000002"), 0).Status, "from a standby port")
	require.Equal(t, Good, b.through(two, 0, "00 00 00 00 00 00", nil, 0).Status)
}
