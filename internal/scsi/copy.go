package scsi

import (
	"errors"
	"sync/atomic"

	"nas-target/internal/pool"
	"nas-target/internal/pr"
)

// The copy manager: EXTENDED COPY and WRITE USING TOKEN move data between
// logical units without an initiator in between.
//
// A copy touches only units that are mapped for the nexus that asked for it.
// At each of them it is a guest: a task of that nexus, there from the first
// piece to the last, so that whoever aborts the nexus's tasks at that unit ends
// it. Each piece enters the gates of source and destination like a read and a
// write: a fence at either finds it there and waits, and the next piece meets
// the new rights. SPC-4 r36f 5.17.4, SBC-4 r22 4.17.

// copyRead and copyWrite stand for a copy at a unit: what it is to
// reservations, access states and write protection.
var (
	copyRead  = &Command{Name: "copy source", Access: pr.Read, Class: ClassCopy, size: 16}
	copyWrite = &Command{Name: "copy destination", Access: pr.Write, Class: ClassCopy, Flags: Writes, size: 16}
)

// copyBytes is one piece of a copy, in bytes.
const copyBytes = 4 << 20

// copyJob is a copy under way, for the task that asked for it.
type copyJob struct {
	t      *Task
	guests []*Task
}

// side is one end of a copy: a unit as the nexus sees it, and where, in bytes.
type side struct {
	x  *itl
	at int64
}

func (s side) extent(n int64) extent {
	shift := s.x.unit.conf.Load().shift
	return extent{uint64(s.at) >> shift, uint64(n) >> shift}
}

// sideError tells at which end a copy failed.
type sideError struct {
	at  *itl
	err error
}

func (e *sideError) Error() string { return e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }

func at(x *itl, err error) error {
	if err == nil {
		return nil
	}
	return &sideError{x, err}
}

// guest returns the job's guest at a unit, which joins the first time.
func (j *copyJob) guest(x *itl, row *Command) (*Task, error) {
	for _, g := range j.guests {
		if g.itl == x && g.cmd == row {
			return g, nil
		}
	}
	g := &Task{cmd: row, itl: x, unit: x.unit, conf: x.unit.conf.Load()}
	if err := x.wait(g, taskQueued); err != nil {
		return nil, err
	}
	j.guests = append(j.guests, g)
	return g, nil
}

// end sends the guests home.
func (j *copyJob) end() {
	for _, g := range j.guests {
		x := g.itl
		x.mu.Lock()
		if g.state != taskEnded {
			x.end(g)
		}
		x.mu.Unlock()
		g.unit.ended(g)
	}
}

// enter lets the guest of one side into the gate for one piece.
func (j *copyJob) enter(s side, row *Command, n int64) (*Task, error) {
	g, err := j.guest(s.x, row)
	if err == nil {
		err = s.x.enter(g, row.Access)
	}
	if err != nil {
		return nil, at(s.x, err)
	}
	g.conf = g.unit.conf.Load()
	if err = g.unit.ready(row, g); err == nil {
		err = g.unit.fits(row, g)
	}
	if e := s.extent(n); err == nil && !e.within(g.conf.blocks) {
		err = e.beyond(g.conf.blocks)
	}
	if err != nil {
		g.leave()
		return nil, at(s.x, err)
	}
	return g, nil
}

// leave ends a guest's piece. It reports errAborted if the guest has to go.
func (g *Task) leave() error {
	if g.itl.leave(g, true) {
		return errAborted
	}
	return nil
}

// copy moves n bytes from one side to the other and returns how many have
// arrived. valid, if not nil, tells whether what was read still counts. When
// it returns, the destination is not committed yet.
func (j *copyJob) copy(from, to side, n int64, valid func() error) (done int64, err error) {
	backwards := from.x.unit == to.x.unit && to.at > from.at && to.at < from.at+n
	for done < n {
		if err := j.t.goOn(); err != nil {
			return done, err
		}
		c := min(n-done, copyBytes)
		f, o := side{from.x, from.at + done}, side{to.x, to.at + done}
		if backwards { // or a later piece would read what an earlier one wrote
			f.at, o.at = from.at+n-done-c, to.at+n-done-c
		}
		moved, err := j.piece(f, o, c, !backwards, valid)
		if done += moved; err != nil {
			return done, err
		}
	}
	return done, nil
}

