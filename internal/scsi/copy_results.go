package scsi

import (
	"encoding/binary"
	"slices"

	"nas-target/internal/pr"
)

// What a copy leaves for its nexus to ask about, by list identifier.

// copyResult is one copy operation.
type copyResult struct {
	list    uint64 // list identifier, and copyLID1 for the short ones
	sa      uint8  // the service action that began it
	running bool

	status   Status
	sense    []byte
	segments uint16
	count    uint64 // LID1: bytes; else blocks of the unit
	partial  bool   // less than the token stands for was used
	token    []byte
}

// copyLID1 marks one-byte list identifiers, which are a name space of their own.
const copyLID1 = 1 << 32

// maxCopyResults bounds what one nexus may have kept at one unit; the oldest
// goes first.
const maxCopyResults = 64

// recorded does a copy operation and keeps its result, which work fills, under
// its list identifier. What was there before is forgotten.
func (t *Task) recorded(list uint64, work func(*copyResult) error) (err error) {
	r, err := t.beginCopy(list)
	if err != nil {
		return err
	}
	var result copyResult
	err = ErrInternal // should work panic
	defer func() { t.endCopy(r, result, err) }()
	err = work(&result)
	return err
}

func (t *Task) beginCopy(list uint64) (*copyResult, error) {
	x := t.itl
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.copies {
		if r.list == list && r.running {
			return nil, ErrOperationInProgress
		}
	}
	x.copies = slices.DeleteFunc(x.copies, func(r *copyResult) bool { return r.list == list })
	for i, r := range x.copies {
		if len(x.copies) < maxCopyResults {
			break
		}
		if !r.running {
			x.copies = slices.Delete(x.copies, i, i+1)
			break
		}
	}
	r := &copyResult{list: list, sa: t.CDB[1] & 0x1f, running: true}
	x.copies = append(x.copies, r)
	return r, nil
}

func (t *Task) endCopy(r *copyResult, result copyResult, err error) {
	result.list, result.sa = r.list, r.sa
	switch e := err.(type) {
	case nil:
		result.status = Good
	case *Check:
		result.status = CheckCondition
		result.sense = e.AppendSense(nil, t.conf.descriptorSense)
	default:
		result.status = TaskAborted
	}
	t.itl.mu.Lock()
	defer t.itl.mu.Unlock()
	*r = result
}

// forgetCopies drops what has ended. x.mu is held.
func (x *itl) forgetCopies() {
	x.copies = slices.DeleteFunc(x.copies, func(r *copyResult) bool { return !r.running })
}

// copyOf returns the result under a list identifier, as of now.
func (x *itl) copyOf(list uint64) (copyResult, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.copies {
		if r.list == list {
			return *r, true
		}
	}
	return copyResult{}, false
}

// RECEIVE COPY STATUS, DATA, OPERATING PARAMETERS and FAILURE DETAILS (LID1),
// RECEIVE COPY STATUS (LID4) and RECEIVE ROD TOKEN INFORMATION. SPC-4 r36f
// 6.23 to 6.30, SBC-4 r22 5.25.
func init() {
	receive := func(sa uint16, name, usage string, run func(*Task) error) {
		register(Command{
			Op: 0x84, SA: sa, HasSA: true, Name: name, Access: pr.Status, Dir: DataIn, Class: ClassCopy,
			Usage: usage, Length: Field{10, 4}, Run: run,
		})
	}
	const lid1, lid4 = " ff 00 00 00 00 00 00 00 ff ff ff ff 00 00", " ff ff ff ff 00 00 00 00 ff ff ff ff 00 00"
	receive(0x00, "RECEIVE COPY STATUS(LID1)", "84 00"+lid1, runCopyStatus)
	receive(0x01, "RECEIVE COPY DATA(LID1)", "84 01"+lid1, runCopyData)
	receive(0x03, "RECEIVE COPY OPERATING PARAMETERS", "84 03 00 00 00 00 00 00 00 00 ff ff ff ff 00 00", runCopyParameters)
	receive(0x04, "RECEIVE COPY FAILURE DETAILS(LID1)", "84 04"+lid1, runCopyFailure)
	receive(0x05, "RECEIVE COPY STATUS(LID4)", "84 05"+lid4, func(t *Task) error { return t.rodInformation(false) })
	receive(0x07, "RECEIVE ROD TOKEN INFORMATION", "84 07"+lid4, func(t *Task) error { return t.rodInformation(true) })
}

