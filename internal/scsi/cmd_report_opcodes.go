package scsi

import (
	"encoding/binary"

	"nas-target/internal/pr"
)

// REPORT SUPPORTED OPERATION CODES and REPORT SUPPORTED TASK MANAGEMENT
// FUNCTIONS. SPC-4 r36f 6.35, 6.36. Both tell what the tables of this package
// say, so they cannot disagree with what happens.
func init() {
	register(Command{
		Op: 0xa3, SA: 0x0c, HasSA: true, Name: "REPORT SUPPORTED OPERATION CODES", Access: pr.Read, Dir: DataIn, Flags: WhileSanitize,
		Usage: "a3 0c 87 ff ff ff ff ff ff ff 00 00", Length: Field{6, 4},
		Run: runReportOpcodes,
	})
	register(Command{
		Op: 0xa3, SA: 0x0d, HasSA: true, Name: "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", Access: pr.Read, Dir: DataIn, Flags: WhileSanitize,
		Usage: "a3 0d 80 00 00 00 ff ff ff ff 00 00", Length: Field{6, 4},
		Run: runReportFunctions,
	})
}

// REPORTING OPTIONS.
const (
	reportAll      = 0
	reportOpcode   = 1 // an opcode without service actions
	reportAction   = 2 // an opcode with service actions
	reportEither   = 3
	bitRCTD        = 0x80
	supported      = 3 // as a standard says
	notSupported   = 1
	timeoutsLength = 12
)

func runReportOpcodes(t *Task) error {
	u, timeouts := t.unit, t.CDB[2]&bitRCTD != 0
	option, op, sa := t.CDB[2]&7, t.CDB[3], binary.BigEndian.Uint16(t.CDB[4:])
	if option == reportAll {
		t.reply(u.allOpcodes(timeouts))
		return nil
	}
	o := &opcodes[op]
	var row *Command
	switch option {
	case reportOpcode:
		if o.sas != nil {
			return ErrInvalidField.AtCDB(2, 2)
		}
		row = o.row
	case reportAction:
		if o.row != nil {
			return ErrInvalidField.AtCDB(2, 2)
		}
		row = o.sas[sa]
	case reportEither:
		if row = o.sas[sa]; o.row != nil && sa == 0 {
			row = o.row
		}
	default:
		return ErrInvalidField.AtCDB(2, 2)
	}
	t.reply(u.oneOpcode(row, timeouts))
	return nil
}

// has tells whether the unit can do what the row describes.
func (u *Unit) has(r *Command) bool { return r.Enabled == nil || r.Enabled(u) }

func (u *Unit) allOpcodes(timeouts bool) []byte {
	const ctdp, servActV = 0x02, 0x01
	b := make([]byte, 4, 4+len(rows)*(8+timeoutsLength))
	for _, r := range rows {
		if !u.has(r) {
			continue
		}
		d := [8]byte{0: r.Op, 7: byte(r.size)}
		if r.HasSA {
			binary.BigEndian.PutUint16(d[2:], r.SA)
			d[5] |= servActV
		}
		if timeouts {
			d[5] |= ctdp
		}
		b = append(b, d[:]...)
		if timeouts {
			b = r.appendTimeouts(b)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (u *Unit) oneOpcode(r *Command, timeouts bool) []byte {
	const ctdp = 0x80
	if r == nil || !u.has(r) {
		return []byte{0, notSupported, 0, 0}
	}
	b := []byte{0, supported, 0, byte(r.size)}
	b = append(b, r.usage[:r.size]...)
	if timeouts {
		b[1] |= ctdp
		b = r.appendTimeouts(b)
	}
	return b
}

// appendTimeouts appends a command timeouts descriptor. The nominal time is
// not told: it depends on the storage below. SPC-4 r36f 6.35.4.
func (r *Command) appendTimeouts(b []byte) []byte {
	b = append(b, 0, timeoutsLength-2, 0, 0, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, r.timeout())
}

// timeout is the recommended command timeout, in seconds: the 30 that
// initiators use by themselves, more where a command walks over the medium.
func (r *Command) timeout() uint32 {
	const ordinary, long = 30, 120
	if r.Flags&(Slow|Control) != 0 {
		return long
	}
	return ordinary
}

// runReportFunctions lists what IT.Manage does. I_T NEXUS RESET is not among
// it: in iSCSI a logout does the same.
func runReportFunctions(t *Task) error {
	const (
		abortTask, abortTaskSet, clearTaskSet, unitReset, queryTask = 0x80, 0x40, 0x10, 0x08, 0x04
		queryAsyncEvent, queryTaskSet                               = 0x04, 0x02
		bitREPD                                                     = 0x80
	)
	b := []byte{abortTask | abortTaskSet | clearTaskSet | unitReset | queryTask, queryAsyncEvent | queryTaskSet, 0, 0}
	if t.CDB[2]&bitREPD != 0 {
		b[3] = 12
		b = append(b, make([]byte, 12)...) // no timeout is specified: TMFTMOV 0
	}
	t.reply(b)
	return nil
}
