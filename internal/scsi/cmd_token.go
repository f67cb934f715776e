package scsi

import (
	"encoding/binary"
	"errors"
	"time"

	"nas-target/internal/pr"
)

// POPULATE TOKEN and WRITE USING TOKEN, the two halves of an offloaded copy.
// SBC-4 r22 5.12, 5.59. Both run in the foreground, IMMED or not: the answer
// comes when the work is done.
func init() {
	const usage = " 00 00 00 00 ff ff ff ff ff ff ff ff 3f 00"
	register(Command{
		Op: 0x83, SA: 0x10, HasSA: true, Name: "POPULATE TOKEN", Access: pr.Read, Dir: DataOut, Flags: Slow, Class: ClassCopy,
		Usage: "83 10" + usage, Length: Field{10, 4}, Run: runPopulateToken,
	})
	register(Command{
		Op: 0x83, SA: 0x11, HasSA: true, Name: "WRITE USING TOKEN", Access: pr.Write, Dir: DataOut, Flags: Slow | Writes, Class: ClassCopy,
		Usage: "83 11" + usage, Length: Field{10, 4}, Run: runWriteUsingToken,
	})
}

// listID is the list identifier of both.
func (t *Task) listID() uint64 { return uint64(binary.BigEndian.Uint32(t.CDB[6:])) }

// parseRanges reads block device range descriptors behind their two-byte
// length at p[at]: inside the unit, without overlap, and no more than one
// token may carry.
func (t *Task) parseRanges(p []byte, at int) (list []extent, total uint64, err error) {
	const size = 16
	n := int(binary.BigEndian.Uint16(p[at:]))
	switch {
	case n < size:
		return nil, 0, ErrInvalidParameter.AtData(at, 7)
	case at+2+n > len(p):
		return nil, 0, ErrParameterListLength
	case n/size > maxRODRanges:
		return nil, 0, ErrTooManySegments
	}
	for i := range n / size {
		d := p[at+2+i*size:]
		e := extent{binary.BigEndian.Uint64(d), uint64(binary.BigEndian.Uint32(d[8:]))}
		if !e.within(t.conf.blocks) {
			return nil, 0, e.beyond(t.conf.blocks)
		}
		for _, o := range list {
			if e.overlaps(o) {
				return nil, 0, ErrInvalidParameter.AtData(at+2+i*size, 7)
			}
		}
		if total += e.n; total > maxRODBytes>>t.conf.shift {
			return nil, 0, ErrInvalidParameter.AtData(at+2+i*size+8, 7)
		}
		list = append(list, e)
	}
	return list, total, nil
}

// tokenList returns the parameter list as far as its own length field, which
// counts what follows it, goes.
func (t *Task) tokenList(header, least int) ([]byte, error) {
	p := t.Out[:t.Need]
	if len(p) < header {
		return nil, ErrParameterListLength
	}
	n := int(binary.BigEndian.Uint16(p)) + 2
	switch {
	case n < least:
		return nil, ErrInvalidParameter.AtData(0, 7)
	case n > len(p):
		return nil, ErrParameterListLength
	}
	return p[:n], nil
}

func runPopulateToken(t *Task) error {
	const header, rangesAt, bitRTV = 16, 14, 0x02
	if t.Need == 0 {
		return nil
	}
	p, err := t.tokenList(header, 32)
	if err != nil {
		return err
	}
	idle := time.Duration(binary.BigEndian.Uint32(p[4:])) * time.Second
	switch {
	case idle == 0:
		idle = defaultRODIdle
	case idle > maxRODIdle:
		return ErrInvalidParameter.AtData(4, 7)
	}
	if kind := binary.BigEndian.Uint32(p[8:]); p[2]&bitRTV != 0 && kind != rodChangeVulnerable && kind != rodAnyPointInTime {
		return ErrInvalidParameter.AtData(8, 7)
	}
	ranges, total, err := t.parseRanges(p, rangesAt)
	if err != nil {
		return err
	}
	return t.recorded(t.listID(), func(r *copyResult) error {
		made, err := t.unit.newROD(ranges, idle)
		if err != nil {
			return err
		}
		r.count, r.token = total, made.token[:]
		return nil
	})
}

