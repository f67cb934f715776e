package model

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/scsi"
	"nas-target/test/sim"
	"nas-target/test/sim/rules"
)

// roles of the one who sends a command.
const (
	theHolder = rules.Nexus(0)
	another   = rules.Nexus(3) // registered, if the cell says so
	stranger  = rules.Nexus(4)
)

// condition is a reservation that is in force.
type condition struct {
	name   string
	typ    uint8
	legacy bool
}

var conditions = []condition{
	{"none", 0, false},
	{"write exclusive", 1, false}, {"exclusive access", 3, false},
	{"write exclusive, registrants only", 5, false}, {"exclusive access, registrants only", 6, false},
	{"write exclusive, all registrants", 7, false}, {"exclusive access, all registrants", 8, false},
	{"RESERVE(6)", 0, true},
}

// column finds the cell of a row for a sender who is not the holder.
func (c condition) column(registered bool) int {
	switch {
	case c.legacy:
		return 5
	case c.typ == 1:
		return 0
	case c.typ == 3:
		return 1
	case registered:
		return 2
	case c.typ == 5 || c.typ == 7:
		return 3
	}
	return 4
}

// TestEveryCommandHasItsRights: no command of the target is missing in the
// table, none conflicts that should not, none passes that should not. G14.
func TestEveryCommandHasItsRights(t *testing.T) {
	rows := map[string]bool{}
	for _, r := range access {
		rows[r.code] = true
	}
	for _, code := range reserving {
		rows[code] = true
	}
	for _, c := range scsi.Commands() {
		require.True(t, rows[code(c)], "%s %s has no row", code(c), c.Name)
	}

	crowd := newCrowd(t)
	defer crowd.bed.Close()
	cells := 0
	for _, cond := range conditions {
		crowd.put(cond)
		for _, r := range access {
			if !has(r.code) {
				continue
			}
			cdb, err := hex.DecodeString(r.cdb)
			require.NoError(t, err)
			require.Equal(t, r.code[:2], fmt.Sprintf("%02x", cdb[0]))
			cmd := initiator.Cmd{CDB: cdb, In: r.in, Out: make([]byte, r.out), Attr: initiator.Simple}
			for _, n := range []rules.Nexus{theHolder, another, stranger} {
				want := ok
				switch {
				case cond.legacy && n == theHolder:
					if r.code[:2] == "5e" {
						want = rc // SPC-2 5.5.1: whoever sends it
					}
				case n == theHolder, cond.typ == 0 && !cond.legacy, rules.State{Type: cond.typ}.AllHold() && n == another:
				default:
					want = r.rights[cond.column(n == another)]
				}
				a := crowd.do(n, cmd)
				require.Equal(t, want == rc, a.Conflict(), "%s from %d under %s: %v", r.name, n, cond.name, a)
				if want == rc {
					require.Empty(t, a.SenseData, "a conflict has no sense data")
				}
				cells++
			}
		}
	}
	require.Empty(t, crowd.bed.Violations())
	t.Logf("%d cells", cells)
}

// TestEveryReservationCommandUnderEveryReservation is SPC-4 table 66 and
// 5.13.3, over the wire: every service action and the commands of SPC-2, from
// everybody, whatever is in force.
func TestEveryReservationCommandUnderEveryReservation(t *testing.T) {
	crowd := newCrowd(t)
	defer crowd.bed.Close()
	cells := 0
	for _, cond := range conditions {
		for action := range 9 {
			for _, n := range []rules.Nexus{theHolder, another, stranger} {
				s := crowd.put(cond)
				r := rules.Request{Action: action, Key: s.Key[n], Service: uint64(another) + 1, Type: 5, To: 6}
				if action == rules.Register {
					r.Service = 0x77
				}
				want, effects := s.Out(n, r)
				c := basic(r)
				if action == rules.RegisterAndMove {
					c = initiator.PROut(initiator.PRRegisterAndMove, 0, 0, initiator.PRMove{
						Key: r.Key, ServiceKey: r.Service, RelativePort: 1, Destination: sim.Member(3, 0).PortID(),
					}.Marshal())
				}
				a := crowd.do(n, c)
				require.True(t, prediction{result: effects.Result}.fits(a), "action %d from %d under %s: %06x expected, got %v", action, n, cond.name, uint32(effects.Result), a)
				if !cond.legacy {
					crowd.shows(want)
				}
				cells++
			}
		}
		for _, form := range []struct {
			cmd initiator.Cmd
			do  func(rules.State, rules.Nexus) (rules.State, rules.Result)
		}{
			{initiator.Reserve6(), rules.State.Reserve6}, {initiator.Reserve10(), rules.State.Reserve6},
			{initiator.Release6(), rules.State.Release6}, {initiator.Release10(), rules.State.Release6},
		} {
			for _, n := range []rules.Nexus{theHolder, another, stranger} {
				s := crowd.put(cond)
				want, result := form.do(s, n)
				a := crowd.do(n, form.cmd)
				require.True(t, prediction{result: result}.fits(a), "% x from %d under %s: %v", form.cmd.CDB, n, cond.name, a)
				for _, m := range []rules.Nexus{theHolder, another, stranger} {
					require.Equal(t, want.Allows(m, rules.Write), !crowd.do(m, initiator.Write6(0, make([]byte, 512), 512)).Conflict())
				}
				cells++
			}
		}
	}
	t.Logf("%d cells", cells)
}

