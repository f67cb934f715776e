package initiator

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answerCommands makes the fake answer every SCSI command with data, or take the data
// of a write; sent is the last CDB.
func answerCommands(f *fakeTarget, data []byte) (sent func() []byte) {
	var cdb []byte
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() != OpSCSICommand {
			return false
		}
		cdb = append([]byte(nil), p.BHS[32:]...)
		if p.BHS[1]&0x40 != 0 {
			c.read(p, data)
		} else {
			c.send(reply(OpSCSIResponse, p))
		}
		return true
	}
	return func() []byte { return cdb }
}

// Each helper on data written down from the standard's tables, and on every
// prefix of it, which must never decode to the same.
func TestUnitHelpersDecode(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("00", n) }
	for _, c := range []struct {
		name string
		run  func(context.Context, *Unit) (any, error)
		data string
		want any
	}{
		{"READ CAPACITY (10)", func(ctx context.Context, u *Unit) (any, error) { return u.ReadCapacity10(ctx) },
			"000007ff 00000200", Capacity{Blocks: 2048, BlockSize: 512}},
		{"READ CAPACITY (16)", func(ctx context.Context, u *Unit) (any, error) { return u.ReadCapacity16(ctx) },
			"00000001ffffffff 00001000 03 03 c005" + zeros(16),
			Capacity{Blocks: 1 << 33, BlockSize: 4096, ProtectionType: 1, ProtectionOn: true, PhysicalExponent: 3, LBPME: true, LBPRZ: true, LowestAligned: 5}},
		{"REPORT LUNS", func(ctx context.Context, u *Unit) (any, error) { return u.S.ReportLUNs(ctx) },
			"00000010 00000000 0000000000000000 4123000000000000", []LUN{0, FlatLUN(0x123)}},
		{"VPD 00", func(ctx context.Context, u *Unit) (any, error) { return u.SupportedVPD(ctx) }, "0000 0003 008083", []uint8{0, 0x80, 0x83}},
		{"VPD 80", func(ctx context.Context, u *Unit) (any, error) { return u.Serial(ctx) }, "0080 0006 313233342020", "1234"},
		{"VPD 86", func(ctx context.Context, u *Unit) (any, error) { return u.ExtendedInquiry(ctx) }, "0086 003c 00 27 01 01 10" + zeros(55),
			ExtendedInquiry{UASKSup: true, HeadSup: true, OrdSup: true, SimpSup: true, VSup: true, LUIClr: true, RSup: true}},
		{"VPD 88", func(ctx context.Context, u *Unit) (any, error) { return u.Ports(ctx) },
			"0088 0024 0000 0001 0000 0004 aabbccdd 0000 0008 51 93 00 04 61626364 0000 0002 0000 0000 0000 0000",
			[]Port{{1, []Designator{{Protocol: 5, ProtocolValid: true, CodeSet: 1, Association: 1, Type: 3, ID: []byte("abcd")}}}, {2, nil}}},
		{"VPD 8F", func(ctx context.Context, u *Unit) (any, error) { return u.ThirdPartyCopy(ctx) }, "008f 000c 0001 0004 01020304 8001 0000",
			[]CopyDescriptor{{1, []byte{1, 2, 3, 4}}, {0x8001, []byte{}}}},
		{"VPD B0", func(ctx context.Context, u *Unit) (any, error) { return u.BlockLimits(ctx) },
			`00b0 003c 01 02 0003 00000004 00000005 00000006 00000007 00000008 00000009 8000000a 000000000000000b
			0000000c 0000000d 0000000e 0000000f 00000010`,
			BlockLimits{WSNZ: true, MaxCompareAndWrite: 2, TransferGranularity: 3, MaxTransfer: 4, OptimalTransfer: 5, MaxPrefetch: 6,
				MaxUnmapBlocks: 7, MaxUnmapDescriptors: 8, UnmapGranularity: 9, UnmapAlignmentValid: true, UnmapAlignment: 10, MaxWriteSame: 11,
				MaxAtomic: 12, AtomicAlignment: 13, AtomicGranularity: 14, MaxAtomicWithBoundary: 15, MaxAtomicBoundary: 16}},
		{"VPD B1", func(ctx context.Context, u *Unit) (any, error) { return u.BlockDevice(ctx) }, "00b1 003c 0001 02 65 13" + zeros(55),
			BlockDevice{RotationRate: 1, ProductType: 2, WABEREQ: 1, WACEREQ: 2, FormFactor: 5, Zoned: 1, FUAB: true, VBULS: true}},
		{"VPD B2", func(ctx context.Context, u *Unit) (any, error) { return u.Provisioning(ctx) }, "00b2 0004 0f e6 0a 32",
			Provisioning{ThresholdExponent: 15, LBPU: true, LBPWS: true, LBPWS10: true, LBPRZ: 1, AnchorSupported: true, Type: 2, MinimumPercent: 1, ThresholdPercent: 50}},
		{"RSOC all", func(ctx context.Context, u *Unit) (any, error) { return u.SupportedOpcodes(ctx, true) },
			"0000001c 28 00 0000 00 02 000a 000a 01 02 00000003 00000004 9e 00 0010 00 01 0010",
			[]OpcodeInfo{{Opcode: 0x28, CDBLength: 10, Timeouts: &OpcodeTimeouts{2, 3, 4}}, {Opcode: 0x9e, ServiceAction: 0x10, HasAction: true, CDBLength: 16}}},
		{"RSOC one", func(ctx context.Context, u *Unit) (any, error) { return u.OpcodeUsage(ctx, ReportOpcode, 0, 0, true) },
			"00 83 0006 00ff00ff0004 000a 00 00 00000001 00000002",
			OpcodeUsage{Support: 3, Usage: []byte{0, 0xff, 0, 0xff, 0, 4}, Timeouts: &OpcodeTimeouts{0, 1, 2}}},
		{"RSTMF", func(ctx context.Context, u *Unit) (any, error) { return u.SupportedTMFs(ctx) }, "d8 02 0000",
			map[TMF]bool{TMFAbortTask: true, TMFAbortTaskSet: true, TMFClearACA: false, TMFClearTaskSet: true, TMFLUReset: true,
				TMFQueryTask: false, TMFQueryAsyncEvent: false, TMFQueryTaskSet: true, TMFNexusReset: false}},
		{"RTPG", func(ctx context.Context, u *Unit) (any, error) { return u.PortGroups(ctx) },
			"00000018 82 8f 0001 00 02 00 02 0000 0001 0000 0002 01 8f 0002 00 00 00 00",
			[]PortGroup{{ID: 1, Preferred: true, State: Standby, Supported: 0x8f, StatusCode: 2, Ports: []uint16{1, 2}}, {ID: 2, State: ActiveNonOptimized, Supported: 0x8f}}},
		{"RECEIVE COPY STATUS", func(ctx context.Context, u *Unit) (any, error) { return u.CopyStatus(ctx, 3) }, "00000008 01 0002 01 00000400", CopyStatus{1, 2, 1, 1024}},
		{"RECEIVE COPY OPERATING PARAMETERS", func(ctx context.Context, u *Unit) (any, error) { return u.CopyParameters(ctx) },
			"0000002a 01 000000 0002 0003 00000004 00000005 00000006 00000007 00000008 0000 0009 0a 0b 0c 0d 000000 02 02e4",
			CopyParameters{NoListID: true, MaxUnits: 2, MaxSegments: 3, MaxListLength: 4, MaxSegmentLength: 5, MaxInline: 6, HeldDataLimit: 7,
				MaxStreamLength: 8, TotalConcurrent: 9, MaxConcurrent: 10, DataGranularity: 11, Descriptors: []byte{2, 0xe4}}},
		{"READ KEYS", func(ctx context.Context, u *Unit) (any, error) { return u.ReadKeys(ctx) }, "00000007 00000010 0000000000000001 0000000000000002",
			PRKeys{7, []uint64{1, 2}}},
		{"READ RESERVATION", func(ctx context.Context, u *Unit) (any, error) { return u.ReadReservation(ctx) }, "00000007 00000010 0000000000000001 00000000 00 15 0000",
			PRReservation{7, true, 1, 1, WriteExclusiveRegistrantsOnly}},
		{"READ RESERVATION, none", func(ctx context.Context, u *Unit) (any, error) { return u.ReadReservation(ctx) }, "00000007 00000000", PRReservation{Generation: 7}},
		{"REPORT CAPABILITIES", func(ctx context.Context, u *Unit) (any, error) { return u.PRCapabilities(ctx) }, "0008 9d c1 ea01 0000",
			PRCapabilities{ReplaceLost: true, CompatibleReserve: true, SpecIPT: true, AllPorts: true, PersistCapable: true, PersistActive: true, TypeMaskValid: true, AllowCommands: 4, TypeMask: 0xea01}},
		{"REQUEST SENSE", func(ctx context.Context, u *Unit) (any, error) { return u.RequestSense(ctx, false) }, "70000600000000 0a 00000000 2901 00 000000",
			Sense{Key: UnitAttention, ASC: ASCPowerOn}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			u := f.dial(f.config()).Unit(0)
			data := unhex(t, c.data)
			answerCommands(f, data)
			got, err := c.run(t.Context(), u)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			for cut := range data {
				answerCommands(f, data[:cut])
				got, err := c.run(t.Context(), u)
				require.False(t, err == nil && assert.ObjectsAreEqual(c.want, got), "%d of %d bytes", cut, len(data))
			}
			require.NoError(t, u.S.Close())
		})
	}
}

