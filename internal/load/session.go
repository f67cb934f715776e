package load

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"nas-target/internal/initiator"
)

// session is one logged-in socket under load. It belongs to one worker.
type session struct {
	fd        int
	lun       initiator.LUN
	params    initiator.Params
	block     int // bytes per I/O
	perIO     uint32
	percent   uint64 // of reads
	pattern   pattern
	shared    []byte          // payload of plain writes
	headers   [2][bhsLen]byte // SCSI Command templates: write, read
	sixteen   bool            // 16-byte CDBs
	immediate int             // bytes that go with a write command
	firstAll  int             // bytes that go without an R2T

	cmdSN, maxCmdSN, expStatSN uint32

	slots []slot
	free  []uint32
	in    incoming
	out   outgoing

	skims    bool   // payload is thrown away unread
	quota    uint64 // I/Os that may still be issued
	stopping bool   // issue no more
	blocked  bool   // the socket is full; epoll waits for room
	leaving  bool   // Logout Request queued
	left     bool   // Logout Response received
	verify   *verifier
	count    span // what is counted
	stats    stats
}

// span is the counted part of a run, as time since the start.
type span struct{ from, to time.Duration }

type stats struct {
	read, write Histogram
	bytes, busy uint64
	ios         uint64 // all, counted or not: for progress
	allBytes    uint64
	latency     time.Duration // sum of all
}

// slot is one outstanding command; its index is the ITT.
type slot struct {
	start time.Duration
	live  bool
	read  bool
	place uint64
	got   int
	sequ  uint32
	data  []byte // payload of a verified I/O
}

// newSession takes over a logged-in connection.
func newSession(o *Options, r *initiator.Raw, fd, index int, unit unitInfo) *session {
	s := &session{
		fd: fd, lun: initiator.FlatLUN(o.LUN), params: r.Params, block: o.Block,
		percent: uint64(o.ReadPercent),
		cmdSN:   r.CmdSN, maxCmdSN: r.CmdSN, expStatSN: r.ExpStatSN,
		slots: make([]slot, o.Depth), free: make([]uint32, o.Depth),
	}
	switch o.Kind {
	case Read, NoData:
		s.percent = 100
	case Write:
		s.percent = 0
	}
	for i := range s.free {
		s.free[i] = uint32(o.Depth - 1 - i)
	}
	s.in = incoming{
		header: r.Params.HeaderDigest, data: r.Params.DataDigest,
		check: r.Params.DataDigest && o.CheckDigests,
	}
	s.skims = o.Block >= skimSize && o.Kind != Verify
	s.quota = math.MaxUint64
	if n := uint64(o.Sessions); o.Count > 0 {
		s.quota = (o.Count + n - 1 - uint64(index)) / n
	}
	if o.Block > 0 {
		s.perIO = uint32(o.Block / unit.blockSize)
		s.pattern = newPattern(o.Workload, unit.places(o), index)
		last := (s.pattern.from + s.pattern.places) * uint64(s.perIO)
		s.sixteen = last > 1<<32 || s.perIO > 0xffff
	}
	if o.Kind == Verify {
		s.pattern.places = min(s.pattern.places, maxVerifyPlaces)
		s.verify = newVerifier(o.Workload, s.pattern, index, unit.blockSize)
		for i := range s.slots {
			s.slots[i].data = make([]byte, o.Block)
		}
	}
	s.limits()
	s.templates(o)
	return s
}

// maxVerifyPlaces bounds what one session remembers, and its final pass.
const maxVerifyPlaces = 1 << 14

// limits computes the unsolicited part of a write. RFC 7143 §4.2.5.2.
func (s *session) limits() {
	p := s.params
	if p.ImmediateData {
		s.immediate = min(p.FirstBurstLength, p.TargetMaxRecvDataSegment, s.block)
	}
	s.firstAll = s.immediate
	if !p.InitialR2T {
		s.firstAll = min(p.FirstBurstLength, s.block)
	}
}

