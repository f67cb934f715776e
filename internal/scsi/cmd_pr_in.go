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
			Access: pr.Persistent, Dir: DataIn, Flags: Standby, Class: ClassReservation,
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
	keys := s.Keys()
	b := prHeader(s, 8*len(keys))
	for _, k := range keys {
		b = binary.BigEndian.AppendUint64(b, uint64(k))
	}
	return setPRLength(b)
}

func readReservation(_ *Task, s pr.State) []byte {
	b := prHeader(s, 16)
	if key, typ, ok := s.Held(); ok {
		b = binary.BigEndian.AppendUint64(b, uint64(key))
		b = append(b, 0, 0, 0, 0, 0, byte(typ), 0, 0)
	}
	return setPRLength(b)
}

func reportCapabilities(_ *Task, s pr.State) []byte {
	c := s.Capabilities()
	bits := func(flags ...bool) (v byte) {
		for i, f := range flags {
			if f {
				v |= 0x80 >> i
			}
		}
		return v
	}
	b := []byte{0, 8,
		bits(c.ReplaceLost, false, false, c.Compatible, c.SpecInitiator, c.AllTargetPorts, false, c.PersistCapable),
		0x80 | c.AllowCommands<<4 | bits(false, false, false, false, false, false, false, c.PersistActive),
		0, 0, 0, 0}
	var mask uint16 // bit n of byte 4 is type n, of byte 5 type 8+n
	for _, t := range c.Types {
		mask |= 1 << (t % 8) << (8 * (1 - t/8))
	}
	binary.BigEndian.PutUint16(b[4:], mask)
	return b
}

func readFullStatus(t *Task, s pr.State) []byte {
	b := prHeader(s, 128*len(s.Registrations))
	for _, f := range s.FullStatus(t.itl.it.dev.prPorts()) {
		var d [24]byte
		binary.BigEndian.PutUint64(d[0:], uint64(f.Key))
		if f.Holder {
			d[12], d[13] = 0x01, byte(f.Type)
		}
		if f.AllPorts {
			d[12] |= 0x02
		}
		binary.BigEndian.PutUint16(d[18:], f.RelativePort)
		at := len(b)
		b = appendTransportID(append(b, d[:]...), f.Initiator)
		binary.BigEndian.PutUint32(b[at+20:], uint32(len(b)-at-24))
	}
	return setPRLength(b)
}
