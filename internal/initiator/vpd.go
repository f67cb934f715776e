package initiator

import (
	"context"
	"fmt"
	"slices"
)

// VPD page codes. SPC-4 r36f 7.8, SBC-4 r22 6.6.
const (
	VPDSupported       uint8 = 0x00
	VPDSerial          uint8 = 0x80
	VPDIdentification  uint8 = 0x83
	VPDExtendedInquiry uint8 = 0x86
	VPDModePagePolicy  uint8 = 0x87
	VPDPorts           uint8 = 0x88
	VPDThirdPartyCopy  uint8 = 0x8f
	VPDBlockLimits     uint8 = 0xb0
	VPDBlockDevice     uint8 = 0xb1
	VPDProvisioning    uint8 = 0xb2
)

// SupportedVPD reads page 00h and checks that it is sorted and contains itself.
func (u *Unit) SupportedVPD(ctx context.Context) ([]uint8, error) {
	b, err := u.VPD(ctx, VPDSupported)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || b[0] != 0 || !slices.IsSorted(b) {
		return b, fmt.Errorf("initiator: VPD page list %x", b)
	}
	return b, nil
}

// Serial reads page 80h.
func (u *Unit) Serial(ctx context.Context) (string, error) {
	b, err := u.VPD(ctx, VPDSerial)
	return trimText(b), err
}

// Associations of a designator. SPC-4 r36f 7.8.6.
const (
	AssociationUnit   uint8 = 0
	AssociationPort   uint8 = 1
	AssociationTarget uint8 = 2
)

// Designator types. SPC-4 r36f 7.8.6.
const (
	DesignatorT10Vendor    uint8 = 1
	DesignatorEUI64        uint8 = 2
	DesignatorNAA          uint8 = 3
	DesignatorRelativePort uint8 = 4
	DesignatorPortGroup    uint8 = 5
	DesignatorUnitGroup    uint8 = 6
	DesignatorSCSIName     uint8 = 8
)

// Designator is one identification of page 83h or 88h.
type Designator struct {
	Protocol      uint8 // meaningful when ProtocolValid
	ProtocolValid bool
	CodeSet       uint8 // 1 binary, 2 ASCII, 3 UTF-8
	Association   uint8
	Type          uint8
	ID            []byte
}

func (d Designator) String() string {
	if d.CodeSet == 1 {
		return fmt.Sprintf("assoc %d type %d %x", d.Association, d.Type, d.ID)
	}
	return fmt.Sprintf("assoc %d type %d %q", d.Association, d.Type, d.ID)
}

// Identification reads page 83h.
func (u *Unit) Identification(ctx context.Context) ([]Designator, error) {
	b, err := u.VPD(ctx, VPDIdentification)
	if err != nil {
		return nil, err
	}
	return DecodeDesignators(b)
}

// DecodeDesignators decodes a list of designation descriptors.
func DecodeDesignators(b []byte) ([]Designator, error) {
	c := walk("designation descriptors", b)
	var list []Designator
	for c.left() > 0 {
		h := c.take(4)
		d := Designator{
			Protocol: h[0] >> 4, CodeSet: h[0] & 0x0f, ProtocolValid: h[1]&0x80 != 0,
			Association: h[1] >> 4 & 3, Type: h[1] & 0x0f,
		}
		d.ID = c.take(int(h[3]))
		if c.err == nil {
			list = append(list, d)
		}
	}
	return list, c.err
}

// BlockLimits is page B0h; lengths in blocks. SBC-4 r22 6.6.4.
type BlockLimits struct {
	WSNZ                                          bool
	MaxCompareAndWrite                            uint8
	TransferGranularity                           uint16
	MaxTransfer, OptimalTransfer, MaxPrefetch     uint32
	MaxUnmapBlocks, MaxUnmapDescriptors           uint32
	UnmapGranularity                              uint32
	UnmapAlignmentValid                           bool
	UnmapAlignment                                uint32
	MaxWriteSame                                  uint64
	MaxAtomic, AtomicAlignment, AtomicGranularity uint32
	MaxAtomicWithBoundary, MaxAtomicBoundary      uint32
}

// BlockLimits reads page B0h.
func (u *Unit) BlockLimits(ctx context.Context) (BlockLimits, error) {
	b, err := u.VPD(ctx, VPDBlockLimits)
	if err != nil {
		return BlockLimits{}, err
	}
	c := walk("VPD page B0", b)
	l := BlockLimits{
		WSNZ: c.u8()&1 != 0, MaxCompareAndWrite: c.u8(), TransferGranularity: c.u16(),
		MaxTransfer: c.u32(), OptimalTransfer: c.u32(), MaxPrefetch: c.u32(),
		MaxUnmapBlocks: c.u32(), MaxUnmapDescriptors: c.u32(), UnmapGranularity: c.u32(),
	}
	align := c.u32()
	l.UnmapAlignmentValid, l.UnmapAlignment = align>>31 != 0, align&0x7fffffff
	l.MaxWriteSame = c.u64()
	l.MaxAtomic, l.AtomicAlignment, l.AtomicGranularity = c.u32(), c.u32(), c.u32()
	l.MaxAtomicWithBoundary, l.MaxAtomicBoundary = c.u32(), c.u32()
	return l, c.err
}

