package initiator

import (
	"context"
	"encoding/binary"
)

// Mode page control. SPC-4 r36f 6.11.
const (
	ModeCurrent    uint8 = 0
	ModeChangeable uint8 = 1
	ModeDefault    uint8 = 2
	ModeSaved      uint8 = 3
)

// Mode pages.
const (
	PageReadWriteError uint8 = 0x01
	PageCaching        uint8 = 0x08
	PageControl        uint8 = 0x0a
	PageInfoExceptions uint8 = 0x1c
	PageAll            uint8 = 0x3f
)

// ModeSense6 is MODE SENSE (6).
func ModeSense6(pc, page, subpage uint8, dbd bool, alloc uint8) Cmd {
	return dataIn(int(alloc), []byte{0x1a, bit(dbd, 3), pc<<6 | page&0x3f, subpage, alloc, 0})
}

// ModeSense10 is MODE SENSE (10).
func ModeSense10(pc, page, subpage uint8, dbd, llbaa bool, alloc uint16) Cmd {
	c := make([]byte, 10)
	c[0], c[1], c[2], c[3] = 0x5a, bit(llbaa, 4)|bit(dbd, 3), pc<<6|page&0x3f, subpage
	binary.BigEndian.PutUint16(c[7:], alloc)
	return dataIn(int(alloc), c)
}

// ModeSelect6 sends a whole parameter list, header included.
func ModeSelect6(pf, sp bool, list []byte) Cmd {
	return dataOut(list, []byte{0x15, bit(pf, 4) | bit(sp, 0), 0, 0, byte(len(list)), 0})
}

// ModeSelect10 sends a whole parameter list, header included.
func ModeSelect10(pf, sp bool, list []byte) Cmd {
	c := make([]byte, 10)
	c[0], c[1] = 0x55, bit(pf, 4)|bit(sp, 0)
	binary.BigEndian.PutUint16(c[7:], uint16(len(list)))
	return dataOut(list, c)
}

// ModePage is one page of MODE SENSE, header included in Raw.
type ModePage struct {
	Page, Subpage uint8
	Savable       bool
	Raw           []byte
}

// ModeData is what MODE SENSE returns. SPC-4 r36f 7.5.
type ModeData struct {
	WriteProtected, DPOFUA bool
	BlockDescriptor        []byte
	Pages                  []ModePage
}

// Find returns a page.
func (m ModeData) Find(page, subpage uint8) (ModePage, bool) {
	for _, p := range m.Pages {
		if p.Page == page && p.Subpage == subpage {
			return p, true
		}
	}
	return ModePage{}, false
}

// ModeSense runs MODE SENSE (10) and decodes the pages.
func (u *Unit) ModeSense(ctx context.Context, pc, page, subpage uint8) (ModeData, error) {
	r, err := u.Run(ctx, ModeSense10(pc, page, subpage, false, false, 1024))
	if err != nil {
		return ModeData{}, err
	}
	return DecodeMode10(r.Data)
}

// DecodeMode10 decodes MODE SENSE (10) data that is not truncated.
func DecodeMode10(b []byte) (ModeData, error) {
	c := walk("MODE SENSE (10)", b)
	n := int(c.u16())
	c = c.sub(n)
	c.skip(1)
	dev := c.u8()
	c.skip(2)
	return decodeMode(c, dev, int(c.u16()))
}

// DecodeMode6 decodes MODE SENSE (6) data that is not truncated.
func DecodeMode6(b []byte) (ModeData, error) {
	c := walk("MODE SENSE (6)", b)
	n := int(c.u8())
	c = c.sub(n)
	c.skip(1)
	dev := c.u8()
	return decodeMode(c, dev, int(c.u8()))
}

func decodeMode(c *cursor, dev byte, descriptor int) (ModeData, error) {
	m := ModeData{WriteProtected: dev&0x80 != 0, DPOFUA: dev&0x10 != 0}
	m.BlockDescriptor = c.take(descriptor)
	for c.left() > 0 {
		start := c.off
		h := c.u8()
		p := ModePage{Page: h & 0x3f, Savable: h&0x80 != 0}
		if h&0x40 != 0 {
			p.Subpage = c.u8()
			c.skip(int(c.u16()))
		} else {
			c.skip(int(c.u8()))
		}
		if c.err == nil {
			p.Raw = c.b[start:c.off]
			m.Pages = append(m.Pages, p)
		}
	}
	return m, c.err
}

// ModeSelect writes one page (as MODE SENSE returned it) by MODE SELECT (10).
func (u *Unit) ModeSelect(ctx context.Context, page ModePage) error {
	list := append(make([]byte, 8), page.Raw...)
	list[8] &^= 0x80 // PS is reserved in MODE SELECT
	_, err := u.Run(ctx, ModeSelect10(true, false, list))
	return err
}

// WriteCache reads WCE of the caching page. SBC-4 r22 6.4.5.
func (u *Unit) WriteCache(ctx context.Context) (bool, error) {
	p, err := u.cachingPage(ctx)
	if err != nil {
		return false, err
	}
	return p.Raw[2]&0x04 != 0, nil
}

// SetWriteCache sets WCE of the caching page.
func (u *Unit) SetWriteCache(ctx context.Context, on bool) error {
	p, err := u.cachingPage(ctx)
	if err != nil {
		return err
	}
	p.Raw[2] = p.Raw[2]&^0x04 | bit(on, 2)
	return u.ModeSelect(ctx, p)
}

func (u *Unit) cachingPage(ctx context.Context) (ModePage, error) {
	m, err := u.ModeSense(ctx, ModeCurrent, PageCaching, 0)
	if err != nil {
		return ModePage{}, err
	}
	p, ok := m.Find(PageCaching, 0)
	c := walk("caching mode page", p.Raw)
	if !ok {
		c.fail("not returned")
	}
	c.skip(3)
	return p, c.err
}
