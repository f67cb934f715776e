package prstoretest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// Subject is a store under test.
type Subject struct {
	Store pr.Store

	// Attach makes a new unit known; nil if the store knows every unit.
	Attach func(unit string)
	// Restart closes the store and opens it again, as after the end of the
	// process. nil if nothing survives that.
	Restart func() pr.Store
	// PowerCycle does the same as after a loss of power.
	PowerCycle func() pr.Store
}

// Run runs the suite. open makes an empty store; it registers its own cleanup.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"NewUnitIsEmpty":                newUnitIsEmpty,
		"SavedStateIsLoaded":            savedStateIsLoaded,
		"RevisionsRise":                 revisionsRise,
		"StaleSaveChangesNothing":       staleSaveChangesNothing,
		"VolatilePartsAreNotKept":       volatilePartsAreNotKept,
		"ImpossibleStateIsRefused":      impossibleStateIsRefused,
		"UnitsAreIndependent":           unitsAreIndependent,
		"ManyRegistrationsOfAnyLength":  manyRegistrations,
		"RestartKeepsEverything":        restartKeepsEverything,
		"PowerCycleKeepsWhatAPTPLSays":  powerCycle,
		"PowerCycleIsNotForgottenAgain": powerCycleTwice,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			test(t, s)
		})
	}
}

func (s Subject) attach(unit string) string {
	if s.Attach != nil {
		s.Attach(unit)
	}
	return unit
}

// Nexus returns the i-th of a family of nexuses with ordinary names.
func Nexus(i int) pr.Nexus {
	return pr.Nexus{
		Initiator: pr.InitiatorPort(fmt.Sprintf("iqn.1993-08.org.debian:01:%d", i), [6]byte{0x00, 0x02, 0x3d, 0, byte(i >> 8), byte(i)}),
		Target:    pr.TargetPort("iqn.2026-11.local.nas-target:lab", 1),
	}
}

// Sample returns a state with everything in it.
func Sample(aptpl bool) pr.State {
	return pr.State{
		Generation: 7,
		APTPL:      aptpl,
		Registrations: []pr.Registration{
			{Nexus: Nexus(1), Key: 0xa1},
			{Nexus: Nexus(2), Key: 0xffffffffffffffff, AllTargetPorts: true},
			{Nexus: Nexus(3), Key: 0xa1},
		},
		Reservation: pr.Reservation{Type: pr.WriteExclusiveRegistrantsOnly, Holder: Nexus(2)},
	}
}

func load(t *testing.T, st pr.Store, unit string) (pr.State, pr.Revision) {
	t.Helper()
	s, rev, err := st.Load(unit)
	require.NoError(t, err)
	return s, rev
}

func save(t *testing.T, st pr.Store, unit string, s pr.State, from pr.Revision) pr.Revision {
	t.Helper()
	rev, err := st.Save(unit, s, from)
	require.NoError(t, err)
	return rev
}

// requireState compares states by value; empty and nil lists are the same.
func requireState(t *testing.T, want, got pr.State) {
	t.Helper()
	if !got.Equal(want) {
		require.Equal(t, want, got)
	}
}

func newUnitIsEmpty(t *testing.T, s Subject) {
	got, _ := load(t, s.Store, s.attach("u"))
	requireState(t, pr.State{}, got)
}

func savedStateIsLoaded(t *testing.T, s Subject) {
	u := s.attach("u")
	_, rev := load(t, s.Store, u)
	for _, want := range []pr.State{
		Sample(true),
		Sample(false),
		{Generation: 1<<32 - 1},
		{Registrations: Sample(true).Registrations, Reservation: pr.Reservation{Type: pr.ExclusiveAccessAllRegistrants}},
		{Registrations: Sample(true).Registrations[:1]},
		{},
	} {
		rev = save(t, s.Store, u, want, rev)
		got, again := load(t, s.Store, u)
		requireState(t, want, got)
		require.Equal(t, rev, again)
	}
}

func revisionsRise(t *testing.T, s Subject) {
	u := s.attach("u")
	_, rev := load(t, s.Store, u)
	for range 5 {
		next := save(t, s.Store, u, Sample(true), rev)
		require.Greater(t, next, rev)
		rev = next
	}
}

