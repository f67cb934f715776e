package prstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"nas-target/internal/pr"
)

// Report is what Inspect found in a file. It changes nothing, so what Load
// would mend is told as it is.
type Report struct {
	Size     int64 // of the file, in bytes
	SlotSize int   // bytes
	Slots    [2]SlotReport

	// InForce is the slot Load would take, -1 if none.
	InForce int
	// Err is why Load would say that the information is lost, nil if it would
	// not. Which unit the file should belong to is not judged.
	Err error
}

// SlotReport is one slot of a Report. If Err is set, nothing else is.
type SlotReport struct {
	Err      error
	Version  int
	Sequence uint64
	Unit     string
	BootID   string
	Lost     bool     // recorded as lost and not yet replaced
	State    pr.State // as saved, before the power cycle rule
	StateErr error    // the payload makes no sense
}

// Inspect reads the file of a unit, attached or not.
func Inspect(path string) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return Report{}, err
	}
	return inspect(f, fi.Size(), SlotSizeFor(pr.DefaultMaxRegistrations)), nil
}

func inspect(r io.ReaderAt, size int64, usual int) Report {
	slots, slotSize := readSlots(r, size, usual)
	rep := Report{Size: size, SlotSize: slotSize, InForce: -1}
	for i, s := range slots {
		rep.Slots[i] = s.report()
		if s.err == nil && (rep.InForce < 0 || s.rec.seq > slots[rep.InForce].rec.seq) {
			rep.InForce = i
		}
	}
	switch {
	case rep.InForce < 0:
		rep.Err = errors.New("no slot is intact")
	case slots[0].err == nil && slots[1].err == nil && slots[0].rec.seq == slots[1].rec.seq && !slots[0].rec.says(slots[1].rec):
		rep.Err = errors.New("both slots have the same sequence and differ")
	default:
		switch s := rep.Slots[rep.InForce]; {
		case s.Version != version:
			rep.Err = fmt.Errorf("format version %d is unknown to this release", s.Version)
		case s.StateErr != nil:
			rep.Err = s.StateErr
		case s.Lost:
			rep.Err = errors.New("recorded as lost")
		}
	}
	return rep
}

func (s slotRead) report() SlotReport {
	if s.err != nil {
		return SlotReport{Err: s.err}
	}
	rep := SlotReport{Version: int(s.rec.version), Sequence: s.rec.seq, Unit: s.rec.unit, BootID: s.rec.boot}
	if rep.Version == version {
		rep.State, rep.Lost, rep.StateErr = decodeState(s.rec.payload)
	}
	return rep
}

// Healthy reports whether both slots hold the same intact state.
func (r Report) Healthy() bool {
	return r.Err == nil && r.Slots[0].Err == nil && r.Slots[1].Err == nil && r.Slots[0].Sequence == r.Slots[1].Sequence
}

// WriteTo prints the report for a person.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "file size %d, slot size %d\n", r.Size, r.SlotSize)
	for i, s := range r.Slots {
		mark := " "
		if i == r.InForce {
			mark = "*"
		}
		if s.Err != nil {
			fmt.Fprintf(&b, "%sslot %d: %v\n", mark, i, s.Err)
			continue
		}
		fmt.Fprintf(&b, "%sslot %d: sequence %d, version %d, unit %q, boot %q\n", mark, i, s.Sequence, s.Version, s.Unit, s.BootID)
		switch {
		case s.StateErr != nil:
			fmt.Fprintf(&b, "   payload: %v\n", s.StateErr)
		case s.Lost:
			b.WriteString("   information lost, waiting for REPLACE LOST RESERVATION\n")
		default:
			writeState(&b, s.State)
		}
	}
	switch {
	case r.Err != nil:
		fmt.Fprintf(&b, "verdict: lost: %v\n", r.Err)
	case r.Healthy():
		b.WriteString("verdict: good\n")
	default:
		b.WriteString("verdict: usable, will be mended when it is loaded\n")
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func writeState(b *strings.Builder, s pr.State) {
	fmt.Fprintf(b, "   generation %d, APTPL %t, reservation %v, %d registrations\n",
		s.Generation, s.APTPL, s.Reservation.Type, len(s.Registrations))
	for _, r := range s.Registrations {
		note := ""
		if r.AllTargetPorts {
			note += " ALL_TG_PT"
		}
		if s.Holds(r.Nexus) {
			note += " holder"
		}
		fmt.Fprintf(b, "   %v %q → %q%s\n", r.Key, r.Initiator, r.Target, note)
	}
}
