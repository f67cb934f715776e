package initiator

import (
	"context"
	"encoding/binary"
)

// Reporting options of REPORT SUPPORTED OPERATION CODES. SPC-4 r36f 6.35.
const (
	ReportAllOpcodes     uint8 = 0
	ReportOpcode         uint8 = 1 // without service action
	ReportServiceAction  uint8 = 2
	ReportOpcodeOrAction uint8 = 3
)

// ReportOpcodes is REPORT SUPPORTED OPERATION CODES.
func ReportOpcodes(options, op uint8, sa uint16, timeouts bool, alloc uint32) Cmd {
	c := maintenanceIn(0x0c, alloc)
	c[2], c[3] = bit(timeouts, 7)|options&7, op
	binary.BigEndian.PutUint16(c[4:], sa)
	return dataIn(int(alloc), c)
}

// maintenanceIn is the CDB of opcode A3h with a service action.
func maintenanceIn(sa byte, alloc uint32) []byte {
	c := make([]byte, 12)
	c[0], c[1] = 0xa3, sa
	binary.BigEndian.PutUint32(c[6:], alloc)
	return c
}

// OpcodeInfo is one supported command.
type OpcodeInfo struct {
	Opcode        uint8
	ServiceAction uint16
	HasAction     bool // SERVACTV
	CDBLength     uint16
	Timeouts      *OpcodeTimeouts
}

// OpcodeTimeouts is a command timeouts descriptor, in seconds.
type OpcodeTimeouts struct {
	Specific             uint8
	Nominal, Recommended uint32
}

// SupportedOpcodes lists all commands of the unit.
func (u *Unit) SupportedOpcodes(ctx context.Context, timeouts bool) ([]OpcodeInfo, error) {
	r, err := u.Run(ctx, ReportOpcodes(ReportAllOpcodes, 0, 0, timeouts, 8192))
	if err != nil {
		return nil, err
	}
	c := walk("REPORT SUPPORTED OPERATION CODES", r.Data)
	c = c.sub(int(c.u32()))
	var list []OpcodeInfo
	for c.left() > 0 {
		d := OpcodeInfo{Opcode: c.u8()}
		c.skip(1)
		d.ServiceAction = c.u16()
		c.skip(1)
		f := c.u8()
		d.HasAction, d.CDBLength = f&1 != 0, c.u16()
		if f&2 != 0 {
			d.Timeouts = c.timeouts()
		}
		list = append(list, d)
	}
	return list, c.err
}

func (c *cursor) timeouts() *OpcodeTimeouts {
	if n := c.u16(); n != 0x0a {
		c.fail("command timeouts descriptor of length %d", n)
	}
	c.skip(1)
	return &OpcodeTimeouts{Specific: c.u8(), Nominal: c.u32(), Recommended: c.u32()}
}

// OpcodeUsage is the one-command answer.
type OpcodeUsage struct {
	Support  uint8 // 1 not supported, 3 as the standard says, 5 vendor specific
	Usage    []byte
	Timeouts *OpcodeTimeouts
}

// OpcodeUsage asks for one command.
func (u *Unit) OpcodeUsage(ctx context.Context, options, op uint8, sa uint16, timeouts bool) (OpcodeUsage, error) {
	r, err := u.Run(ctx, ReportOpcodes(options, op, sa, timeouts, 512))
	if err != nil {
		return OpcodeUsage{}, err
	}
	c := walk("REPORT SUPPORTED OPERATION CODES", r.Data)
	c.skip(1)
	f := c.u8()
	o := OpcodeUsage{Support: f & 7}
	o.Usage = c.take(int(c.u16()))
	if f&0x80 != 0 {
		o.Timeouts = c.timeouts()
	}
	return o, c.err
}

// ReportTMFs is REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS. SPC-4 r36f 6.36.
func ReportTMFs(extended bool, alloc uint32) Cmd {
	c := maintenanceIn(0x0d, alloc)
	c[2] = bit(extended, 7)
	return dataIn(int(alloc), c)
}

// SupportedTMFs tells which functions the unit claims.
func (u *Unit) SupportedTMFs(ctx context.Context) (map[TMF]bool, error) {
	r, err := u.Run(ctx, ReportTMFs(false, 4))
	if err != nil {
		return nil, err
	}
	c := walk("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", r.Data)
	h := c.take(4)
	return map[TMF]bool{
		TMFAbortTask: h[0]&0x80 != 0, TMFAbortTaskSet: h[0]&0x40 != 0, TMFClearACA: h[0]&0x20 != 0,
		TMFClearTaskSet: h[0]&0x10 != 0, TMFLUReset: h[0]&0x08 != 0, TMFQueryTask: h[0]&0x04 != 0,
		TMFQueryAsyncEvent: h[1]&0x04 != 0, TMFQueryTaskSet: h[1]&0x02 != 0, TMFNexusReset: h[1]&0x01 != 0,
	}, c.err
}

// ALUAState is an asymmetric access state. SPC-4 r36f 5.16.2.4.
type ALUAState uint8

// Asymmetric access states.
const (
	ActiveOptimized    ALUAState = 0x0
	ActiveNonOptimized ALUAState = 0x1
	Standby            ALUAState = 0x2
	Unavailable        ALUAState = 0x3
	LBADependent       ALUAState = 0x4
	Offline            ALUAState = 0xe
	Transitioning      ALUAState = 0xf
)

// PortGroup is one target port group. SPC-4 r36f 6.37.
type PortGroup struct {
	ID         uint16
	Preferred  bool
	State      ALUAState
	Supported  uint8 // T O LBD U S AN AO, bit 7 to 0 as on the wire
	StatusCode uint8
	Ports      []uint16 // relative target port identifiers
}

// ReportPortGroups is REPORT TARGET PORT GROUPS; extended asks for the longer header.
func ReportPortGroups(extended bool, alloc uint32) Cmd {
	c := maintenanceIn(0x0a|bit(extended, 5), alloc)
	return dataIn(int(alloc), c)
}

// PortGroups runs REPORT TARGET PORT GROUPS.
func (u *Unit) PortGroups(ctx context.Context) ([]PortGroup, error) {
	r, err := u.Run(ctx, ReportPortGroups(false, 4096))
	if err != nil {
		return nil, err
	}
	return DecodePortGroups(r.Data, false)
}

// DecodePortGroups decodes data that is not truncated.
func DecodePortGroups(b []byte, extended bool) ([]PortGroup, error) {
	c := walk("REPORT TARGET PORT GROUPS", b)
	c = c.sub(int(c.u32()))
	if extended {
		c.skip(4)
	}
	var list []PortGroup
	for c.left() > 0 {
		s := c.u8()
		g := PortGroup{Preferred: s&0x80 != 0, State: ALUAState(s & 0x0f), Supported: c.u8(), ID: c.u16()}
		c.skip(1)
		g.StatusCode = c.u8()
		c.skip(1)
		for range c.u8() {
			c.skip(2)
			g.Ports = append(g.Ports, c.u16())
		}
		list = append(list, g)
	}
	return list, c.err
}

// SetPortGroups is SET TARGET PORT GROUPS. SPC-4 r36f 6.45.
func SetPortGroups(groups ...PortGroup) Cmd {
	list := make([]byte, 4, 4+4*len(groups))
	for _, g := range groups {
		list = append(list, byte(g.State), 0, byte(g.ID>>8), byte(g.ID))
	}
	c := make([]byte, 12)
	c[0], c[1] = 0xa4, 0x0a
	binary.BigEndian.PutUint32(c[6:], uint32(len(list)))
	return dataOut(list, c)
}
