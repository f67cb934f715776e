package initiator

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest is the CRC32C of its arguments as four wire bytes: the reflected value
// is stored with its least significant byte first. RFC 7143 §13.1.
func digest(parts ...[]byte) [4]byte {
	var c uint32
	for _, p := range parts {
		c = crc32.Update(c, castagnoli, p)
	}
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], c)
	return b
}

func pad4(n int) int { return -n & 3 }

var zeroPad [4]byte

// Fault selects deliberate damage in an encoded PDU.
type Fault uint8

const (
	// CorruptHeaderDigest flips one bit of the header digest.
	CorruptHeaderDigest Fault = 1 << iota
	// CorruptDataDigest flips one bit of the data digest.
	CorruptDataDigest
	// KeepLengths leaves DataSegmentLength and TotalAHSLength as the caller
	// wrote them, whatever AHS and Data hold.
	KeepLengths
	// NoPadding leaves the data segment unpadded.
	NoPadding
	// DirtyPadding pads with ff instead of zero.
	DirtyPadding
	// KeepExpStatSN keeps the writer of a session from filling in ExpStatSN.
	KeepExpStatSN
)

// Encoding says how a PDU becomes bytes.
type Encoding struct {
	HeaderDigest, DataDigest bool
	Fault                    Fault
}

// head fixes the length fields of p and appends header, AHS and header digest.
func (e Encoding) head(b []byte, p *PDU) []byte {
	if e.Fault&KeepLengths == 0 {
		p.SetDataLen(len(p.Data))
		p.BHS[4] = byte(len(p.AHS) / 4)
	}
	start := len(b)
	b = append(b, p.BHS[:]...)
	b = append(b, p.AHS...)
	if e.HeaderDigest {
		d := digest(b[start:])
		if e.Fault&CorruptHeaderDigest != 0 {
			d[1] ^= 0x10
		}
		b = append(b, d[:]...)
	}
	return b
}

// tail appends padding and data digest, which follow p.Data on the wire.
func (e Encoding) tail(b []byte, p *PDU) []byte {
	if len(p.Data) == 0 {
		return b
	}
	pad := zeroPad[:pad4(len(p.Data))]
	switch {
	case e.Fault&NoPadding != 0:
		pad = nil
	case e.Fault&DirtyPadding != 0:
		pad = []byte{0xff, 0xff, 0xff}[:len(pad)]
	}
	b = append(b, pad...)
	if e.DataDigest {
		d := digest(p.Data, pad)
		if e.Fault&CorruptDataDigest != 0 {
			d[2] ^= 0x01
		}
		b = append(b, d[:]...)
	}
	return b
}

// Append encodes p behind b.
func (e Encoding) Append(b []byte, p *PDU) []byte {
	b = e.head(b, p)
	b = append(b, p.Data...)
	return e.tail(b, p)
}

// FrameError is a PDU that cannot be read: what follows on the connection has
// no meaning any more. RFC 7143 §7.7, §7.8.
type FrameError struct {
	Rule   Rule
	Detail string
	Header [bhsLen]byte
}

func (e *FrameError) Error() string { return fmt.Sprintf("%s: %s", e.Rule, e.Detail) }

// framer reads PDUs. It belongs to one goroutine.
type framer struct {
	r                        *bufio.Reader
	headerDigest, dataDigest bool
	maxData                  int // limit of a data segment: what we declared
	scratch                  []byte
	soft                     func(Rule, *PDU, string) // deviations that do not stop the reading
}

// read returns the next PDU. With reuse, its Data is valid until the next call.
// io.EOF is returned only between PDUs.
func (f *framer) read(p *PDU, reuse func(*PDU) bool) error {
	if _, err := io.ReadFull(f.r, p.BHS[:]); err != nil {
		return err
	}
	fail := func(r Rule, format string, args ...any) error {
		return &FrameError{Rule: r, Detail: fmt.Sprintf(format, args...), Header: p.BHS}
	}
	inner := func(err error) error {
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	n := p.DataLen()
	if n > f.maxData {
		return fail(RuleDataSegmentLength, "%v carries %d bytes, MaxRecvDataSegmentLength is %d", p.Opcode(), n, f.maxData)
	}
	p.AHS, p.Data = nil, nil
	if a := p.AHSLen(); a > 0 {
		p.AHS = make([]byte, a)
		if _, err := io.ReadFull(f.r, p.AHS); err != nil {
			return inner(err)
		}
	}
	var d [4]byte
	if f.headerDigest {
		if _, err := io.ReadFull(f.r, d[:]); err != nil {
			return inner(err)
		}
		if want := digest(p.BHS[:], p.AHS); d != want {
			return fail(RuleHeaderDigest, "header digest %x, computed %x", d, want)
		}
	}
	if n == 0 {
		return nil
	}
	total := n + pad4(n)
	var buf []byte
	if reuse != nil && reuse(p) {
		if cap(f.scratch) < total {
			f.scratch = make([]byte, total)
		}
		buf = f.scratch[:total]
	} else {
		buf = make([]byte, total)
	}
	if _, err := io.ReadFull(f.r, buf); err != nil {
		return inner(err)
	}
	if f.dataDigest {
		if _, err := io.ReadFull(f.r, d[:]); err != nil {
			return inner(err)
		}
		if want := digest(buf); d != want {
			return fail(RuleDataDigest, "data digest %x, computed %x", d, want)
		}
	}
	p.Data = buf[:n:n]
	for _, b := range buf[n:] {
		if b != 0 {
			f.soft(RulePadding, p, fmt.Sprintf("padding %x", buf[n:]))
			break
		}
	}
	return nil
}
