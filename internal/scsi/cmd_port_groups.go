package scsi

import (
	"encoding/binary"
	"slices"

	"nas-target/internal/pr"
)

// REPORT TARGET PORT GROUPS and SET TARGET PORT GROUPS. SPC-4 r36f 6.37, 6.45.
func init() {
	register(Command{
		Op: 0xa3, SA: 0x0a, HasSA: true, Name: "REPORT TARGET PORT GROUPS", Access: pr.Always, Dir: DataIn,
		Flags: Standby | Unavailable | Transition | WithoutPR,
		Usage: "a3 ea 00 00 00 00 ff ff ff ff 00 00", Length: Field{6, 4},
		Run: runReportGroups,
	})
	register(Command{
		Op: 0xa4, SA: 0x0a, HasSA: true, Name: "SET TARGET PORT GROUPS", Access: pr.Write, Dir: DataOut,
		Flags: Slow | Standby | Unavailable,
		Usage: "a4 0a 00 00 00 00 ff ff ff ff 00 00", Length: Field{6, 4},
		Enabled: func(u *Unit) bool { return u.setAccess != nil },
		Run:     runSetGroups,
	})
}

// groups returns the port groups of d in ascending order.
func (d *Device) groups() []uint16 {
	var list []uint16
	for _, p := range d.Ports() {
		list = append(list, p.Group)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// runReportGroups tells the states of this target device's groups. The
// extended header has an implicit transition time, which is not known.
func runReportGroups(t *Task) error {
	const (
		extended   = 1
		extendedID = 0x10
		// T, U, S, AN, AO: states that a group can be in.
		supported = 0x80 | 0x08 | 0x04 | 0x02 | 0x01
	)
	b := make([]byte, 4, 64)
	switch t.CDB[1] >> 5 {
	case 0:
	case extended:
		b = append(b, extendedID, 0, 0, 0)
	default:
		return ErrInvalidField.AtCDB(1, 7)
	}
	d := t.itl.it.dev
	for _, g := range d.groups() {
		s := t.conf.groups[g]
		head := len(b)
		b = append(b, byte(s.AccessState), supported, byte(g>>8), byte(g), 0, byte(s.by), 0, 0)
		for _, p := range d.Ports() {
			if p.Group == g {
				b = append(b, 0, 0, byte(p.Relative>>8), byte(p.Relative))
				b[head+7]++
			}
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	t.reply(b)
	return nil
}

// runSetGroups changes all states of the list or none.
func runSetGroups(t *Task) error {
	const header, size = 4, 4
	p := t.Out[:t.Need]
	if len(p) == 0 {
		return nil
	}
	if len(p) < header || (len(p)-header)%size != 0 {
		return ErrParameterListLength
	}
	known, states := t.itl.it.dev.groups(), map[uint16]AccessState{}
	for at := header; at < len(p); at += size {
		s, g := AccessState(p[at]&0x0f), binary.BigEndian.Uint16(p[at+2:])
		if s > AccessUnavailable {
			return ErrInvalidParameter.AtData(at, 3)
		}
		if _, twice := states[g]; twice || !slices.Contains(known, g) {
			return ErrInvalidParameter.AtData(at+2, 7)
		}
		states[g] = s
	}
	if len(states) == 0 {
		return nil
	}
	if err := t.unit.setAccess(states); err != nil {
		return ErrSetTPGFailed.Because(err)
	}
	t.unit.setAccessStates(t.itl, byInitiator, states)
	return nil
}