// piece moves one piece inside both gates, or the front of it, if it may be
// moved in parts.
func (j *copyJob) piece(from, to side, n int64, parts bool, valid func() error) (moved int64, err error) {
	src, err := j.enter(from, copyRead, n)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := src.leave(); err == nil {
			err = at(from.x, e)
		}
	}()
	dst, err := j.enter(to, copyWrite, n)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := dst.leave(); err == nil {
			err = at(to.x, e)
		}
	}()
	if valid == nil {
		valid = func() error { return nil }
	}
	if parts {
		moved, err := offload(from, to, n)
		if moved > 0 {
			j.t.begun = true
		}
		if err == nil && moved > 0 {
			err = valid()
		}
		if moved > 0 || err != nil {
			return moved, err
		}
	}
	return j.buffered(from, to, n, valid)
}

// offload has the storage copy: within one medium or between two that know
// each other. Nothing moved and no error means that it cannot.
func offload(from, to side, n int64) (moved int64, err error) {
	s, d := from.x.unit, to.x.unit
	if s == d && d.caps.copier == nil || s != d && d.caps.importer == nil {
		return 0, nil
	}
	defer shareBoth(s, from.extent(n), d, to.extent(n))()
	d.touch(to.extent(n))
	if s == d {
		moved, err = d.caps.copier.CopyRange(to.at, from.at, n)
	} else {
		moved, _, err = d.caps.importer.CopyFrom(s.medium, from.at, to.at, n)
	}
	d.wrote(int(moved))
	return moved, at(to.x, d.writeFailed(to.extent(n).lba, err))
}

// shareBoth shares the ranges of a copy and returns what gives them back. Of
// two units the one built first comes first, so that copies to and fro, and
// commands that lock, cannot wait for each other in a circle.
func shareBoth(s *Unit, from extent, d *Unit, to extent) func() {
	mask := func(u *Unit, e extent) uint64 { return stripes(e.lba, e.n, u.conf.Load().shift) }
	if s == d {
		slot := s.ranges.share(mask(s, from) | mask(d, to))
		return func() { s.ranges.unshare(slot) }
	}
	if d.born < s.born {
		s, d, from, to = d, s, to, from
	}
	one := s.ranges.share(mask(s, from))
	two := d.ranges.share(mask(d, to))
	return func() {
		d.ranges.unshare(two)
		s.ranges.unshare(one)
	}
}

var unitsBuilt atomic.Uint64

// buffered reads and writes through memory.
func (j *copyJob) buffered(from, to side, n int64, valid func() error) (int64, error) {
	buf := pool.Get(int(n))
	defer buf.Release()
	if err := from.x.unit.read(buf.B, from.extent(n).lba); err != nil {
		return 0, at(from.x, err)
	}
	if err := valid(); err != nil {
		return 0, err
	}
	u, e := to.x.unit, to.extent(n)
	if err := u.sharing(e, func() error { return u.put(buf.B, e.lba) }); err != nil {
		return 0, at(to.x, err)
	}
	j.t.begun = true
	return n, nil
}

// refusal is the end of the asking task, if err is one: its own abort, or the
// loss of its own right. Anything else happened to the copy.
func (j *copyJob) refusal(err error) (error, bool) {
	var s *sideError
	switch {
	case !errors.As(err, &s):
		return err, err == errAborted || err == errConflict || errors.Is(err, ErrFencedMidway)
	case s.at == j.t.itl && errors.Is(err, errConflict) && j.t.begun:
		return ErrFencedMidway, true
	case s.at == j.t.itl && errors.Is(err, errConflict):
		return errConflict, true
	}
	return nil, false
}
