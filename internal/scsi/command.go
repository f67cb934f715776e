package scsi

import (
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"nas-target/internal/pr"
)

// Dir is the direction of a command's data.
type Dir uint8

const (
	NoData Dir = iota
	DataIn
	DataOut
)

// Flags of an opcode row.
type Flags uint16

const (
	// NoUA: unit attentions are neither reported nor cleared. SAM-5 5.14.
	NoUA Flags = 1 << iota
	// AnyLUN: answers even where no logical unit is mapped.
	AnyLUN
	// Writes: refused with WRITE PROTECTED on a read-only unit.
	Writes
	// Slow: always runs on a worker, never on the transport's goroutine.
	Slow
	// Control: runs on the unit's control queue, which data I/O cannot fill.
	Control
	// Standby: accepted in the ALUA standby state. SPC-4 r37 5.16.2.4.4.
	Standby
	// Unavailable: accepted in the ALUA unavailable state.
	Unavailable
	// Transition: accepted while the ALUA state changes.
	Transition
	// WhileSanitize: accepted while FORMAT UNIT or SANITIZE runs. SBC-4 r22 4.11.
	WhileSanitize
	// WithoutPR: accepted while the reservation state is not loaded or lost.
	// SPC-4 r37 5.13.5.2, 5.13.5.3.
	WithoutPR
	// AnyLength: MAXIMUM TRANSFER LENGTH does not bound the command.
	AnyLength
	// AfterErase: accepted after a FORMAT UNIT or SANITIZE that failed.
	AfterErase

	lastFlag = AfterErase
)

// Field is a big-endian number in a CDB: first byte and width. The zero Field
// is absent.
type Field struct{ At, Len uint8 }

// lba6 is the 21-bit LBA of the 6-byte commands.
var lba6 = Field{1, 3}

// In reads the field.
func (f Field) In(cdb *[16]byte) uint64 {
	var v uint64
	for _, b := range cdb[f.At : f.At+f.Len] {
		v = v<<8 | uint64(b)
	}
	return v
}

// Command is the one row that tells everything about an opcode or service
// action: dispatch, the reservation check, REPORT SUPPORTED OPERATION CODES,
// metrics and the golden file all read it.
type Command struct {
	Op    uint8
	SA    uint16
	HasSA bool
	Name  string

	// Access relates the command to reservations; AccessOf decides where it
	// depends on the CDB. Neither set: conflicts with every reservation.
	Access   pr.Class
	AccessOf func(cdb *[16]byte) pr.Class

	Dir    Dir
	Flags  Flags
	Usage  string // CDB bits this server looks at, in hex, one byte each; RSOC prints exactly this
	Ignore string // CDB bits tolerated but without effect, same form; all others must be zero

	// LBA and Blocks name the range the command touches. It is checked
	// against the capacity and MaxTransfer before Run.
	LBA, Blocks Field
	// Length is the CDB's allocation or parameter list length.
	Length Field
	// OutBytes tells how many bytes of Data-Out the command wants. Default
	// for DataOut rows: Blocks × block size, else Length.
	OutBytes func(t *Task) (int, error)
	// Enabled tells whether the unit's medium can do it at all; nil: always.
	Enabled func(u *Unit) bool
	// Class is the operation class for latency figures.
	Class OpClass
	// Defer tells whether this very command has to wait for the medium and
	// must not run on the transport's goroutine; nil: never.
	Defer func(t *Task) bool
	// Run does the work. It returns nil, a *Check, or a storage error.
	Run func(t *Task) error

	usage, ignore [16]byte
	size          int
}

// OpClass groups commands for metrics.
type OpClass uint8

const (
	ClassOther OpClass = iota
	ClassRead
	ClassWrite
	ClassFlush
	ClassUnmap
	ClassReservation
	ClassCopy
	opClasses
)

var opClassNames = [opClasses]string{"other", "read", "write", "flush", "unmap", "reservation", "copy"}

func (c OpClass) String() string { return opClassNames[c] }

// opcode is what the first CDB byte leads to: one row, or one per service
// action.
type opcode struct {
	row *Command
	sas map[uint16]*Command
}

var (
	opcodes [256]opcode
	rows    []*Command // sorted by opcode and service action
)

// register adds a row at program start. A mistake in a row panics there.
func register(c Command) {
	r := &c
	r.usage, r.size = parseBits(r, r.Usage)
	if r.Ignore != "" {
		r.ignore, _ = parseBits(r, r.Ignore)
	}
	if r.usage[0] != r.Op || r.Run == nil || r.Name == "" {
		panic("scsi: incomplete opcode row " + r.Name)
	}
	o := &opcodes[r.Op]
	if o.row != nil || o.sas[r.SA] != nil || (r.HasSA != (o.sas != nil) && (o.row != nil || o.sas != nil)) {
		panic("scsi: opcode registered twice: " + r.Name)
	}
	if r.HasSA {
		if o.sas == nil {
			o.sas = map[uint16]*Command{}
		}
		o.sas[r.SA] = r
	} else {
		o.row = r
	}
	rows = append(rows, r)
	sort.Slice(rows, func(i, j int) bool {
		a, b := rows[i], rows[j]
		return a.Op < b.Op || a.Op == b.Op && a.SA < b.SA
	})
}

func parseBits(r *Command, s string) (bits [16]byte, n int) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil || len(b) < 6 || len(b) > 16 {
		panic(fmt.Sprintf("scsi: %s: bad CDB pattern %q", r.Name, s))
	}
	return bits, copy(bits[:], b)
}

// Commands returns all rows in opcode order. The rows are read-only.
func Commands() []*Command { return rows }

// serviceAction is where the opcodes with service actions keep them.
func serviceAction(cdb *[16]byte) uint16 { return uint16(cdb[1] & 0x1f) }

// lookup finds the row for a CDB. SPC-4 r37 4.2.5.2.
func lookup(cdb *[16]byte) (*Command, *Check) {
	o := &opcodes[cdb[0]]
	if o.row != nil {
		return o.row, nil
	}
	if o.sas == nil {
		return nil, ErrInvalidOpcode
	}
	if r := o.sas[serviceAction(cdb)]; r != nil {
		return r, nil
	}
	return nil, ErrInvalidField.AtCDB(1, 4)
}

// access returns the class of this very command.
func (r *Command) access(cdb *[16]byte) pr.Class {
	if r.AccessOf != nil {
		return r.AccessOf(cdb)
	}
	return r.Access
}

// checkBits refuses CDB bits that this server does not look at.
func (r *Command) checkBits(cdb *[16]byte) *Check {
	for i := 1; i < r.size; i++ {
		if bad := cdb[i] &^ (r.usage[i] | r.ignore[i]); bad != 0 {
			bit := 7
			for bad>>bit == 0 {
				bit--
			}
			return ErrInvalidField.AtCDB(i, bit)
		}
	}
	return nil
}
