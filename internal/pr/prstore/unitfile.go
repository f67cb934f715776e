package prstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"nas-target/internal/pr"
)

// unitFile is the open file of one unit. Its fields are guarded by mu.
type unitFile struct {
	store   *File
	unit    string
	atLeast uint64 // what the caller remembers

	mu       sync.Mutex
	h        handle
	slotSize int     // of this file
	loaded   bool    // load has succeeded or found the information lost
	kept     content // what the file is to say if a save fails
	acked    uint64  // sequence of the last acknowledged save
	seq      uint64  // highest sequence ever written
	suspect  [2]bool // this slot may hold something else than kept
}

// content is what a record says, apart from when and where.
type content struct {
	boot    string
	payload []byte
}

// load reads the file and mends it. See the package documentation.
func (u *unitFile) load() (pr.State, error) {
	u.loaded = false
	if err := u.h.Sync(); err != nil { // what a killed process wrote is not on the medium yet
		return pr.State{}, err
	}
	size, err := u.h.Size()
	if err != nil {
		return pr.State{}, err
	}
	slots, slotSize := readSlots(u.h, size, u.store.slotSize)
	u.slotSize = slotSize
	u.seq, u.suspect = 0, [2]bool{}
	best := -1
	for i, s := range slots {
		u.suspect[i] = s.err != nil
		if s.err == nil && (best < 0 || s.rec.seq > slots[best].rec.seq) {
			best = i
		}
	}
	if best < 0 {
		if e := errors.Join(slots[0].ioErr, slots[1].ioErr); e != nil {
			return pr.State{}, e // it may be readable later
		}
		return u.lost(fmt.Errorf("slot 0: %w; slot 1: %w", slots[0].err, slots[1].err))
	}
	rec, other := slots[best].rec, slots[1-best]
	u.seq, u.acked = rec.seq, rec.seq
	if other.err == nil && !other.rec.says(rec) {
		if other.rec.seq == rec.seq {
			return u.lost(errors.New("both slots have the same sequence and differ"))
		}
		u.suspect[1-best] = true
	}
	if rec.unit != u.unit {
		return u.lost(fmt.Errorf("the file belongs to unit %q", rec.unit))
	}
	if rec.version != version {
		return u.lost(fmt.Errorf("format version %d is unknown to this release", rec.version))
	}
	if rec.seq < u.atLeast {
		return u.lost(fmt.Errorf("the file is older than it was: sequence %d, expected %d", rec.seq, u.atLeast))
	}
	s, lost, err := decodeState(rec.payload)
	switch {
	case err != nil:
		return u.lost(err)
	case lost:
		return u.lost(errors.New("recorded as lost"))
	}
	if rec.boot != u.store.boot {
		s = s.AfterPowerCycle()
	}
	u.kept = content{rec.boot, bytes.Clone(rec.payload)}
	if err := u.mend(); err != nil {
		return pr.State{}, fmt.Errorf("cannot be mended: %w", err)
	}
	u.loaded = true
	return s, nil
}

// says reports whether two records are the same but for their place.
func (rec record) says(o record) bool {
	return rec.seq == o.seq && rec.version == o.version && rec.unit == o.unit && rec.boot == o.boot &&
		bytes.Equal(rec.payload, o.payload)
}

// lost makes u ready for the save that replaces what was lost, above every
// sequence that an intact slot shows.
func (u *unitFile) lost(why error) (pr.State, error) {
	u.kept = content{u.store.boot, lostPayload()}
	u.seq = max(u.seq, u.atLeast)
	u.acked = u.seq
	u.suspect = [2]bool{true, true}
	u.loaded = true
	u.slotSize = max(u.slotSize, u.store.slotSize)
	return pr.State{}, fmt.Errorf("%w: %w", pr.ErrLost, why)
}

// mend makes both slots say what was loaded, and gives a file that was made
// for fewer registrations its room.
func (u *unitFile) mend() error {
	if u.slotSize < u.store.slotSize {
		h, err := u.store.make(u.unit, record{version, u.seq + 1, u.unit, u.kept.boot, u.kept.payload})
		if err != nil {
			return err
		}
		u.h.Close()
		u.h, u.slotSize, u.suspect = h, u.store.slotSize, [2]bool{}
		u.seq++
	} else if u.suspect[0] || u.suspect[1] {
		if err := u.write(u.kept); err != nil {
			return err
		}
	}
	u.acked = u.seq
	return nil
}

