package initiator

import (
	"context"
	"strings"
)

// Inquiry is INQUIRY of the standard data. SPC-4 r36f 6.6.
func Inquiry(alloc uint16) Cmd {
	return dataIn(int(alloc), []byte{0x12, 0, 0, byte(alloc >> 8), byte(alloc), 0})
}

// InquiryVPD is INQUIRY of a vital product data page.
func InquiryVPD(page uint8, alloc uint16) Cmd {
	return dataIn(int(alloc), []byte{0x12, 1, page, byte(alloc >> 8), byte(alloc), 0})
}

// InquiryData is standard INQUIRY data. SPC-4 r36f 6.6.2.
type InquiryData struct {
	Qualifier, DeviceType     uint8
	Removable                 bool
	Version                   uint8
	NormACA, HiSup            bool
	ResponseFormat            uint8
	AdditionalLength          uint8
	TPGS                      uint8 // 1 implicit, 2 explicit, 3 both
	ThirdPartyCopy, Protect   bool
	MultiPort, CmdQueue       bool
	Vendor, Product, Revision string
	VersionDescriptors        []uint16
	Raw                       []byte
}

// Inquiry runs INQUIRY and decodes the standard data.
func (u *Unit) Inquiry(ctx context.Context) (InquiryData, error) {
	r, err := u.Run(ctx, Inquiry(255))
	if err != nil {
		return InquiryData{}, err
	}
	return DecodeInquiry(r.Data)
}

// DecodeInquiry decodes at least 36 bytes of standard data.
func DecodeInquiry(b []byte) (InquiryData, error) {
	c := walk("INQUIRY", b)
	h := c.take(36)
	d := InquiryData{
		Qualifier: h[0] >> 5, DeviceType: h[0] & 0x1f, Removable: h[1]&0x80 != 0, Version: h[2],
		NormACA: h[3]&0x20 != 0, HiSup: h[3]&0x10 != 0, ResponseFormat: h[3] & 0x0f,
		AdditionalLength: h[4], TPGS: h[5] >> 4 & 3, ThirdPartyCopy: h[5]&0x08 != 0, Protect: h[5]&1 != 0,
		MultiPort: h[6]&0x10 != 0, CmdQueue: h[7]&0x02 != 0,
		Vendor: trimText(h[8:16]), Product: trimText(h[16:32]), Revision: trimText(h[32:36]), Raw: b,
	}
	if c.left() >= 38 {
		c.skip(22)
		for range 8 {
			if v := c.u16(); v != 0 {
				d.VersionDescriptors = append(d.VersionDescriptors, v)
			}
		}
	}
	return d, c.err
}

// trimText removes the padding of an ASCII field.
func trimText(b []byte) string { return strings.TrimRight(string(b), " ") }

// VPD runs INQUIRY for a page and returns the page behind its header.
func (u *Unit) VPD(ctx context.Context, page uint8) ([]byte, error) {
	r, err := u.Run(ctx, InquiryVPD(page, 4096))
	if err != nil {
		return nil, err
	}
	c := walk("VPD page", r.Data)
	c.skip(1)
	if got := c.u8(); got != page {
		c.fail("asked for %02x, got %02x", page, got)
	}
	body := c.take(int(c.u16()))
	if c.left() != 0 {
		c.fail("%d bytes behind PAGE LENGTH", c.left())
	}
	return body, c.err
}
