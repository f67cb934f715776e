package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// FORMAT UNIT. SBC-4 r22 5.4. The medium then reads as zeros, deallocated if
// the unit is thin; there are no defects to manage and there is no protection
// information to write.
func init() {
	register(Command{
		Op: 0x04, Name: "FORMAT UNIT", Access: pr.Write, Dir: DataOut, Flags: Writes | Slow | AfterErase,
		Usage:   "04 3f 00 00 03 00",
		Enabled: (*Unit).hasMemory, OutBytes: formatBytes, Run: runFormat,
	})
}

const (
	bitLongList = 0x20
	bitFmtData  = 0x10
)

// formatBytes asks for the header of the parameter list; what may follow it is
// never used.
func formatBytes(t *Task) (int, error) {
	const fastReserved = 3
	switch b := t.CDB[1]; {
	case t.CDB[4] == fastReserved:
		return 0, ErrInvalidField.AtCDB(4, 1)
	case b&bitFmtData == 0 && b != 0:
		return 0, ErrInvalidField.AtCDB(1, 5)
	case b&bitFmtData == 0:
		return 0, nil
	case b&bitLongList == 0:
		return 4, nil
	}
	return 8, nil
}

// runFormat takes the options that change nothing here (which defects to use,
// when to stop) and refuses an initialization pattern and a defect list.
func runFormat(t *Task) error {
	const bitFOV, bitIP, bitImmed, bitsWithFOV = 0x80, 0x08, 0x02, 0x78
	p, immediately := t.Out[:t.Need], false
	if len(p) > 0 {
		defects := uint32(binary.BigEndian.Uint16(p[2:]))
		at := 2
		if len(p) == 8 {
			defects, at = binary.BigEndian.Uint32(p[4:]), 4
			if p[3] != 0 {
				return ErrInvalidParameter.AtData(3, 7)
			}
		}
		switch {
		case p[0] != 0:
			return ErrInvalidParameter.AtData(0, 2)
		case p[1]&bitFOV == 0 && p[1]&bitsWithFOV != 0:
			return ErrInvalidParameter.AtData(1, 7)
		case p[1]&bitIP != 0:
			return ErrInvalidParameter.AtData(1, 3)
		case defects != 0:
			return ErrInvalidParameter.AtData(at, 7)
		}
		immediately = p[1]&bitImmed != 0
	}
	return t.unit.startErase(t, Erase{Kind: EraseFormat}, immediately)
}