// templates makes the two SCSI Commands that are patched for each I/O.
func (s *session) templates(o *Options) {
	flags := initiator.Flags(0)
	if o.FUA {
		flags = initiator.FUA
	}
	n := s.perIO
	// The builders count blocks from the data: n blocks of one byte.
	blocks := make([]byte, n)
	var read, write initiator.Cmd
	switch {
	case o.Kind == NoData:
		read = initiator.TestUnitReady()
	case s.sixteen:
		read = initiator.Read16(0, n, 0, 0)
		write = initiator.Write16(0, blocks, 1, flags)
	default:
		read = initiator.Read10(0, uint16(n), 0, 0)
		write = initiator.Write10(0, blocks, 1, flags)
	}
	r := initiator.SCSICommandPDU{
		Final: true, Read: s.block > 0, Attr: initiator.Simple, LUN: s.lun, EDTL: uint32(s.block), CDB: read.CDB,
	}.PDU()
	w := initiator.SCSICommandPDU{
		Final: s.firstAll == s.immediate, Write: true, Attr: initiator.Simple, LUN: s.lun,
		EDTL: uint32(s.block), CDB: write.CDB,
	}.PDU()
	w.SetDataLen(s.immediate)
	s.headers = [2][bhsLen]byte{w.BHS, r.BHS}
}

func (s *session) outstanding() int { return len(s.slots) - len(s.free) }

// issue starts as many I/Os as slots and window allow.
func (s *session) issue(now time.Duration) {
	for !s.stopping && s.quota > 0 && len(s.free) > 0 && int32(s.maxCmdSN-s.cmdSN) >= 0 {
		itt := s.free[len(s.free)-1]
		k := &s.slots[itt]
		if s.verify != nil {
			if !s.verify.choose(&s.pattern, k) {
				return
			}
		} else {
			k.read = s.percent == 100 || s.percent > 0 && s.pattern.rng.below(100) < s.percent
			if s.block > 0 {
				k.place = s.pattern.place()
			}
		}
		s.quota--
		s.free = s.free[:len(s.free)-1]
		k.live, k.got, k.start = true, 0, now
		s.command(itt, k)
	}
}

// command queues a SCSI Command with its unsolicited data.
func (s *session) command(itt uint32, k *slot) {
	which, immediate := 1, 0
	if !k.read {
		which, immediate = 0, s.immediate
		if s.verify != nil {
			s.verify.prepare(k)
		}
	}
	h := s.head(&s.headers[which], itt)
	binary.BigEndian.PutUint32(h[24:], s.cmdSN)
	s.cmdSN++
	lba := k.place * uint64(s.perIO)
	switch {
	case s.block == 0:
	case s.sixteen:
		binary.BigEndian.PutUint64(h[34:], lba)
	default:
		binary.BigEndian.PutUint32(h[34:], uint32(lba))
	}
	s.seal(h)
	if k.read {
		return
	}
	s.payload(s.data(k)[:immediate])
	s.dataOut(itt, initiator.NoTag, k, immediate, s.firstAll)
}

// head starts a PDU: header copied, tag and ExpStatSN set, room for the digest.
func (s *session) head(from *[bhsLen]byte, itt uint32) []byte {
	h := s.out.small(s.in.headLen())
	copy(h, from[:])
	binary.BigEndian.PutUint32(h[16:], itt)
	binary.BigEndian.PutUint32(h[28:], s.expStatSN)
	return h
}

// seal computes the header digest once the header is complete.
func (s *session) seal(h []byte) {
	if s.in.header {
		binary.LittleEndian.PutUint32(h[bhsLen:], crc32.Checksum(h[:bhsLen], castagnoli))
	}
}

// payload queues a data segment with padding and digest.
func (s *session) payload(data []byte) {
	if len(data) == 0 {
		return
	}
	s.out.payload(data)
	if pad := -len(data) & 3; pad > 0 {
		clear(s.out.small(pad))
	}
	if s.in.data {
		crc := crc32.Checksum(data, castagnoli)
		crc = crc32.Update(crc, castagnoli, zeroPad[:-len(data)&3])
		binary.LittleEndian.PutUint32(s.out.small(4), crc)
	}
}

var zeroPad [4]byte

func (s *session) data(k *slot) []byte {
	if s.verify != nil {
		return k.data
	}
	return s.shared
}

