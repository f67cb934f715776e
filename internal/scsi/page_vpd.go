package scsi

import (
	"encoding/binary"
	"slices"
)

// vpdPage is one row of vital product data. SPC-4 r36f 7.8.
type vpdPage struct {
	Code uint8
	Name string
	// Enabled tells whether the unit has the page; nil: always.
	Enabled func(u *Unit) bool
	// Append appends what follows the four-byte header.
	Append func(b []byte, t *Task) []byte
}

var vpdPages []*vpdPage // by ascending code

func registerVPD(p vpdPage) {
	vpdPages = append(vpdPages, &p)
	slices.SortFunc(vpdPages, func(a, b *vpdPage) int { return int(a.Code) - int(b.Code) })
}

func (p *vpdPage) of(u *Unit) bool { return p.Enabled == nil || p.Enabled(u) }

// Page 00h: the codes of all pages, this one included. SPC-4 r36f 7.8.15.
func init() {
	registerVPD(vpdPage{Code: 0x00, Name: "Supported VPD Pages", Append: func(b []byte, t *Task) []byte {
		for _, p := range vpdPages {
			if p.of(t.unit) {
				b = append(b, p.Code)
			}
		}
		return b
	}})
}

// vpd builds the page with a code, nil if the unit has none such.
func (t *Task) vpd(code uint8) []byte {
	for _, p := range vpdPages {
		if p.Code == code && p.of(t.unit) {
			b := p.Append([]byte{t.peripheral(), code, 0, 0}, t)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
			return b
		}
	}
	return nil
}

// padded appends s cut or filled with spaces to n characters; what is not
// printable ASCII becomes a space. SPC-4 r36f 4.3.1.
func padded(b []byte, s string, n int) []byte {
	for i := range n {
		c := byte(' ')
		if i < len(s) && s[i] > 0x20 && s[i] < 0x7f {
			c = s[i]
		}
		b = append(b, c)
	}
	return b
}
