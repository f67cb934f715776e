package prstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"nas-target/internal/pr"
)

// A record, in one slot of a file. All numbers are big-endian. The header
// keeps its layout in every version; a version is about the payload.
//
//	  0   8  magic
//	  8   2  format version
//	 10   2  slot, 0 or 1
//	 12   4  slot size
//	 16   8  sequence
//	 24  64  unit, padded with zeros
//	 88  64  boot id, padded with zeros
//	152   4  payload length
//	156   4  zero
//	160  32  SHA-256 of bytes 0 to 159 and the payload
//	192      payload, then zeros to a multiple of 4096
const (
	magic      = "NTPRSLOT"
	version    = 1
	headerSize = 192
	hashAt     = 160
	nameSize   = 64 // of the unit and the boot id
	blockSize  = 4096

	maxSlotSize = 64 << 20 // of a file that announces its own
)

// The payload of version 1:
//
//	0  1  flags: bit 0 APTPL, bit 7 the information was lost
//	1  1  type of the reservation, 0 for none
//	2  4  PRGENERATION
//	6  4  index of the holder, noHolder if none or all
//	10 4  number of registrations, each:
//	      1 flags (bit 0 ALL_TG_PT), 8 key, 2 length and initiator port name,
//	      2 length and target port name
const (
	flagAPTPL = 0x01
	flagLost  = 0x80

	flagAllPorts = 0x01

	noHolder = math.MaxUint32

	payloadHead     = 14
	registrationMax = 1 + 8 + 2 + pr.MaxPortName + 2 + pr.MaxPortName
)

// SlotSizeFor returns the slot size, in bytes, that holds n registrations with
// the longest names.
func SlotSizeFor(n int) int {
	size := headerSize + payloadHead + n*registrationMax
	return (size + blockSize - 1) / blockSize * blockSize
}

// record is a decoded slot.
type record struct {
	version uint16
	seq     uint64
	unit    string
	boot    string
	payload []byte
}

var (
	errBlank    = errors.New("slot was never written")
	errDamaged  = errors.New("slot is damaged")
	errMisplace = errors.New("slot belongs to another place")
)

// encode returns rec as the bytes of a slot, padded to whole blocks. The
// payload must fit.
func (rec record) encode(slot, slotSize int) []byte {
	n := headerSize + len(rec.payload)
	b := make([]byte, (n+blockSize-1)/blockSize*blockSize)
	copy(b, magic)
	binary.BigEndian.PutUint16(b[8:], rec.version)
	binary.BigEndian.PutUint16(b[10:], uint16(slot))
	binary.BigEndian.PutUint32(b[12:], uint32(slotSize))
	binary.BigEndian.PutUint64(b[16:], rec.seq)
	copy(b[24:24+nameSize], rec.unit)
	copy(b[88:88+nameSize], rec.boot)
	binary.BigEndian.PutUint32(b[152:], uint32(len(rec.payload)))
	copy(b[headerSize:], rec.payload)
	sum := digest(b, rec.payload)
	copy(b[hashAt:], sum[:])
	return b
}

func digest(header, payload []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(header[:hashAt])
	h.Write(payload)
	return [sha256.Size]byte(h.Sum(nil))
}

// decodeRecord reads a slot of the given place. b is the whole slot, or less
// if the file is short.
func decodeRecord(b []byte, slot, slotSize int) (record, error) {
	if len(b) < headerSize || string(b[:8]) != magic {
		if len(bytes.Trim(b[:min(len(b), headerSize)], "\x00")) == 0 {
			return record{}, errBlank
		}
		return record{}, errDamaged
	}
	n := binary.BigEndian.Uint32(b[152:])
	if uint64(n) > uint64(len(b)-headerSize) {
		return record{}, errDamaged
	}
	payload := b[headerSize : headerSize+n]
	if sum := digest(b, payload); !bytes.Equal(sum[:], b[hashAt:headerSize]) {
		return record{}, errDamaged
	}
	rec := record{
		version: binary.BigEndian.Uint16(b[8:]),
		seq:     binary.BigEndian.Uint64(b[16:]),
		unit:    string(bytes.TrimRight(b[24:24+nameSize], "\x00")),
		boot:    string(bytes.TrimRight(b[88:88+nameSize], "\x00")),
		payload: payload,
	}
	if int(binary.BigEndian.Uint16(b[10:])) != slot || int64(binary.BigEndian.Uint32(b[12:])) != int64(slotSize) {
		return record{}, errMisplace
	}
	if rec.seq == 0 || rec.seq == math.MaxUint64 {
		return record{}, errDamaged // no save ever wrote it
	}
	return rec, nil
}