func TestInquiryIsDecoded(t *testing.T) {
	f := newFake(t)
	u := f.dial(f.config()).Unit(0)
	b := make([]byte, 96)
	copy(b, unhex(t, "00 80 06 32 5b 39 10 02"))
	copy(b[8:], "NAS     PRODUCT         1.0 ")
	copy(b[58:], unhex(t, "00a0 0960 0460 04c0"))
	answerCommands(f, b)
	i, err := u.Inquiry(t.Context())
	require.NoError(t, err)
	i.Raw = nil
	require.Equal(t, InquiryData{
		Removable: true, Version: 6, NormACA: true, HiSup: true, ResponseFormat: 2, AdditionalLength: 0x5b, TPGS: 3,
		ThirdPartyCopy: true, Protect: true, MultiPort: true, CmdQueue: true, Vendor: "NAS", Product: "PRODUCT", Revision: "1.0",
		VersionDescriptors: []uint16{0xa0, 0x960, 0x460, 0x4c0},
	}, i)
}

func TestReservationHelpersSendTheirAction(t *testing.T) {
	f := newFake(t)
	u := f.dial(f.config()).Unit(0)
	sent := answerCommands(f, nil)
	for _, c := range []struct {
		run      func(context.Context) error
		sa, kind byte
		list     string // keys and flags, bytes 0-20
	}{
		{func(ctx context.Context) error { return u.Register(ctx, 1, 2) }, 0, 0, "0000000000000001 0000000000000002 00000000 00"},
		{func(ctx context.Context) error { return u.RegisterAndIgnore(ctx, 3, true) }, 6, 0, "0000000000000000 0000000000000003 00000000 01"},
		{func(ctx context.Context) error { return u.Reserve(ctx, 1, ExclusiveAccess) }, 1, 3, "0000000000000001 0000000000000000 00000000 00"},
		{func(ctx context.Context) error { return u.Release(ctx, 1, ExclusiveAccess) }, 2, 3, "0000000000000001 0000000000000000 00000000 00"},
		{func(ctx context.Context) error { return u.Clear(ctx, 1) }, 3, 0, "0000000000000001 0000000000000000 00000000 00"},
		{func(ctx context.Context) error { return u.Preempt(ctx, 1, 2, WriteExclusive) }, 4, 1, "0000000000000001 0000000000000002 00000000 00"},
		{func(ctx context.Context) error { return u.PreemptAndAbort(ctx, 1, 2, ExclusiveAccessAllRegistrants) }, 5, 8, "0000000000000001 0000000000000002 00000000 00"},
		{func(ctx context.Context) error { return u.ReplaceLost(ctx, 2, WriteExclusive, true) }, 8, 1, "0000000000000000 0000000000000002 00000000 01"},
		{func(ctx context.Context) error {
			return u.Move(ctx, PRMove{Key: 1, ServiceKey: 2, RelativePort: 9, Destination: TransportID{Name: "iqn.a:b"}})
		}, 7, 0, "0000000000000001 0000000000000002 0000 0009 00"},
	} {
		require.NoError(t, c.run(t.Context()))
		cdb := sent()
		require.Equal(t, []byte{0x5f, c.sa, c.kind}, cdb[:3])
		reqs := f.requests(OpSCSICommand)
		data := reqs[len(reqs)-1].Data
		require.EqualValues(t, len(data), cdb[8])
		require.Equal(t, unhex(t, c.list), data[:21])
	}
}