func staleSaveChangesNothing(t *testing.T, s Subject) {
	u := s.attach("u")
	_, first := load(t, s.Store, u)
	rev := save(t, s.Store, u, Sample(true), first)
	for _, from := range []pr.Revision{first, rev + 1, 1 << 60} {
		_, err := s.Store.Save(u, pr.State{}, from)
		require.ErrorIs(t, err, pr.ErrStale)
		got, again := load(t, s.Store, u)
		requireState(t, Sample(true), got)
		require.Equal(t, rev, again)
	}
}

func volatilePartsAreNotKept(t *testing.T, s Subject) {
	u := s.attach("u")
	_, rev := load(t, s.Store, u)
	save(t, s.Store, u, pr.State{Generation: 3, Legacy: Nexus(1)}, rev)
	got, _ := load(t, s.Store, u)
	requireState(t, pr.State{Generation: 3}, got)
}

func impossibleStateIsRefused(t *testing.T, s Subject) {
	u := s.attach("u")
	_, rev := load(t, s.Store, u)
	rev = save(t, s.Store, u, Sample(true), rev)
	bad := Sample(true)
	bad.Reservation.Holder = Nexus(9)
	_, err := s.Store.Save(u, bad, rev)
	require.Error(t, err)
	got, _ := load(t, s.Store, u)
	requireState(t, Sample(true), got)
}

func unitsAreIndependent(t *testing.T, s Subject) {
	const n = 8
	for i := range n {
		s.attach(fmt.Sprint("unit-", i))
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			u := fmt.Sprint("unit-", i)
			_, rev, err := s.Store.Load(u)
			for g := uint32(1); err == nil && g <= 20; g++ {
				rev, err = s.Store.Save(u, pr.State{Generation: g * uint32(i)}, rev)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range n {
		got, _ := load(t, s.Store, fmt.Sprint("unit-", i))
		requireState(t, pr.State{Generation: 20 * uint32(i)}, got)
	}
}

func manyRegistrations(t *testing.T, s Subject) {
	u := s.attach("u")
	_, rev := load(t, s.Store, u)
	want := pr.State{APTPL: true, Reservation: pr.Reservation{Type: pr.WriteExclusiveAllRegistrants}}
	for i := range pr.DefaultMaxRegistrations {
		node := fmt.Sprintf("iqn.%04d.", i) + strings.Repeat("x", 223-9)
		want.Registrations = append(want.Registrations, pr.Registration{
			Nexus: pr.Nexus{
				Initiator: pr.InitiatorPort(node, [6]byte{0x80, 1, 2, 3, 4, 5}),
				Target:    pr.TargetPort(strings.Repeat("y", 223), uint16(i)),
			},
			Key: pr.Key(i + 1), AllTargetPorts: i%2 == 0,
		})
	}
	save(t, s.Store, u, want, rev)
	got, _ := load(t, s.Store, u)
	requireState(t, want, got)
}

func restartKeepsEverything(t *testing.T, s Subject) {
	if s.Restart == nil {
		return // promised by no contract
	}
	u := s.attach("u")
	_, rev := load(t, s.Store, u)
	for _, aptpl := range []bool{true, false} {
		rev = save(t, s.Store, u, Sample(aptpl), rev)
		s.Store = s.Restart()
		got, again := load(t, s.Store, u)
		requireState(t, Sample(aptpl), got)
		require.Equal(t, rev, again)
	}
}

func powerCycle(t *testing.T, s Subject) {
	u := s.attach("u")
	_, rev := load(t, s.Store, u)
	save(t, s.Store, u, Sample(true), rev)
	s.Store = s.PowerCycle()
	got, rev := load(t, s.Store, u)
	want := Sample(true)
	want.Generation = 0
	requireState(t, want, got)

	save(t, s.Store, u, Sample(false), rev)
	s.Store = s.PowerCycle()
	got, _ = load(t, s.Store, u)
	requireState(t, pr.State{}, got)
}

// What a power cycle took away does not come back with the next one, and what
// was saved since is in force.
func powerCycleTwice(t *testing.T, s Subject) {
	u := s.attach("u")
	_, rev := load(t, s.Store, u)
	save(t, s.Store, u, Sample(false), rev)
	s.Store = s.PowerCycle()
	if s.Restart != nil {
		s.Store = s.Restart()
	}
	got, rev := load(t, s.Store, u)
	requireState(t, pr.State{}, got)
	save(t, s.Store, u, Sample(true), rev)
	s.Store = s.PowerCycle()
	s.Store = s.PowerCycle()
	got, _ = load(t, s.Store, u)
	want := Sample(true)
	want.Generation = 0
	requireState(t, want, got)
}
