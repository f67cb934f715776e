package pr_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"nas-target/internal/pr"
)

// However registrations and target ports lie, the descriptors of READ FULL
// STATUS say of every registration exactly what is so, and of nothing else.
func TestFullStatusCoversEveryRegistrationOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ports []pr.Port
		for p := range rapid.IntRange(0, 3).Draw(t, "ports of the device") {
			ports = append(ports, pr.Port{Name: pr.TargetPort(scriptTarget, uint16(p)), RelativeID: uint16(10 + p)})
		}
		var s pr.State
		for _, host := range "ab" {
			for p := range len(ports) + 1 { // the last one was removed
				if !rapid.Bool().Draw(t, "registered") {
					continue
				}
				s.Registrations = append(s.Registrations, pr.Registration{
					Nexus:          pr.Nexus{Initiator: nexus(byte(host)).Initiator, Target: pr.TargetPort(scriptTarget, uint16(p))},
					Key:            pr.Key(rapid.IntRange(1, 2).Draw(t, "key")),
					AllTargetPorts: rapid.IntRange(0, 3).Draw(t, "ALL_TG_PT") > 0,
				})
			}
		}
		if n := len(s.Registrations); n > 0 {
			s.Reservation.Type = rapid.SampledFrom([]pr.Type{0, 1, 7}).Draw(t, "type")
			if s.Reservation.Type == 1 {
				s.Reservation.Holder = s.Registrations[rapid.IntRange(0, n-1).Draw(t, "holder")].Nexus
			}
		}
		covered := map[pr.Nexus]int{}
		for _, d := range s.FullStatus(ports) {
			for _, r := range s.Registrations {
				relative := uint16(0)
				for _, p := range ports {
					if p.Name == r.Target {
						relative = p.RelativeID
					}
				}
				if r.Initiator != d.Initiator || !d.AllPorts && relative != d.RelativePort {
					continue
				}
				covered[r.Nexus]++
				require.Equal(t, r.Key, d.Key)
				require.Equal(t, s.Holds(r.Nexus), d.Holder)
				require.Equal(t, d.Holder, d.Type != 0)
				if d.Holder {
					require.Equal(t, s.Reservation.Type, d.Type)
				}
				if d.AllPorts {
					require.True(t, r.AllTargetPorts)
					require.NotZero(t, relative, "stands for every port of the device and no other")
				}
			}
			if d.AllPorts {
				for _, p := range ports {
					_, ok := s.Find(pr.Nexus{Initiator: d.Initiator, Target: p.Name})
					require.True(t, ok, "%s is not registered", p.Name)
				}
			}
		}
		for _, r := range s.Registrations {
			require.Equal(t, 1, covered[r.Nexus], "%v", r.Nexus)
		}
	})
}