// lid1 finds the copy that the CDB of a LID1 command names.
func (t *Task) lid1() (copyResult, error) {
	r, ok := t.itl.copyOf(copyLID1 | uint64(t.CDB[2]))
	if !ok {
		return r, ErrInvalidField.AtCDB(2, 7)
	}
	return r, nil
}

func runCopyStatus(t *Task) error {
	const inProgress, ended, failed = 0, 1, 2
	r, err := t.lid1()
	if err != nil {
		return err
	}
	b := [12]byte{3: 8, 4: ended}
	switch {
	case r.running:
		b[4] = inProgress
	case r.status != Good:
		b[4] = failed
	}
	binary.BigEndian.PutUint16(b[5:], r.segments)
	const kib = 1
	b[7] = kib
	binary.BigEndian.PutUint32(b[8:], uint32(min(r.count>>10, 0xffffffff)))
	t.reply(b[:])
	return nil
}

// runCopyData has nothing: no segment that we copy leaves data to hold.
func runCopyData(t *Task) error {
	if _, err := t.lid1(); err != nil {
		return err
	}
	t.reply(make([]byte, 4))
	return nil
}

func runCopyFailure(t *Task) error {
	r, err := t.lid1()
	switch {
	case err != nil:
		return err
	case r.running || r.status == Good:
		t.reply(make([]byte, 4))
		return nil
	}
	b := make([]byte, 60, 60+len(r.sense))
	b[56] = byte(r.status)
	binary.BigEndian.PutUint16(b[58:], uint16(len(r.sense)))
	b = append(b, r.sense...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	t.reply(b)
	return nil
}

func runCopyParameters(t *Task) error {
	const snlid = 0x01 // a copy without a list identifier is possible
	b := make([]byte, 44, 46)
	b[4] = snlid
	binary.BigEndian.PutUint16(b[8:], maxCSCDs)
	binary.BigEndian.PutUint16(b[10:], maxSegments)
	binary.BigEndian.PutUint32(b[12:], maxDescriptors)
	binary.BigEndian.PutUint32(b[16:], maxSegmentBytes)
	binary.BigEndian.PutUint16(b[34:], maxCopies)
	b[36] = maxCopies
	b[37] = copyGranularity
	b = append(b, segmentBlockToBlock, cscdIdentification)
	b[43] = byte(len(b) - 44)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	t.reply(b)
	return nil
}

// rodInformation tells how a POPULATE TOKEN or WRITE USING TOKEN went, with
// the token if there is one and it is asked for.
func (t *Task) rodInformation(withToken bool) error {
	const (
		ok, failed, partial, foreground = 0x01, 0x02, 0x03, 0x11
		blocks                          = 0xf1
		never                           = 0xfffffffe
		fieldLength                     = 32 // room for the sense data
	)
	r, found := t.itl.copyOf(uint64(binary.BigEndian.Uint32(t.CDB[2:])))
	if !found {
		return ErrInvalidField.AtCDB(2, 7)
	}
	b := make([]byte, 32, 32+fieldLength+6+rodTokenSize)
	b[4], b[5] = r.sa, ok
	binary.BigEndian.PutUint32(b[8:], never)
	switch {
	case r.running:
		b[5] = foreground
		binary.BigEndian.PutUint32(b[8:], 100)
	case r.status != Good:
		b[5] = failed
	case r.partial:
		b[5] = partial
	}
	b[12] = byte(r.status)
	if len(r.sense) > 0 {
		b[13], b[14] = fieldLength, byte(len(r.sense))
		b = append(b, r.sense...)
		b = b[:32+fieldLength]
	}
	b[15] = blocks
	binary.BigEndian.PutUint64(b[16:], r.count)
	if withToken {
		n := 0
		if len(r.token) > 0 {
			n = 2 + len(r.token)
		}
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		if n > 0 {
			b = append(append(b, 0, 0), r.token...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	t.reply(b)
	return nil
}