func TestWriteCacheIsToggledByModeSelect(t *testing.T) {
	f := newFake(t)
	u := f.dial(f.config()).Unit(0)
	sent := answerCommands(f, unhex(t, "001a 00 10 00 00 0000 8812 00"+strings.Repeat("00", 17)))
	on, err := u.WriteCache(t.Context())
	require.NoError(t, err)
	require.False(t, on)
	require.NoError(t, u.SetWriteCache(t.Context(), true))
	require.Equal(t, []byte{0x55, 0x10}, sent()[:2])
	reqs := f.requests(OpSCSICommand)
	require.Equal(t, unhex(t, "0000000000000000 0812 04"+strings.Repeat("00", 17)), reqs[len(reqs)-1].Data)
}

func TestDrainUAReturnsThemInOrder(t *testing.T) {
	f := newFake(t)
	u := f.dial(f.config()).Unit(0)
	left := []ASC{ASCPowerOn, ASCRegistrationsPreempted}
	f.handle = func(c *fakeConn, p *PDU) bool {
		if p.Opcode() != OpSCSICommand || len(left) == 0 {
			return false
		}
		r := reply(OpSCSIResponse, p)
		r.BHS[3] = byte(CheckCondition)
		r.Data = append([]byte{0, 18}, fixedSense(UnitAttention, left[0])...)
		left = left[1:]
		c.send(r)
		return true
	}
	seen, err := u.DrainUA(t.Context())
	require.NoError(t, err)
	require.Equal(t, []ASC{ASCPowerOn, ASCRegistrationsPreempted}, seen)
}