// save writes s into both slots. If that fails it writes what was there.
func (u *unitFile) save(s pr.State, from pr.Revision) error {
	if !u.loaded || from != pr.Revision(u.acked) {
		return pr.ErrStale
	}
	payload, err := encodeState(s)
	if err != nil {
		return err
	}
	if headerSize+len(payload) > u.slotSize {
		return fmt.Errorf("%w: %d registrations", pr.ErrNoSpace, len(s.Registrations))
	}
	next := content{u.store.boot, payload}
	if err := u.write(next); err != nil {
		u.takeBack()
		return err
	}
	u.kept, u.acked = next, u.seq
	return nil
}

// write puts one new record into both slots, one after the other.
func (u *unitFile) write(c content) error {
	u.seq++
	for _, slot := range u.order() {
		if err := u.writeSlot(slot, c); err != nil {
			return err
		}
	}
	u.suspect = [2]bool{}
	return nil
}

// order puts a slot in doubt first, so that the one that is known to be good
// is not touched before there is another.
func (u *unitFile) order() [2]int {
	if u.suspect[1] && !u.suspect[0] {
		return [2]int{1, 0}
	}
	return [2]int{0, 1}
}

// writeSlot leaves the slot suspect, unless the medium refused before it
// changed anything.
func (u *unitFile) writeSlot(slot int, c content) error {
	rec := record{version, u.seq, u.unit, c.boot, c.payload}
	n, err := u.h.WriteAt(rec.encode(slot, u.slotSize), int64(slot)*int64(u.slotSize))
	if n > 0 || err == nil {
		u.suspect[slot] = true
	}
	if err != nil {
		return err
	}
	return u.h.Sync()
}

// takeBack follows a save that failed: the refused state may stand in a slot
// and must not be found after a restart. One slot with the old state under a
// higher sequence is enough. If neither can be written there is nothing more
// to be done; the next save tries again.
func (u *unitFile) takeBack() {
	if !u.suspect[0] && !u.suspect[1] {
		return
	}
	u.seq++
	for _, slot := range u.order() {
		if u.writeSlot(slot, u.kept) == nil {
			u.suspect[slot] = false
		}
	}
}

// slotRead is one slot as found.
type slotRead struct {
	rec   record
	err   error // why it cannot be used
	ioErr error // the medium did not deliver it; err is set too
}

// readSlots reads both slots. Slot 0 says how large they are; if it is
// damaged, half the file is tried, then the size that new files get.
func readSlots(h io.ReaderAt, fileSize int64, usual int) (slots [2]slotRead, slotSize int) {
	for _, n := range []int64{announcedSize(h), fileSize / 2, int64(usual)} {
		if n < blockSize || n > maxSlotSize || n%blockSize != 0 {
			continue
		}
		slotSize = int(n)
		for i := range slots {
			slots[i] = readSlot(h, i, slotSize)
		}
		if slots[0].err == nil || slots[1].err == nil {
			break
		}
	}
	return slots, slotSize
}

// announcedSize is the slot size that slot 0 claims, 0 if it claims nothing.
func announcedSize(h io.ReaderAt) int64 {
	var b [16]byte
	if _, err := h.ReadAt(b[:], 0); err != nil || string(b[:8]) != magic {
		return 0
	}
	return int64(binary.BigEndian.Uint32(b[12:]))
}

// readSlot reads no more than what the header says was written, and that only
// if it can be there.
func readSlot(h io.ReaderAt, slot, slotSize int) slotRead {
	at := int64(slot) * int64(slotSize)
	head := make([]byte, headerSize)
	n, err := h.ReadAt(head, at)
	if err == nil {
		size := binary.BigEndian.Uint32(head[152:])
		if int64(size) > int64(slotSize-headerSize) {
			return slotRead{err: errDamaged}
		}
		var rest []byte
		rest, err = io.ReadAll(io.NewSectionReader(h, at+headerSize, int64(size)))
		head = append(head, rest...)
		n += len(rest)
	}
	if err != nil && err != io.EOF {
		return slotRead{err: err, ioErr: err}
	}
	rec, err := decodeRecord(head[:n], slot, slotSize)
	return slotRead{rec: rec, err: err}
}
