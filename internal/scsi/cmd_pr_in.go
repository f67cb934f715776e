package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// PERSISTENT RESERVE IN. SPC-4 r36f 6.15. It reads the state in force, never
// waits behind a reservation command in progress, and changes nothing.
func init() {
	in := func(sa uint16, name, usage string, build func(t *Task, s pr.State) []byte) {
		register(Command{
			Op: 0x5e, SA: sa, HasSA: true, Name: "PERSISTENT RESERVE IN/" + name,
			Access: pr.Status, Dir: DataIn, Flags: Standby, Class: ClassReservation,
			Usage: usage, Length: Field{7, 2},
			Run: func(t *Task) error {
				t.Reply(build(t, t.unit.pr.State()), int(t.cmd.Length.In(&t.CDB)))
				return nil
			},
		})
	}
	in(0, "READ KEYS", "5e 00 00 00 00 00 00 ff ff 00", readKeys)
	in(1, "READ RESERVATION", "5e 01 00 00 00 00 00 ff ff 00", readReservation)
	in(2, "REPORT CAPABILITIES", "5e 02 00 00 00 00 00 ff ff 00", reportCapabilities)
	in(3, "READ FULL STATUS", "5e 03 00 00 00 00 00 ff ff 00", readFullStatus)
}

// prHeader starts parameter data: PRGENERATION and room for ADDITIONAL LENGTH.
func prHeader(s pr.State, room int) []byte {
	b := make([]byte, 8, 8+room)
	binary.BigEndian.PutUint32(b, s.Generation)
	return b
}

// setPRLength fills ADDITIONAL LENGTH, which allocation lengths never change.
func setPRLength(b []byte) []byte {
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

func readKeys(_ *Task, s pr.State) []byte {
	b := prHeader(s, 8*len(s.Registrations))
	for _, r := range s.Registrations {
		b = binary.BigEndian.AppendUint64(b, uint64(r.Key))
	}
	return setPRLength(b)
}

func readReservation(_ *Task, s pr.State) []byte {
	b := prHeader(s, 16)
	if s.Reservation.Type == 0 {
		return b
	}
	var key pr.Key // zero where every registrant holds
	if !s.Reservation.Type.AllRegistrants() {
		r, _ := s.Find(s.Reservation.Holder)
		key = r.Key
	}
	b = binary.BigEndian.AppendUint64(b, uint64(key))
	b = append(b, 0, 0, 0, 0, 0, byte(s.Reservation.Type), 0, 0)
	return setPRLength(b)
}

func reportCapabilities(_ *Task, s pr.State) []byte {
	const (
		rlrC, crh, sipC, atpC, ptplC = 0x80, 0x10, 0x08, 0x04, 0x01
		tmv, allowCommands4, ptplA   = 0x80, 4 << 4, 0x01
	)
	b := []byte{0, 8, rlrC | crh | sipC | atpC | ptplC, tmv | allowCommands4, 0xea, 0x01, 0, 0}
	if s.APTPL {
		b[3] |= ptplA
	}
	return b
}

// readFullStatus describes each registration. One made with ALL_TG_PT is one
// descriptor, however many ports it covers.
func readFullStatus(t *Task, s pr.State) []byte {
	b := prHeader(s, 128*len(s.Registrations))
	var covered map[string]bool
	for _, r := range s.Registrations {
		if r.AllTargetPorts {
			if covered[r.Initiator] {
				continue
			}
			if covered == nil {
				covered = map[string]bool{}
			}
			covered[r.Initiator] = true
		}
		var d [24]byte
		binary.BigEndian.PutUint64(d[0:], uint64(r.Key))
		if s.Holds(r.Nexus) || r.AllTargetPorts && holdsThroughAny(s, r.Initiator) {
			d[12], d[13] = 0x01, byte(s.Reservation.Type)
		}
		if r.AllTargetPorts {
			d[12] |= 0x02
		} else {
			binary.BigEndian.PutUint16(d[18:], t.itl.it.dev.relative(r.Target))
		}
		at := len(b)
		b = appendTransportID(append(b, d[:]...), r.Initiator)
		binary.BigEndian.PutUint32(b[at+20:], uint32(len(b)-at-24))
	}
	return setPRLength(b)
}

func holdsThroughAny(s pr.State, initiator string) bool {
	return s.Reservation.Type != 0 && (s.Reservation.Type.AllRegistrants() || s.Reservation.Holder.Initiator == initiator)
}

// relative returns the relative target port identifier of a port name, 0 for
// a port of another device.
func (d *Device) relative(name string) uint16 {
	for _, p := range d.ports {
		if p.Name == name {
			return p.Relative
		}
	}
	return 0
}