// has reports whether the target has a command.
func has(want string) bool {
	return slices.ContainsFunc(scsi.Commands(), func(c *scsi.Command) bool { return code(c) == want })
}

func code(c *scsi.Command) string {
	if c.HasSA {
		return fmt.Sprintf("%02x/%02x", c.Op, c.SA)
	}
	return fmt.Sprintf("%02x", c.Op)
}

// crowd is a target with the three senders logged in.
type crowd struct {
	t     *testing.T
	bed   *sim.Bed
	hosts map[rules.Nexus]sim.Host
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{t: t, bed: sim.NewBed(sim.Config{Wire: true, Ports: rules.Ports}), hosts: map[rules.Nexus]sim.Host{}}
	for _, n := range []rules.Nexus{theHolder, another, stranger} {
		h, err := c.bed.Login(sim.Member(n.Initiator(), n.Port()))
		require.NoError(t, err)
		c.hosts[n] = h
	}
	return c
}

func (c *crowd) do(n rules.Nexus, cmd initiator.Cmd) sim.Answer { return sim.Retry(c.hosts[n], cmd) }

// put brings a condition about, from whatever was, and returns what is then.
func (c *crowd) put(cond condition) rules.State {
	for _, h := range c.hosts {
		sim.Retry(h, initiator.Release6())
	}
	h := c.hosts[theHolder]
	sim.Must(h, sim.Join(1))
	sim.Must(h, sim.PR(initiator.PRClear, 0, 1, 0))
	s := rules.New()
	if cond.legacy {
		sim.Must(h, initiator.Reserve6())
		s.Legacy = theHolder
	} else {
		sim.Must(h, sim.Join(uint64(theHolder)+1))
		sim.Must(c.hosts[another], sim.Join(uint64(another)+1))
		s.Key[theHolder], s.Key[another] = uint64(theHolder)+1, uint64(another)+1
	}
	if cond.typ != 0 {
		r := rules.Request{Action: rules.Reserve, Key: s.Key[theHolder], Type: cond.typ}
		sim.Must(h, basic(r))
		s, _ = s.Out(theHolder, r)
	}
	for _, h := range c.hosts {
		sim.Attentions(h)
	}
	return s
}

// shows requires that keys and reservation are those of s.
func (c *crowd) shows(s rules.State) {
	c.t.Helper()
	full, err := initiator.DecodeFullStatus(sim.Must(c.hosts[stranger], initiator.PRIn(initiator.PRReadFullStatus, 4096)).Data)
	require.NoError(c.t, err)
	left := s.Key
	for _, d := range full.Registrants {
		for n := range rules.Nexus(rules.Nexuses) {
			if sim.Member(n.Initiator(), 0).PortID().String() == d.Initiator.String() && n.Port() == int(d.RelativePort)-1 {
				require.Equal(c.t, s.Key[n], d.Key, "%v", s)
				require.Equal(c.t, s.Holds(n), d.Holder, "%v", s)
				left[n] = 0
			}
		}
	}
	require.Zero(c.t, left, "%v", s)
	held := sim.Must(c.hosts[stranger], initiator.PRIn(initiator.PRReadReservation, 64)).Data
	require.Equal(c.t, s.Type != 0, len(held) > 8)
	if s.Type != 0 {
		require.Equal(c.t, s.Type, held[21])
	}
}
