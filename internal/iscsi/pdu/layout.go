package pdu

import "errors"

// Digests says which digests a connection uses, §12.1.
type Digests struct{ Header, Data bool }

// Layout gives the place of each part of a PDU as offsets from its first byte,
// §11.1. A part that is absent has the offset of the next one. The largest
// PDU ends well below 1<<25, so nothing overflows.
type Layout struct {
	AHS          int // right behind the header, always BHSLen
	HeaderDigest int
	Data         int
	Pad          int
	DataDigest   int
	End          int
}

// Layout tells where the parts of the PDU with this header stand.
func (h *BHS) Layout(d Digests) Layout {
	l := Layout{AHS: BHSLen}
	l.HeaderDigest = l.AHS + h.AHSLength()
	l.Data = l.HeaderDigest
	if d.Header {
		l.Data += DigestLen
	}
	n := h.DataSegmentLength()
	l.Pad = l.Data + n
	l.DataDigest = l.Pad + Pad(n)
	l.End = l.DataDigest
	if d.Data && n > 0 {
		l.End += DigestLen
	}
	return l
}

// Len returns the bytes that the PDU with this header takes on the wire,
// padding and digests included.
func (h *BHS) Len(d Digests) int { return h.Layout(d).End }

// Frame is a whole PDU cut into its parts, which alias the buffer it was cut
// from.
type Frame struct {
	Header       *BHS
	AHS          []byte
	HeaderDigest []byte // empty or DigestLen bytes
	Data         []byte
	Padding      []byte
	DataDigest   []byte // empty or DigestLen bytes
}

// Errors of [SplitFrame] and [Frame.Verify].
var (
	ErrShortFrame   = errors.New("pdu: frame is cut short")
	ErrHeaderDigest = errors.New("pdu: header digest does not match")
	ErrDataDigest   = errors.New("pdu: data digest does not match")
)

// SplitFrame cuts the PDU at the start of b into its parts and returns the
// bytes behind it. It fails with ErrShortFrame if b ends within the PDU.
func SplitFrame(b []byte, d Digests) (f Frame, rest []byte, err error) {
	if len(b) < BHSLen {
		return Frame{}, b, ErrShortFrame
	}
	h := (*BHS)(b)
	l := h.Layout(d)
	if len(b) < l.End {
		return Frame{}, b, ErrShortFrame
	}
	return Frame{
		Header:       h,
		AHS:          b[l.AHS:l.HeaderDigest:l.HeaderDigest],
		HeaderDigest: b[l.HeaderDigest:l.Data:l.Data],
		Data:         b[l.Data:l.Pad:l.Pad],
		Padding:      b[l.Pad:l.DataDigest:l.DataDigest],
		DataDigest:   b[l.DataDigest:l.End:l.End],
	}, b[l.End:], nil
}

// Verify checks the digests the frame has.
func (f Frame) Verify() error {
	if len(f.HeaderDigest) == DigestLen &&
		WireDigest([DigestLen]byte(f.HeaderDigest)) != HeaderDigest(f.Header, f.AHS) {
		return ErrHeaderDigest
	}
	if len(f.DataDigest) == DigestLen &&
		WireDigest([DigestLen]byte(f.DataDigest)) != Digest(0).Update(f.Data).Update(f.Padding) {
		return ErrDataDigest
	}
	return nil
}

// AppendFrame appends a whole PDU: header, AHS, data, padding, and the digests
// asked for. It does not touch the lengths in the header, which may lie.
func AppendFrame(dst []byte, h *BHS, ahs, data []byte, d Digests) []byte {
	dst = append(dst, h[:]...)
	dst = append(dst, ahs...)
	if d.Header {
		dst = HeaderDigest(h, ahs).Append(dst)
	}
	dst = append(dst, data...)
	dst = append(dst, zeros[:Pad(len(data))]...)
	if d.Data && len(data) > 0 {
		dst = DataDigest(data).Append(dst)
	}
	return dst
}
