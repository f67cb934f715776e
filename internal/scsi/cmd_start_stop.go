package scsi

import "nas-target/internal/pr"

// START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL. SBC-4 r22 5.32, 5.15.
func init() {
	register(Command{
		Op: 0x1b, Name: "START STOP UNIT", Flags: Slow | WithoutPR,
		AccessOf: func(cdb *[16]byte) pr.Class {
			if cdb[4]&bitStart != 0 && cdb[4]>>4 == 0 {
				return pr.Status
			}
			return pr.Write
		},
		Usage: "1b 01 00 00 f7 00",
		Run:   runStartStop,
	})
	register(Command{
		Op: 0x1e, Name: "PREVENT ALLOW MEDIUM REMOVAL",
		AccessOf: func(cdb *[16]byte) pr.Class {
			if cdb[4]&3 == 0 {
				return pr.Always
			}
			return pr.Write
		},
		Usage: "1e 00 00 00 03 00",
		Run:   runPreventAllow,
	})
}

// Bits of START STOP UNIT, byte 4.
const (
	bitStart   = 0x01
	bitLoEj    = 0x02
	bitNoFlush = 0x04
)

// runStartStop knows no state but started: one node of a cluster that powers
// down must not take the disk away from the others. Stopping makes durable
// what was written, as it would on a disk. There are no power conditions and
// nothing can be ejected.
func runStartStop(t *Task) error {
	b := t.CDB[4]
	switch {
	case b>>4 != 0:
		return ErrInvalidField.AtCDB(4, 7)
	case b&bitLoEj != 0:
		return ErrInvalidField.AtCDB(4, 1)
	case b&(bitStart|bitNoFlush) != 0:
		return nil
	}
	if t.CDB[1]&1 != 0 { // IMMED
		t.unit.flushLater()
		return nil
	}
	return t.unit.flush()
}

// runPreventAllow keeps the bit for its nexus; PREEMPT, resets and nexus loss
// clear it. No medium of ours can be removed.
func runPreventAllow(t *Task) error {
	prevent := t.CDB[4] & 3
	if prevent > 1 {
		return ErrInvalidField.AtCDB(4, 1)
	}
	t.itl.mu.Lock()
	t.itl.prevent = prevent == 1
	t.itl.mu.Unlock()
	return nil
}