// BlockDevice is page B1h. SBC-4 r22 6.6.2.
type BlockDevice struct {
	RotationRate               uint16 // 1: does not rotate
	ProductType, WABEREQ       uint8
	WACEREQ, FormFactor, Zoned uint8
	FUAB, VBULS                bool
}

// BlockDevice reads page B1h.
func (u *Unit) BlockDevice(ctx context.Context) (BlockDevice, error) {
	b, err := u.VPD(ctx, VPDBlockDevice)
	if err != nil {
		return BlockDevice{}, err
	}
	c := walk("VPD page B1", b)
	d := BlockDevice{RotationRate: c.u16(), ProductType: c.u8()}
	f, g := c.u8(), c.u8()
	d.WABEREQ, d.WACEREQ, d.FormFactor = f>>6, f>>4&3, f&0x0f
	d.Zoned, d.FUAB, d.VBULS = g>>4&3, g&2 != 0, g&1 != 0
	return d, c.err
}

// Provisioning is page B2h. SBC-4 r22 6.6.7.
type Provisioning struct {
	ThresholdExponent    uint8
	LBPU, LBPWS, LBPWS10 bool
	LBPRZ                uint8 // 1: unmapped blocks read zeros
	AnchorSupported      bool
	DescriptorPresent    bool
	Type                 uint8 // 1 resource, 2 thin
	MinimumPercent       uint8
	ThresholdPercent     uint8
}

// Provisioning reads page B2h.
func (u *Unit) Provisioning(ctx context.Context) (Provisioning, error) {
	b, err := u.VPD(ctx, VPDProvisioning)
	if err != nil {
		return Provisioning{}, err
	}
	c := walk("VPD page B2", b)
	p := Provisioning{ThresholdExponent: c.u8()}
	f, g := c.u8(), c.u8()
	p.LBPU, p.LBPWS, p.LBPWS10 = f&0x80 != 0, f&0x40 != 0, f&0x20 != 0
	p.LBPRZ, p.AnchorSupported, p.DescriptorPresent = f>>2&7, f&2 != 0, f&1 != 0
	p.MinimumPercent, p.Type, p.ThresholdPercent = g>>3, g&7, c.u8()
	return p, c.err
}

// ExtendedInquiry is page 86h. SPC-4 r36f 7.8.7.
type ExtendedInquiry struct {
	GroupSup, PriorSup, HeadSup, OrdSup, SimpSup bool
	UASKSup                                      bool
	WUSup, CRDSup, NVSup, VSup                   bool
	PIISup, LUIClr, RSup                         bool
}

// ExtendedInquiry reads page 86h.
func (u *Unit) ExtendedInquiry(ctx context.Context) (ExtendedInquiry, error) {
	b, err := u.VPD(ctx, VPDExtendedInquiry)
	if err != nil {
		return ExtendedInquiry{}, err
	}
	c := walk("VPD page 86", b)
	h := c.take(60)
	return ExtendedInquiry{
		UASKSup: h[1]&0x20 != 0, GroupSup: h[1]&0x10 != 0, PriorSup: h[1]&0x08 != 0,
		HeadSup: h[1]&0x04 != 0, OrdSup: h[1]&0x02 != 0, SimpSup: h[1]&0x01 != 0,
		WUSup: h[2]&0x08 != 0, CRDSup: h[2]&0x04 != 0, NVSup: h[2]&0x02 != 0, VSup: h[2]&0x01 != 0,
		PIISup: h[3]&0x10 != 0, LUIClr: h[3]&0x01 != 0, RSup: h[4]&0x10 != 0,
	}, c.err
}

// Port is one target port of page 88h.
type Port struct {
	RelativeID  uint16
	Designators []Designator
}

// Ports reads page 88h. SPC-4 r36f 7.8.15.
func (u *Unit) Ports(ctx context.Context) ([]Port, error) {
	b, err := u.VPD(ctx, VPDPorts)
	if err != nil {
		return nil, err
	}
	c := walk("VPD page 88", b)
	var ports []Port
	for c.left() > 0 {
		c.skip(2)
		p := Port{RelativeID: c.u16()}
		c.skip(2)
		c.skip(int(c.u16())) // initiator port TransportID
		c.skip(2)
		d := c.take(int(c.u16()))
		if c.err == nil {
			p.Designators, c.err = DecodeDesignators(d)
			ports = append(ports, p)
		}
	}
	return ports, c.err
}

// CopyDescriptor is one descriptor of page 8Fh. SPC-4 r36f 7.8.17.
type CopyDescriptor struct {
	Type uint16
	Body []byte
}

// ThirdPartyCopy reads page 8Fh.
func (u *Unit) ThirdPartyCopy(ctx context.Context) ([]CopyDescriptor, error) {
	b, err := u.VPD(ctx, VPDThirdPartyCopy)
	if err != nil {
		return nil, err
	}
	c := walk("VPD page 8F", b)
	var list []CopyDescriptor
	for c.left() > 0 {
		d := CopyDescriptor{Type: c.u16()}
		n := int(c.u16())
		if n%4 != 0 {
			c.fail("descriptor %04x of %d bytes", d.Type, n)
		}
		d.Body = c.take(n)
		list = append(list, d)
	}
	return list, c.err
}