func runWriteUsingToken(t *Task) error {
	const header, tokenAt, rangesAt, bitDelete = 536, 16, 534, 0x02
	if t.Need == 0 {
		return nil
	}
	p, err := t.tokenList(header, 552)
	if err != nil {
		return err
	}
	ranges, total, err := t.parseRanges(p, rangesAt)
	if err != nil {
		return err
	}
	w := &tokenWrite{job: copyJob{t: t}, offset: binary.BigEndian.Uint64(p[8:]), total: total}
	if err := w.find(p[tokenAt : tokenAt+rodTokenSize]); err != nil {
		return err
	}
	return t.recorded(t.listID(), func(r *copyResult) error {
		defer w.job.end()
		err := w.run(ranges)
		r.count, r.partial = w.done, w.partial
		if err == nil && p[2]&bitDelete != 0 && w.rod != nil {
			w.rod.unit.rods.delete(w.rod)
		}
		return err
	})
}

// tokenWrite is a WRITE USING TOKEN under way.
type tokenWrite struct {
	job    copyJob
	rod    *rod // nil: the zero token
	from   *itl // where the token is from, as this nexus sees it
	offset uint64
	total  uint64 // blocks asked for

	done    uint64 // blocks written
	partial bool
}

// find judges the token. SBC-4 r22 5.59, SPC-4 r36f 5.17.6.5.
func (w *tokenWrite) find(token []byte) error {
	if binary.BigEndian.Uint16(token[6:]) != rodTokenLength {
		return ErrTokenLength
	}
	switch binary.BigEndian.Uint32(token) {
	case rodZero:
		return nil
	case rodChangeVulnerable:
	default:
		return ErrTokenType
	}
	t := w.job.t
	r, x, c := t.itl.it.findROD(token)
	if c != nil {
		return c
	}
	w.rod, w.from = r, x
	switch shift := t.conf.shift; {
	case x.unit.conf.Load().shift != shift:
		return ErrCSCDWrongType // its blocks are not ours
	case w.offset > uint64(r.bytes)>>shift:
		return ErrInvalidParameter.AtData(8, 7)
	}
	return nil
}

func (w *tokenWrite) run(ranges []extent) error {
	t, u := w.job.t, w.job.t.unit
	if w.rod == nil {
		for _, e := range ranges {
			if err := u.blank(t, e); err != nil {
				return err
			}
			w.done += e.n
		}
		return u.commit(false)
	}
	shift := t.conf.shift
	left := uint64(w.rod.bytes)>>shift - w.offset
	w.partial = w.total < left
	at := int64(w.offset) << shift
	for _, e := range ranges {
		e.n = min(e.n, left)
		n, err := w.fill(at, e)
		w.done += uint64(n) >> shift
		if err != nil {
			return w.failed(err)
		}
		at, left = at+n, left-e.n
	}
	if err := u.commit(false); err != nil {
		return err
	}
	if w.done < w.total {
		return w.underrun()
	}
	return nil
}

// blank makes an extent read as zeros, the cheapest way there is.
func (u *Unit) blank(t *Task, e extent) error {
	if u.conf.Load().thin {
		return u.discard(t, e)
	}
	return u.zero(t, e)
}

// fill copies into one extent what the token stands for from a byte offset on.
func (w *tokenWrite) fill(at int64, e extent) (done int64, err error) {
	t := w.job.t
	shift := t.conf.shift
	to, n := side{t.itl, int64(e.lba) << shift}, int64(e.n)<<shift
	for _, r := range w.rod.ranges {
		size := int64(r.n) << shift
		if at >= size {
			at -= size
			continue
		}
		c := min(n-done, size-at)
		moved, err := w.job.copy(side{w.from, int64(r.lba)<<shift + at}, side{to.x, to.at + done}, c, w.rod.valid)
		if done += moved; err != nil || done == n {
			return done, err
		}
		at = 0
	}
	return done, nil
}

// underrun tells that the token had less than was asked for.
func (w *tokenWrite) underrun() error {
	c := *ErrTokenUnderrun
	if w.done == 0 {
		c.Key = KeyIllegalRequest
	}
	return c.WithInfo(w.done)
}

// failed is the sense of a copy that broke off: what happened at this unit as
// it is, what happened at the other end as that.
func (w *tokenWrite) failed(err error) error {
	if end, own := w.job.refusal(err); own {
		return end
	}
	var s *sideError
	var c *Check
	elsewhere := errors.As(err, &s) && s.at != w.job.t.itl
	if !elsewhere && errors.As(err, &c) {
		return c
	}
	return ErrThirdParty.WithInfo(w.done).Because(err)
}
