package initiator

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSense(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       Sense
		bad        bool
	}{
		{"fixed, field pointer in CDB", "70000500000000 0a 00000000 2400 00 cd0002",
			Sense{Key: IllegalRequest, ASC: ASCInvalidFieldInCDB, FieldValid: true, FieldInCDB: true, FieldByte: 2, FieldBit: 5}, false},
		{"fixed, field pointer in parameters, no bit", "70000500000000 0a 00000000 2600 00 800014",
			Sense{Key: IllegalRequest, ASC: ASCInvalidFieldInParameter, FieldValid: true, FieldByte: 0x14, FieldBit: -1}, false},
		{"fixed, information", "f0000e00000203 0a 00000000 1d00 00 000000",
			Sense{Key: Miscompare, ASC: ASCMiscompare, InfoValid: true, Info: 0x203}, false},
		{"fixed, progress", "70000200000000 0a 00000000 0404 00 808000",
			Sense{Key: NotReady, ASC: 0x0404, ProgressValid: true, Progress: 0x8000}, false},
		{"fixed, deferred", "71000300000000 0a 00000000 0c00 00 000000", Sense{Deferred: true, Key: MediumError, ASC: 0x0c00}, false},
		{"fixed, short but consistent", "70000600000000 06 00000000 2900", Sense{Key: UnitAttention, ASC: ASCPowerOnOrReset}, false},
		{"descriptor, information", "72052100 00000014 000a8000 0000000100000000 02 06 0000 c00002 00",
			Sense{Descriptor: true, Key: IllegalRequest, ASC: ASCLBAOutOfRange, InfoValid: true, Info: 1 << 32,
				FieldValid: true, FieldInCDB: true, FieldByte: 2, FieldBit: -1}, false},
		{"empty", "", Sense{}, true},
		{"fixed without ASC", "700005000000000a", Sense{}, true},
		{"fixed, wrong length", "70000500000000 0b 00000000 2400 00 000000", Sense{Key: IllegalRequest, ASC: 0x2400}, true},
		{"descriptor, wrong length", "7205200000000004", Sense{Descriptor: true, Key: IllegalRequest, ASC: 0x2000}, true},
		{"descriptor, truncated", "7205200000000003 000a80", Sense{Descriptor: true, Key: IllegalRequest, ASC: 0x2000}, true},
		{"descriptor, bad information length", "7205200000000006 000480000000", Sense{Descriptor: true, Key: IllegalRequest, ASC: 0x2000}, true},
		{"response code", "74000000", Sense{}, true},
	} {
		got, err := ParseSense(unhex(t, c.data))
		require.Equal(t, c.bad, err != nil, "%s: %v", c.name, err)
		require.Equal(t, c.want, got, c.name)
	}
}

func FuzzParseSense(f *testing.F) {
	f.Add(fixedSense(UnitAttention, ASCPowerOn))
	f.Add(unhexOrDie("72052100000000140" + "00a80000000000100000000" + "02060000c0000200"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _ := ParseSense(b)
		_ = s.String()
	})
}

