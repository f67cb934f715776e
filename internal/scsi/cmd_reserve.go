package scsi

import "nas-target/internal/pr"

// RESERVE and RELEASE of SPC-2, with the rules for living beside persistent
// reservations. SPC-2 r20 5.5.1, SPC-4 r36f 5.13.3. Third-party and extent
// reservations are refused by their bits.
func init() {
	legacy := func(op uint8, name, usage string, a pr.Action) {
		register(Command{
			Op: op, Name: name, Access: pr.Always, Flags: Control, Class: ClassReservation,
			Usage: usage,
			Run: func(t *Task) error {
				return t.unit.reserve(t, pr.Op{Action: a, From: t.itl.it.nexus, Peer: t.itl.it.Peer()})
			},
		})
	}
	legacy(0x16, "RESERVE(6)", "16 00 00 00 00 00", pr.LegacyReserve)
	legacy(0x17, "RELEASE(6)", "17 00 00 00 00 00", pr.LegacyRelease)
	legacy(0x56, "RESERVE(10)", "56 00 00 00 00 00 00 00 00 00", pr.LegacyReserve)
	legacy(0x57, "RELEASE(10)", "57 00 00 00 00 00 00 00 00 00", pr.LegacyRelease)
}
