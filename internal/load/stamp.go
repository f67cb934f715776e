package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A stamp fills one logical block with what tells it from every other one: run,
// session, sequence, LBA, then noise that depends on all of them, then a CRC32C.
//
//	0  magic   8   run   16  LBA   24  session   28  sequence   32 noise   n-4 CRC32C
const (
	stampMagic  = 0x6e61732d7374616d // "nas-stam"
	stampHeader = 32
	minStamp    = stampHeader + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type stamp struct {
	run, lba      uint64
	session, sequ uint32
}

// fill writes the stamp over b, one logical block.
func (s stamp) fill(b []byte) {
	binary.BigEndian.PutUint64(b[0:], stampMagic)
	binary.BigEndian.PutUint64(b[8:], s.run)
	binary.BigEndian.PutUint64(b[16:], s.lba)
	binary.BigEndian.PutUint32(b[24:], s.session)
	binary.BigEndian.PutUint32(b[28:], s.sequ)
	noise := rng(s.run ^ s.lba<<20 ^ uint64(s.session)<<48 ^ uint64(s.sequ))
	end := len(b) - 4
	for i := stampHeader; i+8 <= end; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], noise.next())
	}
	for i := stampHeader + (end-stampHeader)/8*8; i < end; i++ {
		b[i] = byte(noise.next())
	}
	binary.BigEndian.PutUint32(b[end:], crc32.Checksum(b[:end], castagnoli))
}

// explain says in words what a block holds instead of want.
func explain(b []byte, want stamp) string {
	end := len(b) - 4
	got := stamp{
		run: binary.BigEndian.Uint64(b[8:]), lba: binary.BigEndian.Uint64(b[16:]),
		session: binary.BigEndian.Uint32(b[24:]), sequ: binary.BigEndian.Uint32(b[28:]),
	}
	where := fmt.Sprintf("LBA %d of session %d, sequence %d", want.lba, want.session, want.sequ)
	switch {
	case len(bytes.Trim(b, "\x00")) == 0:
		return where + ": zeros"
	case binary.BigEndian.Uint64(b) != stampMagic:
		return fmt.Sprintf("%s: no stamp, starts with %x", where, b[:16])
	case got.run != want.run:
		return fmt.Sprintf("%s: stamp of another run (%x)", where, got.run)
	case crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]):
		return fmt.Sprintf("%s: torn or damaged block: header says LBA %d, session %d, sequence %d", where, got.lba, got.session, got.sequ)
	}
	return fmt.Sprintf("%s: whole block of LBA %d, session %d, sequence %d", where, got.lba, got.session, got.sequ)
}

const maxWrong = 10

// verifier is what a session wrote and must read back.
type verifier struct {
	run       uint64
	session   uint32
	blockSize int // logical block
	blocks    int // logical blocks per I/O
	from      uint64
	written   []uint32 // by place: sequence number acknowledged last; 0: never
	busy      []bool   // by place: an I/O is out
	filled    []uint64 // places that were written at least once
	sequ      uint32
	back      int // next of filled in the final pass; -1 before it
	scratch   []byte

	checked    uint64
	mismatches uint64
	wrong      []string
}

func newVerifier(w Workload, p pattern, session, blockSize int) *verifier {
	return &verifier{
		run: w.Seed, session: uint32(session), blockSize: blockSize, blocks: w.Block / blockSize,
		from: p.from, written: make([]uint32, p.places), busy: make([]bool, p.places),
		scratch: make([]byte, blockSize), back: -1,
	}
}

// choose picks the next I/O: in the run a fresh write or a read of something
// written, in the final pass each written place once. ok is false when there is
// nothing to do now.
func (v *verifier) choose(p *pattern, s *slot) (ok bool) {
	if v.back >= 0 {
		if v.back == len(v.filled) {
			return false
		}
		s.place, s.read = v.filled[v.back], true
		v.back++
		return true
	}
	s.read = len(v.filled) > 0 && p.rng.next()&1 == 0
	for range 8 { // a busy place is given up soon
		if s.read {
			s.place = v.filled[p.rng.below(uint64(len(v.filled)))]
		} else {
			s.place = p.place()
		}
		if !v.busy[s.place-v.from] {
			v.busy[s.place-v.from] = true
			return true
		}
	}
	return false
}

// prepare stamps the data of a write.
func (v *verifier) prepare(s *slot) {
	v.sequ++
	s.sequ = v.sequ
	for i := range v.blocks {
		v.at(s.place, i, s.sequ).fill(s.data[i*v.blockSize:][:v.blockSize])
	}
}

func (v *verifier) at(place uint64, i int, sequ uint32) stamp {
	return stamp{run: v.run, lba: place*uint64(v.blocks) + uint64(i), session: v.session, sequ: sequ}
}

// giveUp takes an I/O that the target did not execute. One of the final pass is
// done again.
func (v *verifier) giveUp(s *slot) {
	v.busy[s.place-v.from] = false
	if v.back >= 0 {
		v.filled = append(v.filled, s.place)
	}
}

// done takes the end of an I/O.
func (v *verifier) done(s *slot) {
	i := s.place - v.from
	v.busy[i] = false
	if !s.read {
		if v.written[i] == 0 {
			v.filled = append(v.filled, s.place)
		}
		v.written[i] = s.sequ
		return
	}
	for b := range v.blocks {
		want := v.at(s.place, b, v.written[i])
		want.fill(v.scratch)
		got := s.data[b*v.blockSize:][:v.blockSize]
		v.checked++
		if bytes.Equal(got, v.scratch) {
			continue
		}
		v.mismatches++
		if len(v.wrong) < maxWrong {
			v.wrong = append(v.wrong, explain(got, want))
		}
	}
}