// One CDB of each family against bytes written down from the standard's tables.
func TestCDBVectors(t *testing.T) {
	block := make([]byte, 512)
	for _, c := range []struct {
		name string
		cmd  Cmd
		cdb  string
		in   int
		out  int
	}{
		{"READ (6)", Read6(0x1fffff, 256, 512), "081fffff0000", 131072, 0},
		{"READ (10)", Read10(0x01020304, 0x0506, 512, FUA|DPO), "28180102030400050600", 0x0506 * 512, 0},
		{"READ (12)", Read12(0x01020304, 2, 4096, Protect(1)), "a820010203040000000200" + "00", 8192, 0},
		{"READ (16)", Read16(0x0102030405060708, 3, 512, 0), "8800010203040506070800000003" + "0000", 1536, 0},
		{"WRITE (6)", Write6(5, block, 512), "0a0000050100", 0, 512},
		{"WRITE (10)", Write10(7, block, 512, FUA), "2a080000000700000100", 0, 512},
		{"WRITE (12)", Write12(7, block, 512, 0), "aa000000000700000001" + "0000", 0, 512},
		{"WRITE (16)", Write16(7, block, 512, DPO), "8a100000000000000007000000010000", 0, 512},
		{"VERIFY (10)", Verify10(1, 2, BytChkOneBlock, 0, block), "2f060000000100000200", 0, 512},
		{"WRITE AND VERIFY (16)", WriteVerify16(1, block, 512, BytChkBlocks, 0), "8e020000000000000001000000010000", 0, 512},
		{"ORWRITE (16)", OrWrite16(1, block, 512, 0), "8b000000000000000001000000010000", 0, 512},
		{"COMPARE AND WRITE", CompareAndWrite(9, block, block, 512, FUA), "89080000000000000009000000010000", 0, 1024},
		{"WRITE ATOMIC (16)", WriteAtomic16(9, 8, block, 512, 0), "9c000000000000000009000800010000", 0, 512},
		{"SYNCHRONIZE CACHE (10)", SyncCache10(1, 2, true), "35020000000100000200", 0, 0},
		{"SYNCHRONIZE CACHE (16)", SyncCache16(1, 2, false), "91000000000000000001000000020000", 0, 0},
		{"PRE-FETCH (10)", PreFetch10(1, 2, true), "34020000000100000200", 0, 0},
		{"UNMAP", Unmap(Extent{1, 2}), "42000000000000001800", 0, 24},
		{"WRITE SAME (10)", WriteSame10(1, 2, block, WriteSameOptions{Unmap: true}), "41080000000100000200", 0, 512},
		{"WRITE SAME (16)", WriteSame16(1, 2, nil, WriteSameOptions{Unmap: true, NDOB: true}), "93090000000000000001000000020000", 0, 0},
		{"GET LBA STATUS", GetLBAStatus(5, 24), "9e120000000000000005000000180000", 24, 0},
		{"READ CAPACITY (16)", ReadCapacity16(32), "9e100000000000000000000000200000", 32, 0},
		{"REPORT LUNS", ReportLUNs(2, 16), "a00002000000000000100000", 16, 0},
		{"INQUIRY", InquiryVPD(0x83, 0x0102), "120183010200", 0x102, 0},
		{"MODE SENSE (6)", ModeSense6(ModeChangeable, 8, 0, true, 255), "1a084800ff00", 255, 0},
		{"MODE SENSE (10)", ModeSense10(ModeCurrent, 0x3f, 0xff, false, true, 1024), "5a103fff000000040000", 1024, 0},
		{"MODE SELECT (10)", ModeSelect10(true, false, make([]byte, 28)), "55100000000000001c00", 0, 28},
		{"REPORT SUPPORTED OPERATION CODES", ReportOpcodes(2, 0x5f, 6, true, 512), "a30c825f00060000020000" + "00", 512, 0},
		{"REPORT TARGET PORT GROUPS", ReportPortGroups(true, 64), "a32a00000000000000400000", 64, 0},
		{"SET TARGET PORT GROUPS", SetPortGroups(PortGroup{ID: 2, State: Standby}), "a40a00000000000000080000", 0, 8},
		{"PERSISTENT RESERVE IN", PRIn(PRReadFullStatus, 0x0400), "5e030000000000040000", 1024, 0},
		{"PERSISTENT RESERVE OUT", PROut(PRPreemptAndAbort, 0, WriteExclusiveRegistrantsOnly, make([]byte, 24)), "5f050500000000001800", 0, 24},
		{"EXTENDED COPY", ExtendedCopy(make([]byte, 16)), "83000000000000000000000000100000", 0, 16},
		{"RECEIVE COPY STATUS", ReceiveCopyResults(ReceiveCopyStatus, 7, 12), "840007000000000000000000000c0000", 12, 0},
		{"WRITE USING TOKEN", TokenCommand(0x11, 0x01020304, make([]byte, 552)), "83110000000001020304000002280000", 0, 552},
		{"RECEIVE ROD TOKEN INFORMATION", ReceiveTokenInfo(0x01020304, 552), "84070102030400000000000002280000", 552, 0},
		{"SANITIZE", Sanitize(SanitizeOverwrite, true, true, OverwriteList(1, true, []byte{1})), "48a10000000000000500", 0, 5},
		{"START STOP UNIT", StartStop{Immed: true, Start: true, PowerCondition: 1}.Cmd(), "1b0100001100", 0, 0},
		{"LOG SENSE", LogSense(1, 0x0c, 0, 512), "4d004c00000000020000", 512, 0},
		{"READ BUFFER", ReadBuffer(0x0b, 0, 0, 4), "3c0b0000000000000400", 4, 0},
	} {
		require.Equal(t, c.cdb, hex.EncodeToString(c.cmd.CDB), c.name)
		require.Equal(t, c.in, c.cmd.In, c.name)
		require.Len(t, c.cmd.Out, c.out, c.name)
	}
}

