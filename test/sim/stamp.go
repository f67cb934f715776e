package sim

import (
	"encoding/binary"
	"fmt"
)

// BlockSize is the logical block size of every bench, in bytes.
const BlockSize = 512

// Stamp is what a host writes into every block: whose it is, when it was
// written and where it belongs.
type Stamp struct {
	Host  uint16 // who
	Epoch uint32 // round of the campaign
	Seq   uint32 // number of the write
	LBA   uint32 // where it was sent
}

const stampMagic = 0x7374616d // "stam"

// Blocks makes n blocks with s in each; s.LBA is that of the first.
func (s Stamp) Blocks(n int) []byte {
	p := make([]byte, n*BlockSize)
	for i := range n {
		b := p[i*BlockSize : (i+1)*BlockSize]
		binary.BigEndian.PutUint32(b, stampMagic)
		binary.BigEndian.PutUint16(b[4:], s.Host)
		binary.BigEndian.PutUint32(b[8:], s.Epoch)
		binary.BigEndian.PutUint32(b[12:], s.Seq)
		binary.BigEndian.PutUint32(b[16:], s.LBA+uint32(i))
		binary.BigEndian.PutUint32(b[20:], ^s.Seq)
		for n := 4; n < BlockSize-20; n *= 2 {
			copy(b[20+n:], b[20:20+n])
		}
	}
	return p
}

// ReadStamp reads the stamp of the block that p begins with; ok is false if
// there is none.
func ReadStamp(p []byte) (s Stamp, ok bool) {
	if len(p) < 20 || binary.BigEndian.Uint32(p) != stampMagic {
		return s, false
	}
	return Stamp{
		Host: binary.BigEndian.Uint16(p[4:]), Epoch: binary.BigEndian.Uint32(p[8:]),
		Seq: binary.BigEndian.Uint32(p[12:]), LBA: binary.BigEndian.Uint32(p[16:]),
	}, true
}

// Intact reports whether the block b is all of what its stamp says.
func Intact(b []byte) bool {
	s, ok := ReadStamp(b)
	return ok && string(b) == string(s.Blocks(1))
}

func (s Stamp) String() string {
	return fmt.Sprintf("host %d epoch %d write %d at %d", s.Host, s.Epoch, s.Seq, s.LBA)
}
