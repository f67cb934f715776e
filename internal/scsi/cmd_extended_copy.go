package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"

	"nas-target/internal/pr"
)

// EXTENDED COPY(LID1): block device to block device, between units named by
// their page 83h designators. SPC-4 r36f 6.4.
func init() {
	register(Command{
		Op: 0x83, SA: 0x00, HasSA: true, Name: "EXTENDED COPY(LID1)", Access: pr.Write, Dir: DataOut, Flags: Slow, Class: ClassCopy,
		Usage: "83 00 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", Length: Field{10, 4},
		Run: runExtendedCopy,
	})
}

// Limits and codes, as RECEIVE COPY OPERATING PARAMETERS and page 8Fh tell them.
const (
	maxCSCDs            = 16
	maxSegments         = 64
	maxDescriptors      = maxCSCDs*cscdSize + maxSegments*segmentSize // bytes
	maxSegmentBytes     = 256 << 20
	maxCopies           = 64 // at once
	copyGranularity     = 9  // log2 of bytes
	segmentBlockToBlock = 0x02
	cscdIdentification  = 0xe4

	copyHeader  = 16
	cscdSize    = 32
	segmentSize = 28
)

// segment is one block to block descriptor.
type segment struct {
	from, to     int // CSCD indexes
	blocks       uint64
	ofTo         bool // blocks are the destination's
	fromLBA, lba uint64
}

func runExtendedCopy(t *Task) error {
	p := t.Out[:t.Need]
	if len(p) == 0 {
		return nil
	}
	list, err := parseCopyHeader(p)
	if err != nil {
		return err
	}
	cscds, segments, err := parseCopy(p)
	if err != nil {
		return err
	}
	work := func(r *copyResult) error { return t.extendedCopy(cscds, segments, r) }
	if list == nil {
		return work(&copyResult{})
	}
	return t.recorded(copyLID1|uint64(*list), work)
}

// parseCopyHeader judges the header and returns the list identifier, nil if
// nothing is to be kept.
func parseCopyHeader(p []byte) (list *uint8, err error) {
	if len(p) < copyHeader {
		return nil, ErrParameterListLength
	}
	cscds, segments := uint64(binary.BigEndian.Uint16(p[2:])), uint64(binary.BigEndian.Uint32(p[8:]))
	inline := uint64(binary.BigEndian.Uint32(p[12:]))
	switch usage := p[1] >> 3 & 3; {
	case inline != 0:
		return nil, ErrInlineData.AtData(12, 7)
	case cscds+segments > maxDescriptors, copyHeader+cscds+segments > uint64(len(p)):
		return nil, ErrParameterListLength
	case cscds%cscdSize != 0:
		return nil, ErrInvalidParameter.AtData(2, 7)
	case usage == 1:
		return nil, ErrInvalidParameter.AtData(1, 4)
	case usage == 3 && p[0] != 0:
		return nil, ErrInvalidParameter.AtData(0, 7)
	case usage == 3:
		return nil, nil
	}
	return &p[0], nil
}

// parseCopy reads the descriptors of a list whose header is sound.
func parseCopy(p []byte) (cscds [][]byte, segments []segment, err error) {
	n := int(binary.BigEndian.Uint16(p[2:])) / cscdSize
	if n > maxCSCDs {
		return nil, nil, ErrTooManyCSCDs
	}
	at := copyHeader
	for range n {
		d := p[at : at+cscdSize]
		if d[0] != cscdIdentification { // which leaves LU ID TYPE without meaning
			return nil, nil, ErrCSCDType.AtData(at, 7)
		}
		cscds = append(cscds, d)
		at += cscdSize
	}
	for end := at + int(binary.BigEndian.Uint32(p[8:])); at < end; at += segmentSize {
		if len(segments) == maxSegments {
			return nil, nil, ErrTooManySegments
		}
		d := p[at:end]
		switch {
		case d[0] != segmentBlockToBlock:
			return nil, nil, ErrSegmentType.AtData(at, 7)
		case len(d) < segmentSize:
			return nil, nil, ErrParameterListLength
		case binary.BigEndian.Uint16(d[2:]) != segmentSize-4:
			return nil, nil, ErrInvalidParameter.AtData(at+2, 7)
		}
		segments = append(segments, segment{
			from: int(binary.BigEndian.Uint16(d[4:])), to: int(binary.BigEndian.Uint16(d[6:])),
			ofTo: d[1]&0x02 != 0, blocks: uint64(binary.BigEndian.Uint16(d[10:])),
			fromLBA: binary.BigEndian.Uint64(d[12:]), lba: binary.BigEndian.Uint64(d[20:]),
		})
	}
	return cscds, segments, nil
}