func TestParameterListVectors(t *testing.T) {
	id := TransportID{Name: "iqn.a:b", ISID: [6]byte{0x80, 1, 2, 3, 4, 5}, HasISID: true}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"UNMAP":            {UnmapList(Extent{1, 2}, Extent{0x100000000, 3}), "0026002000000000 0000000000000001 00000002 00000000 0000000100000000 00000003 00000000"},
		"TransportID 01b":  {id.Marshal(), "4500001c" + hex.EncodeToString([]byte("iqn.a:b,i,0x800102030405")) + "00000000"},
		"TransportID 00b":  {TransportID{Name: "iqn.a:b"}.Marshal(), "05000014" + hex.EncodeToString([]byte("iqn.a:b")) + strings.Repeat("00", 13)},
		"PR OUT":           {PRParams{Key: 1, ServiceKey: 2, APTPL: true, AllPorts: true}.Marshal(), "0000000000000001 0000000000000002 00000000 05 000000"},
		"PR OUT SPEC_I_PT": {PRParams{ServiceKey: 2, SpecIPT: []TransportID{{Name: "iqn.a:b"}}}.Marshal(), "0000000000000000 0000000000000002 00000000 08 000000 00000018 05000014" + hex.EncodeToString([]byte("iqn.a:b")) + strings.Repeat("00", 13)},
		"REGISTER AND MOVE": {PRMove{Key: 1, ServiceKey: 2, Unregister: true, APTPL: true, RelativePort: 3, Destination: TransportID{Name: "iqn.a:b"}}.Marshal(),
			"0000000000000001 0000000000000002 00 03 0003 00000018 05000014" + hex.EncodeToString([]byte("iqn.a:b")) + strings.Repeat("00", 13)},
		"POPULATE TOKEN": {PopulateToken{RODType: RODTypeDefault, InactivityTimeout: 9, Extents: []Extent{{1, 2}}}.Marshal(),
			"001e 02 00 00000009 00800000 0000 0010 0000000000000001 00000002 00000000"},
		"EXTENDED COPY": {CopyList{
			ListID: 1, Usage: 2, Priority: 1, Units: []CopyUnit{{Designator{CodeSet: 1, Type: 3, ID: []byte{0x60, 1}}, 512}},
			Segments: []CopySegment{{Blocks: 8, SourceLBA: 1, DestinationLBA: 2, DestinationCount: true}},
		}.Marshal(), `01 11 0020 00000000 0000001c 00000000
			e4000000 01 03 00 02 6001000000000000000000000000000000000000 00000200
			02020018 0000 0000 0000 0008 0000000000000001 0000000000000002`},
	} {
		require.Equal(t, hex.EncodeToString(unhex(t, c.want)), hex.EncodeToString(c.got), name)
	}
	w := WriteUsingToken{Token: ZeroToken(), Offset: 5, Extents: []Extent{{7, 8}}}.Marshal()
	require.Len(t, w, 552)
	require.Equal(t, unhex(t, "0226"), w[:2])
	require.Equal(t, unhex(t, "ffff0001 0000 01f8"), w[16:24])
	require.Equal(t, unhex(t, "0010 0000000000000007 00000008"), w[534:548])
}

func TestTransportIDDecode(t *testing.T) {
	for _, id := range []TransportID{
		{Name: "iqn.2026-11.local.nas-target:initiator", ISID: [6]byte{0, 2, 0x3d, 1, 2, 3}, HasISID: true},
		{Name: "iqn.a:b"}, {Name: "iqn.a:bcdefghijklmnopqrstuvwxyz"},
	} {
		b := id.Marshal()
		got, err := DecodeTransportID(b)
		require.NoError(t, err)
		require.Equal(t, b, got.Raw)
		got.Raw = nil
		require.Equal(t, id, got)
		for cut := range len(b) {
			_, err := DecodeTransportID(b[:cut])
			require.Error(t, err)
		}
	}
	short, err := DecodeTransportID(append([]byte{0x45, 0, 0, 20}, "iqn.a:b,i,0x3d01\x00\x00\x00\x00"...))
	require.NoError(t, err, "leading zeros may be missing")
	require.Equal(t, [6]byte{0, 0, 0, 0, 0x3d, 1}, short.ISID)
	for _, bad := range []string{"iqn.a:bcdefghijklmnop", "iqn.a:b,i,0xzz\x00\x00\x00\x00\x00\x00", "iqn.a:b\x00x\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		_, err := DecodeTransportID(append([]byte{0x45, 0, 0, 20}, bad[:20]...))
		require.Error(t, err, "%q", bad)
	}
}