// dataOut queues the bytes from to to of a write. RFC 7143 §11.7.
func (s *session) dataOut(itt, ttt uint32, k *slot, from, to int) {
	for sn := uint32(0); from < to; sn++ {
		end := min(from+s.params.TargetMaxRecvDataSegment, to)
		var t [bhsLen]byte
		t[0] = byte(initiator.OpDataOut)
		if end == to {
			t[1] = 0x80
		}
		t[5], t[6], t[7] = byte((end-from)>>16), byte((end-from)>>8), byte(end-from)
		binary.BigEndian.PutUint64(t[8:], uint64(s.lun))
		binary.BigEndian.PutUint32(t[20:], ttt)
		binary.BigEndian.PutUint32(t[36:], sn)
		binary.BigEndian.PutUint32(t[40:], uint32(from))
		s.seal(s.head(&t, itt))
		s.payload(s.data(k)[from:end])
		from = end
	}
}

// slot finds the command an answer belongs to.
func (s *session) slot(itt uint32) (*slot, error) {
	if itt >= uint32(len(s.slots)) || !s.slots[itt].live {
		return nil, fmt.Errorf("load: %v for tag %#x, which is not out", s.in.opcode(), itt)
	}
	return &s.slots[itt], nil
}

// answerR2T sends what the target asks for.
func (s *session) answerR2T() error {
	itt := s.in.word(16)
	k, err := s.slot(itt)
	if err != nil {
		return err
	}
	off, n := int(s.in.word(40)), int(s.in.word(44))
	if k.read || n == 0 || off+n > s.block {
		return fmt.Errorf("load: R2T for %d bytes at %d of %d", n, off, s.block)
	}
	s.dataOut(itt, s.in.word(20), k, off, off+n)
	return nil
}

// answerPing answers a NOP-In of the target.
func (s *session) answerPing(ttt uint32) {
	p := initiator.NOPOutPDU{Immediate: true, ITT: initiator.NoTag, TTT: ttt}.PDU()
	copy(p.BHS[8:16], s.in.head[8:16])
	p.SetUint32(24, s.cmdSN)
	s.seal(s.head(&p.BHS, initiator.NoTag))
}

// leave queues the logout.
func (s *session) leave() {
	s.leaving = true
	p := initiator.LogoutPDU{Reason: initiator.LogoutSession}.PDU()
	p.SetUint32(24, s.cmdSN)
	s.cmdSN++
	s.seal(s.head(&p.BHS, uint32(len(s.slots))))
}

// ended takes the status of a command.
func (s *session) ended(itt uint32, k *slot, st initiator.Status, now time.Duration) error {
	k.live = false
	s.free = append(s.free, itt)
	if st != initiator.Good {
		return s.failed(k, st)
	}
	if s.in.head[1]&0x06 != 0 {
		return fmt.Errorf("load: residual of %d bytes for %d at LBA %d", s.in.word(44), s.block, k.place*uint64(s.perIO))
	}
	if k.read && k.got != s.block {
		return fmt.Errorf("load: GOOD after %d of %d bytes at LBA %d", k.got, s.block, k.place*uint64(s.perIO))
	}
	if s.verify != nil {
		s.verify.done(k)
	}
	took := now - k.start
	s.stats.ios++
	s.stats.allBytes += uint64(s.block)
	s.stats.latency += took
	if now < s.count.from || now > s.count.to {
		return nil
	}
	s.stats.bytes += uint64(s.block)
	if k.read {
		s.stats.read.Record(took)
	} else {
		s.stats.write.Record(took)
	}
	return nil
}

// failed decides about a bad status: full queues and unit attentions are tried
// again with another I/O, all else ends the run.
func (s *session) failed(k *slot, st initiator.Status) error {
	again := st == initiator.Busy || st == initiator.TaskSetFull
	var sense initiator.Sense
	if st == initiator.CheckCondition {
		sense = s.sense()
		again = sense.Key == initiator.UnitAttention
	}
	if again {
		s.stats.busy++
		if s.verify != nil {
			s.verify.giveUp(k)
		}
		return nil
	}
	what := "write"
	if k.read {
		what = "read"
	}
	if st == initiator.CheckCondition {
		return fmt.Errorf("load: %s at LBA %d: %v", what, k.place*uint64(s.perIO), sense)
	}
	return fmt.Errorf("load: %s at LBA %d: %v", what, k.place*uint64(s.perIO), st)
}