// extendedCopy copies segment by segment. What goes wrong from here on is
// COPY ABORTED with the number of the segment.
func (t *Task) extendedCopy(cscds [][]byte, segments []segment, r *copyResult) error {
	j := &copyJob{t: t}
	defer j.end()
	for i, s := range segments {
		n, err := j.segment(cscds, s)
		r.count += uint64(n)
		if err != nil {
			return j.aborted(err, i)
		}
		r.segments++
	}
	for _, g := range j.guests {
		if g.cmd != copyWrite {
			continue
		}
		if err := g.unit.commit(false); err != nil {
			return j.aborted(at(g.itl, err), len(segments)-1)
		}
	}
	return nil
}

// aborted is the sense of a copy that failed in a segment.
func (j *copyJob) aborted(err error, segment int) error {
	if end, own := j.refusal(err); own {
		return end
	}
	var c *Check
	if errors.As(err, &c) && c.Key == KeyCopyAborted {
		return c.WithSegment(uint16(segment))
	}
	return ErrThirdParty.WithSegment(uint16(segment)).Because(err)
}

func (j *copyJob) segment(cscds [][]byte, s segment) (int64, error) {
	from, err := j.t.findCSCD(cscds, s.from)
	if err != nil {
		return 0, err
	}
	to, err := j.t.findCSCD(cscds, s.to)
	if err != nil {
		return 0, err
	}
	f, o := from.unit.conf.Load(), to.unit.conf.Load()
	size := s.blocks << f.shift
	if s.ofTo {
		size = s.blocks << o.shift
	}
	switch {
	case size%uint64(f.blockSize) != 0, size%uint64(o.blockSize) != 0,
		!extent{s.fromLBA, size >> f.shift}.within(f.blocks), !extent{s.lba, size >> o.shift}.within(o.blocks):
		return 0, ErrCopyAborted
	}
	return j.copy(side{from, int64(s.fromLBA) << f.shift}, side{to, int64(s.lba) << o.shift}, int64(size), nil)
}

// findCSCD finds the unit that a descriptor names among those that the nexus
// sees, and no other.
func (t *Task) findCSCD(cscds [][]byte, i int) (*itl, error) {
	const bitNUL = 0x20
	if i >= len(cscds) {
		return nil, ErrCSCDUnreachable
	}
	d := cscds[i]
	if d[1]&bitNUL != 0 {
		return nil, ErrCSCDNotReachable
	}
	v := t.itl.it.view.Load()
	for _, l := range v.luns {
		x := v.find(NewLUN(l))
		if !x.unit.named(d[4:28]) {
			continue
		}
		if size := binary.BigEndian.Uint32(d[28:]) & 0xffffff; d[1]&0x1f != 0 || size != 0 && size != x.unit.conf.Load().blockSize {
			return nil, ErrCSCDWrongType
		}
		return x, nil
	}
	return nil, ErrCSCDNotReachable
}

// named reports whether d, a designator of at most 20 bytes in a CSCD
// descriptor, is one of the unit's.
func (u *Unit) named(d []byte) bool {
	n := int(d[3])
	for p := appendUnitDesignators(nil, &u.id); len(p) > 0; p = p[4+int(p[3]):] {
		if n == int(p[3]) && n <= len(d)-4 && d[0]&0x0f == p[0]&0x0f && d[1]&0x3f == p[1]&0x3f && bytes.Equal(d[4:4+n], p[4:4+n]) {
			return true
		}
	}
	return false
}

// appendCSCD appends the identification descriptor of the unit: its first
// designator.
func (u *Unit) appendCSCD(b []byte) []byte {
	var d [cscdSize]byte
	d[0] = cscdIdentification
	name := appendUnitDesignators(nil, &u.id)
	copy(d[4:28], name[:4+int(name[3])])
	binary.BigEndian.PutUint32(d[28:], u.conf.Load().blockSize)
	return append(b, d[:]...)
}
