package pr_test

import (
	"testing"

	"nas-target/internal/pr"
	oracle "nas-target/internal/pr/oracletest"
)

// FuzzStep plays any sequence of commands, whatever their fields, against the
// oracle. Four bytes choose a command; keys and types are drawn from few
// values, so that they meet.
func FuzzStep(f *testing.F) {
	a := newArena(2, 2, 3, false)
	f.Add([]byte{})
	// Register both, reserve, preempt and abort.
	f.Add([]byte{0, 0, 0x10, 0, 0, 1, 0x20, 0, 1, 0, 0x01, 4, 5, 1, 0x12, 4})
	// ALL_TG_PT, SPEC_I_PT, move.
	f.Add([]byte{6, 0, 0x10, 0x40, 1, 0, 0x01, 4, 7, 0, 0x31, 0x80, 3, 1, 0x03, 0})
	// Legacy, power cycle, operator.
	f.Add([]byte{11, 0, 0, 0, 12, 0, 0, 0, 15, 0, 0, 0, 16, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := pr.State{}
		for len(b) >= 4 {
			var err error
			c := a.command(a.decode([4]byte(b)))
			if s, err = a.compare(s, c); err != nil {
				t.Fatalf("%v\nafter %+v", err, c.op)
			}
			b = b[4:]
		}
	})
}

// decode makes a command of four bytes: action, sender and destination, keys,
// type and bits.
func (a *arena) decode(b [4]byte) oracle.Command {
	kinds := []string{"reserve", "release", "nexus loss", "reset", "power cycle", "operator clear"}
	o := oracle.Command{Kind: "out", SA: int(b[0] % 17), From: a.paths[int(b[1]&0x0f)%len(a.paths)]}
	if o.SA > 10 {
		o.Kind, o.SA = kinds[o.SA-11], 0
	}
	o.RK, o.SARK = uint64(b[2]&0x03), uint64(b[2]>>4&0x03)
	o.BadLen = b[2]&0xc0 == 0xc0
	o.Type = int(b[3] & 0x0f)
	if o.Type < 8 && b[3]&0x08 == 0 {
		o.Type = types[o.Type%len(types)]
	}
	o.Scope = int(b[1] >> 7)
	o.APTPL, o.SpecIPt, o.AllPorts, o.Unreg = b[3]&0x10 != 0, b[3]&0x20 != 0, b[3]&0x40 != 0, b[3]&0x80 != 0
	lists := a.lists(o.From)
	o.List = lists[int(b[1]>>4&0x07)%len(lists)]
	o.RelPort = int(b[2] >> 2 & 0x03)
	return o
}
