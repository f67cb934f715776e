package pr

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// Check knows every way in which a state can be impossible.
func TestCheckFindsWhatCannotBe(t *testing.T) {
	a, b := Nexus{"a", "t"}, Nexus{"b", "t"}
	long := make([]byte, MaxPortName+1)
	good := State{Registrations: []Registration{{Nexus: a, Key: 1}, {Nexus: b, Key: 1}}, Reservation: Reservation{WriteExclusive, a}}
	require.NoError(t, good.Check())
	require.NoError(t, State{}.Check())
	for name, spoil := range map[string]func(*State){
		"key 0":                        func(s *State) { s.Registrations[1].Key = 0 },
		"no initiator name":            func(s *State) { s.Registrations[1].Initiator = "" },
		"no target name":               func(s *State) { s.Registrations[1].Target = "" },
		"initiator name too long":      func(s *State) { s.Registrations[1].Initiator = string(long) },
		"target name too long":         func(s *State) { s.Registrations[1].Target = string(long) },
		"registered twice":             func(s *State) { s.Registrations[1].Nexus = a },
		"holder not registered":        func(s *State) { s.Reservation.Holder = Nexus{"c", "t"} },
		"no holder":                    func(s *State) { s.Reservation.Holder = Nexus{} },
		"one holder of all":            func(s *State) { s.Reservation.Type = WriteExclusiveAllRegistrants },
		"all of nobody":                func(s *State) { *s = State{Reservation: Reservation{Type: ExclusiveAccessAllRegistrants}} },
		"type that is none":            func(s *State) { s.Reservation.Type = 2 },
		"holder of nothing":            func(s *State) { s.Reservation.Type = 0 },
		"legacy beside registrations":  func(s *State) { s.Legacy, s.Reservation = a, Reservation{} },
		"lost, but registered":         func(s *State) { s.Condition, s.Reservation = InformationLost, Reservation{} },
		"lost, but with a generation":  func(s *State) { *s = State{Condition: InformationLost, Generation: 1} },
		"not ready, but with APTPL":    func(s *State) { *s = State{Condition: NotReady, APTPL: true} },
		"not ready, but with a legacy": func(s *State) { *s = State{Condition: NotReady, Legacy: a} },
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			s.Registrations = append([]Registration(nil), good.Registrations...)
			spoil(&s)
			require.Error(t, s.Check())
		})
	}
}

// A Step that went wrong stops the process: verify panics with Broken.
func TestVerifyStopsAtABrokenInvariant(t *testing.T) {
	a := Nexus{"a", "t"}
	one := State{Generation: 1, Registrations: []Registration{{Nexus: a, Key: 1}}}
	two := one
	two.Generation = 2
	refused := Verdict{Status: Conflict, Reason: ReasonKey}
	broken := func(before, after State, op Op, v Verdict) (b *Broken) {
		defer func() {
			r := recover()
			if r == nil {
				return
			}
			require.True(t, IsBroken(r))
			b = r.(*Broken)
		}()
		verify(before, after, op, v)
		return nil
	}
	require.Nil(t, broken(State{}, one, Op{Action: Register}, Verdict{}))
	require.Nil(t, broken(one, one, Op{Action: Register}, refused))
	require.Nil(t, broken(one, one, Op{Action: Reserve}, Verdict{}))

	b := broken(one, two, Op{Action: Register, From: a}, refused)
	require.NotNil(t, b, "a refused command changed the state")
	require.ErrorContains(t, b, "register")
	require.ErrorContains(t, errors.Unwrap(b), "refused")
	require.NotNil(t, broken(one, one, Op{Action: Register}, Verdict{}), "REGISTER did not count")
	require.NotNil(t, broken(one, two, Op{Action: Reserve}, Verdict{}), "RESERVE counted")
	require.NotNil(t, broken(one, two, Op{Action: ReplaceLostReservation}, Verdict{}), "REPLACE LOST RESERVATION does not count on")
	impossible := two
	impossible.Reservation = Reservation{WriteExclusive, Nexus{"x", "y"}}
	require.NotNil(t, broken(one, impossible, Op{Action: Register}, Verdict{}))
	require.False(t, IsBroken("something else"))
	require.False(t, IsBroken(nil))
}

func TestNames(t *testing.T) {
	ini := InitiatorPort("iqn.1991-05.com.microsoft:win", [6]byte{0x40, 0x00, 0x01, 0x37, 0x00, 0x0a})
	require.Equal(t, "iqn.1991-05.com.microsoft:win,i,0x40000137000a", ini)
	require.Equal(t, "iqn.x,t,0x0001", TargetPort("iqn.x", 1))
	require.Equal(t, "iqn.x,t,0xffff", TargetPort("iqn.x", 0xffff))
	require.Equal(t, "iqn.1991-05.com.microsoft:win", Node(ini))
	require.Equal(t, "iqn.x", Node("iqn.x,t,0x0001"))
	require.Equal(t, "iqn.x,i,0x1", Node("iqn.x,i,0x1,i,0x000000000001"), "only the last part is ours")
	require.Equal(t, "iqn.x", Node("iqn.x"))
	require.Equal(t, ",", Node(","))
	for _, typ := range Types {
		require.True(t, typ.Valid())
	}

	// What logs and metrics say is told apart.
	said := map[string]bool{}
	say := func(words ...fmt.Stringer) {
		clear(said)
		for _, w := range words {
			require.NotEmpty(t, w.String())
			require.False(t, said[w.String()], "%s twice", w)
			said[w.String()] = true
		}
	}
	var types, codesSaid, actions []fmt.Stringer
	for typ := range Type(16) {
		types = append(types, typ)
	}
	for c := range codes + 1 {
		codesSaid = append(codesSaid, c)
	}
	for a := range OperatorClear + 2 {
		actions = append(actions, a)
	}
	say(types...)
	say(codesSaid...)
	say(actions...)
	say(Normal, InformationLost, NotReady, Condition(3))
	say(RaiseUA, AbortTasks, AllowRemoval, EffectKind(9))
	say(ReservationsPreempted, ReservationsReleased, RegistrationsPreempted, UA(9))
}