// lostPayload says that the information was lost and not yet replaced.
func lostPayload() []byte {
	b := make([]byte, payloadHead)
	b[0] = flagLost
	binary.BigEndian.PutUint32(b[6:], noHolder)
	return b
}

// encodeState returns the payload of s.
func encodeState(s pr.State) ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	b := make([]byte, payloadHead, payloadHead+len(s.Registrations)*128)
	if s.APTPL {
		b[0] |= flagAPTPL
	}
	b[1] = byte(s.Reservation.Type)
	binary.BigEndian.PutUint32(b[2:], s.Generation)
	holder := uint32(noHolder)
	for i, r := range s.Registrations {
		if r.Nexus == s.Reservation.Holder {
			holder = uint32(i)
		}
		var flags byte
		if r.AllTargetPorts {
			flags |= flagAllPorts
		}
		b = append(b, flags)
		b = binary.BigEndian.AppendUint64(b, uint64(r.Key))
		b = appendString(b, r.Initiator)
		b = appendString(b, r.Target)
	}
	binary.BigEndian.PutUint32(b[6:], holder)
	binary.BigEndian.PutUint32(b[10:], uint32(len(s.Registrations)))
	return b, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// decodeState reads a payload. lost means that it says so itself.
func decodeState(b []byte) (s pr.State, lost bool, err error) {
	if len(b) < payloadHead {
		return pr.State{}, false, errDamaged
	}
	flags := b[0]
	if flags == flagLost {
		return pr.State{}, true, nil
	}
	if flags&^flagAPTPL != 0 {
		return pr.State{}, false, errDamaged
	}
	s.APTPL = flags&flagAPTPL != 0
	s.Reservation.Type = pr.Type(b[1])
	s.Generation = binary.BigEndian.Uint32(b[2:])
	holder := binary.BigEndian.Uint32(b[6:])
	count := binary.BigEndian.Uint32(b[10:])
	b = b[payloadHead:]
	if uint64(count) > uint64(len(b)) {
		return pr.State{}, false, errDamaged
	}
	for range count {
		var r pr.Registration
		if len(b) < 9 || b[0]&^flagAllPorts != 0 {
			return pr.State{}, false, errDamaged
		}
		r.AllTargetPorts = b[0]&flagAllPorts != 0
		r.Key = pr.Key(binary.BigEndian.Uint64(b[1:]))
		b = b[9:]
		var ok1, ok2 bool
		r.Initiator, b, ok1 = cutString(b)
		r.Target, b, ok2 = cutString(b)
		if !ok1 || !ok2 {
			return pr.State{}, false, errDamaged
		}
		s.Registrations = append(s.Registrations, r)
	}
	if len(b) != 0 {
		return pr.State{}, false, errDamaged
	}
	if holder != noHolder {
		if uint64(holder) >= uint64(len(s.Registrations)) {
			return pr.State{}, false, errDamaged
		}
		s.Reservation.Holder = s.Registrations[holder].Nexus
	}
	if err := s.Check(); err != nil {
		return pr.State{}, false, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return s, false, nil
}

func cutString(b []byte) (string, []byte, bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return "", nil, false
	}
	return string(b[2 : 2+n]), b[2+n:], true
}
