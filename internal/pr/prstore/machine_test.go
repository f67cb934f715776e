package prstore

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"nas-target/internal/pr"
)

// TestMachine saves, fails, crashes and restarts in any order. What is found
// after each restart is the last acknowledged state, or the one whose save the
// crash interrupted; and what was found once stays.
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newSimDisk()
		f, err := newFile(d, small)
		require.NoError(t, err)
		require.NoError(t, f.Attach(simUnit, Expect{}))
		var rev pr.Revision
		var now pr.State
		load := func(allowed ...pr.State) {
			got, r, err := f.Load(simUnit)
			require.NoError(t, err)
			for _, want := range allowed {
				if got.Equal(want) {
					now, rev = got, r
					return
				}
			}
			require.Fail(t, "neither the old nor the new state", "%+v", got)
		}
		load(pr.State{})
		reopen := func(next *simDisk, o Options, allowed ...pr.State) {
			d = next
			f, err = newFile(d, o)
			require.NoError(t, err)
			require.NoError(t, f.Attach(simUnit, Expect{Exists: true, AtLeast: rev}))
			load(allowed...)
		}
		boot := small
		draw := func() pr.State {
			s := pr.State{Generation: now.Generation + 1, APTPL: rapid.Bool().Draw(t, "APTPL")}
			for i, n := range []pr.Nexus{crashA, crashB, crashC} {
				if rapid.Bool().Draw(t, "registered") {
					s.Registrations = append(s.Registrations, pr.Registration{Nexus: n, Key: pr.Key(i + 1)})
				}
			}
			if len(s.Registrations) > 0 && rapid.Bool().Draw(t, "reserved") {
				s.Reservation = pr.Reservation{Type: pr.WriteExclusive, Holder: s.Registrations[0].Nexus}
			}
			return s
		}
		power := func(d *simDisk) *simDisk {
			seed := rapid.Uint64().Draw(t, "sectors")
			r := rand.New(rand.NewPCG(seed, seed))
			return d.cut(func(int, int) bool { return r.IntN(2) == 0 }, true)
		}
		t.Repeat(map[string]func(*rapid.T){
			"save": func(t *rapid.T) {
				s := draw()
				r, err := f.Save(simUnit, s, rev)
				require.NoError(t, err)
				require.Greater(t, r, rev)
				now, rev = s, r
			},
			"a call fails": func(t *rapid.T) {
				n := rapid.IntRange(1, 4).Draw(t, "call")
				d.failAt(n, n, unix.EIO, rapid.IntRange(0, blockSize/sector).Draw(t, "sectors")*sector)
				_, err := f.Save(simUnit, draw(), rev)
				require.ErrorIs(t, err, unix.EIO)
				d.heal()
			},
			"crash in a save": func(t *rapid.T) {
				s := draw()
				d.stopAt(rapid.IntRange(1, 4).Draw(t, "call"), rapid.IntRange(0, blockSize/sector).Draw(t, "sectors")*sector)
				_, err := f.Save(simUnit, s, rev)
				require.ErrorIs(t, err, errStopped)
				d.heal()
				if rapid.Bool().Draw(t, "power cut") {
					reopen(power(d), boot, now, s)
				} else {
					reopen(d.killed(), boot, now, s)
				}
			},
			"killed":    func(t *rapid.T) { reopen(d.killed(), boot, now) },
			"power cut": func(t *rapid.T) { reopen(power(d), boot, now) },
			"another boot": func(t *rapid.T) {
				boot.BootID += "'"
				if len(boot.BootID) > nameSize {
					boot = small
				}
				reopen(power(d), boot, now.AfterPowerCycle())
			},
		})
	})
}