func TestDecodeFullStatus(t *testing.T) {
	id := TransportID{Name: "iqn.a:b", ISID: [6]byte{1}, HasISID: true}.Marshal()
	d := append(unhex(t, "1122334455667788 00000000 03 05 00000000 0002 000000"), byte(len(id)))
	d = append(d, id...)
	b := append(unhex(t, "00000009 000000"), byte(2*len(d)))
	b = append(append(b, d...), d...)
	s, err := DecodeFullStatus(b)
	require.NoError(t, err)
	require.EqualValues(t, 9, s.Generation)
	require.Len(t, s.Registrants, 2)
	r := s.Registrants[1]
	require.True(t, r.Holder && r.AllPorts)
	require.Equal(t, WriteExclusiveRegistrantsOnly, r.Type)
	require.EqualValues(t, 2, r.RelativePort)
	require.Equal(t, "iqn.a:b,i,0x010000000000", r.Initiator.String())
	for cut := range len(b) {
		_, err := DecodeFullStatus(b[:cut])
		require.Error(t, err, "%d bytes", cut)
	}
}

func TestDecodeDesignators(t *testing.T) {
	b := unhex(t, "01030010 60012345678901234567890123456789 5194 0004 00000001 53a8 0008") // truncated last one
	_, err := DecodeDesignators(b)
	require.Error(t, err)
	list, err := DecodeDesignators(b[:28])
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, Designator{CodeSet: 1, Type: DesignatorNAA, ID: b[4:20]}, list[0])
	require.Equal(t, Designator{Protocol: 5, ProtocolValid: true, CodeSet: 1, Association: AssociationPort, Type: DesignatorRelativePort, ID: []byte{0, 0, 0, 1}}, list[1])
}

func TestDecodeMode(t *testing.T) {
	b := unhex(t, "0025 00 90 00 00 0008 0000000000000200 0812 04"+strings.Repeat("00", 17)+"8a01 00")
	m, err := DecodeMode10(b)
	require.NoError(t, err)
	require.True(t, m.WriteProtected && m.DPOFUA)
	require.Len(t, m.BlockDescriptor, 8)
	p, ok := m.Find(PageCaching, 0)
	require.True(t, ok)
	require.EqualValues(t, 4, p.Raw[2])
	_, ok = m.Find(PageControl, 0)
	require.True(t, ok)
	require.True(t, m.Pages[1].Savable)
	_, err = DecodeMode10(b[:20])
	require.Error(t, err)
	m, err = DecodeMode6(unhex(t, "0b 00 80 00 0a06 000000000000"))
	require.NoError(t, err)
	require.True(t, m.WriteProtected)
	require.Equal(t, PageControl, m.Pages[0].Page)
}

func TestDecodeLBAStatusAndTokenInfo(t *testing.T) {
	b := unhex(t, "00000024 00000000 0000000000000005 00000003 01000000 0000000000000008 00000010 00000000")
	list, err := DecodeLBAStatus(b)
	require.NoError(t, err)
	require.Equal(t, []LBAStatus{{Extent{5, 3}, Deallocated}, {Extent{8, 16}, Mapped}}, list)
	list, err = DecodeLBAStatus(b[:24])
	require.NoError(t, err, "an allocation length may cut the list")
	require.Len(t, list, 1)

	info := unhex(t, "00000226 10 01 0001 fffffffe 00 04 00 f1 0000000000000008 0000 000000000000 00000000 00000202 0000")
	info = append(info, bytes.Repeat([]byte{7}, 512)...)
	i, err := DecodeTokenInfo(info)
	require.NoError(t, err)
	require.EqualValues(t, 8, i.TransferCount)
	require.Len(t, i.Token, 512)
	_, err = DecodeTokenInfo(info[:100])
	require.Error(t, err)
}

func TestDecodePortGroupsWithLongHeader(t *testing.T) {
	b := unhex(t, "00000010 10 3c 0000 00 8f 0007 00 00 00 01 0000 0003")
	list, err := DecodePortGroups(b, true)
	require.NoError(t, err)
	require.Equal(t, []PortGroup{{ID: 7, Supported: 0x8f, Ports: []uint16{3}}}, list)
}

// No parameter data of a target can bring a decoder down.
func FuzzDecoders(f *testing.F) {
	f.Add(unhexOrDie("00000010" + "0000000000000001" + "0000000000000002"))
	f.Add(TransportID{Name: "iqn.a:b"}.Marshal())
	f.Add(unhexOrDie("0103001060012345678901234567890123456789"))
	f.Add(unhexOrDie("002500900000000800000000000002000812" + "0400000000000000000000000000000000000000" + "8a0100"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		DecodeInquiry(b)
		DecodeDesignators(b)
		DecodeLUNs(b)
		DecodeMode6(b)
		DecodeMode10(b)
		DecodeLBAStatus(b)
		DecodePortGroups(b, false)
		DecodePortGroups(b, true)
		DecodeFullStatus(b)
		DecodeTransportID(b)
		DecodeTokenInfo(b)
	})
}

func TestParseURL(t *testing.T) {
	for s, want := range map[string]URL{
		"iscsi://10.0.0.1/iqn.a:b/3":            {Addr: "10.0.0.1:3260", Target: "iqn.a:b", LUN: 3},
		"iscsi://10.0.0.1:13260/iqn.a:b/0":      {Addr: "10.0.0.1:13260", Target: "iqn.a:b"},
		"iscsi://user%secret@host/iqn.a:b/1":    {User: "user", Secret: "secret", Addr: "host:3260", Target: "iqn.a:b", LUN: 1},
		"iscsi://user:pa%40ss@host:1/iqn.a:b/1": {User: "user", Secret: "pa@ss", Addr: "host:1", Target: "iqn.a:b", LUN: 1},
		"iscsi://user@host/iqn.a:b/1":           {User: "user", Addr: "host:3260", Target: "iqn.a:b", LUN: 1},
		"iscsi://[fe80::1]:3261/iqn.a:b/2":      {Addr: "[fe80::1]:3261", Target: "iqn.a:b", LUN: 2},
		"iscsi://[fe80::1]/iqn.a:b/2":           {Addr: "[fe80::1]:3260", Target: "iqn.a:b", LUN: 2},
		"iscsi://host":                          {Addr: "host:3260"},
		"iscsi://host/":                         {Addr: "host:3260"},
		"iscsi://host/iqn.a:b/4?header_digest=crc32c&target_user=t&target_password=p%26w": {
			Addr: "host:3260", Target: "iqn.a:b", LUN: 4, HeaderDigest: "CRC32C", TargetUser: "t", TargetSecret: "p&w",
		},
	} {
		got, err := ParseURL(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, bad := range []string{"http://x", "iscsi://", "iscsi:///iqn/1", "iscsi://h/iqn.a:b", "iscsi://h/iqn/x", "iscsi://h/iqn/99999",
		"iscsi://h/iqn/1?header_digest=md5", "iscsi://h/iqn/1?colour=red"} {
		_, err := ParseURL(bad)
		require.Error(t, err, bad)
	}
	require.Equal(t, "s", URL{User: "u", Secret: "s"}.Config().CHAP.Secret)
}

func TestLUNForms(t *testing.T) {
	require.Equal(t, LUN(0x0005000000000000), FlatLUN(5))
	require.Equal(t, LUN(0x4100000000000000), FlatLUN(256))
	for _, n := range []uint16{0, 1, 255, 256, 16383} {
		got, ok := FlatLUN(n).Number()
		require.True(t, ok)
		require.Equal(t, n, got)
	}
	_, ok := LUN(0x0001000200000000).Number()
	require.False(t, ok)
}

func TestExtents(t *testing.T) {
	var e extents
	require.True(t, e.add(10, 20))
	require.True(t, e.add(30, 40))
	require.True(t, e.add(20, 30))
	require.Equal(t, 30, e.total())
	require.Len(t, e.list, 1)
	require.False(t, e.add(15, 16))
	require.False(t, e.add(5, 11))
	require.Equal(t, 35, e.total())
	require.Equal(t, 40, e.end())
	require.True(t, e.add(0, 5))
	require.Equal(t, []extent{{0, 40}}, e.list)
}
