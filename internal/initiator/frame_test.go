package initiator

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	require.NoError(t, err)
	return b
}

// The vectors of RFC 7143 appendix A.4 (RFC 3720 B.4).
func TestDigestVectors(t *testing.T) {
	up, down := make([]byte, 32), make([]byte, 32)
	for i := range up {
		up[i], down[i] = byte(i), byte(31-i)
	}
	read := unhex(t, `01c00000 00000000 00000000 00000000
		14000000 00000400 00000014 00000018
		28000000 00000000 02000000 00000000`)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"zeros", make([]byte, 32), "aa36918a"},
		{"ones", bytes.Repeat([]byte{0xff}, 32), "43aba862"},
		{"incrementing", up, "4e79dd46"},
		{"decrementing", down, "5cdb3f11"},
		{"SCSI Read", read, "563a96d9"},
	} {
		d := digest(c.data)
		require.Equal(t, c.want, hex.EncodeToString(d[:]), c.name)
		d = digest(c.data[:7], c.data[7:])
		require.Equal(t, c.want, hex.EncodeToString(d[:]), "%s in parts", c.name)
	}
}

// Each request against bytes written down from the figures of RFC 7143 §11.3 to
// §11.18.
func TestRequestVectors(t *testing.T) {
	const isid = "800001020304"
	for _, c := range []struct {
		name string
		pdu  *PDU
		want string
	}{
		{"SCSI Command, read", SCSICommandPDU{
			Final: true, Read: true, Attr: Simple, LUN: FlatLUN(1), ITT: 0x11223344, EDTL: 4096,
			CDB: []byte{0x28, 0, 0, 0, 0, 7, 0, 0, 8, 0},
		}.PDU(), `01c10000 00000000 0001000000000000 11223344 00001000 00000000 00000000
			28000000 00070000 08000000 00000000`},
		{"SCSI Command, write with immediate data", SCSICommandPDU{
			Write: true, Attr: HeadOfQueue, LUN: FlatLUN(300), ITT: 1, EDTL: 6, CDB: []byte{0x0a}, Data: []byte("abcdef"),
		}.PDU(), `01230000 00000006 412c000000000000 00000001 00000006 00000000 00000000
			0a000000 00000000 00000000 00000000 6162636465660000`},
		{"SCSI Command, CDB of 20 bytes", SCSICommandPDU{
			Immediate: true, Final: true, ITT: 2,
			CDB: unhex(t, "7f000000 00000000 00000000 00000000 a1a2a3a4"),
		}.PDU(), `41800000 02000000 0000000000000000 00000002 00000000 00000000 00000000
			7f000000 00000000 00000000 00000000 00050100 a1a2a3a4`},
		{"Data-Out", DataOutPDU{
			Final: true, LUN: FlatLUN(2), ITT: 3, TTT: 0xaabbccdd, DataSN: 4, Offset: 0x2000, Data: []byte{1, 2, 3, 4},
		}.PDU(), `05800000 00000004 0002000000000000 00000003 aabbccdd 00000000 00000000
			00000000 00000004 00002000 00000000 01020304`},
		{"NOP-Out", NOPOutPDU{Immediate: true, ITT: NoTag, TTT: 9, LUN: FlatLUN(1)}.PDU(),
			`40800000 00000000 0001000000000000 ffffffff 00000009 00000000 00000000
			00000000 00000000 00000000 00000000`},
		{"Task Management Request", TMFRequestPDU{
			Immediate: true, Function: TMFAbortTask, LUN: FlatLUN(1), ITT: 5, ReferencedTag: 4, RefCmdSN: 17, ExpDataSN: 3,
		}.PDU(), `42810000 00000000 0001000000000000 00000005 00000004 00000000 00000000
			00000011 00000003 00000000 00000000`},
		{"Login Request", LoginPDU{
			Transit: true, CSG: 1, NSG: 3, ISID: [6]byte(unhex(t, isid)), TSIH: 0x0506, ITT: 7, CID: 8, Data: []byte("A=b\x00"),
		}.PDU(), `43870000 00000004` + isid + `0506 00000007 00080000 00000000 00000000
			00000000 00000000 00000000 00000000 413d6200`},
		{"Login Request, continued", LoginPDU{Continue: true, VersionMax: 2, VersionMin: 1}.PDU(),
			`43400201 00000000 0000000000000000 00000000 00000000 00000000 00000000
			00000000 00000000 00000000 00000000`},
		{"Text Request", TextPDU{Final: true, ITT: 1, TTT: NoTag, Data: []byte("SendTargets=All\x00")}.PDU(),
			`04800000 00000010 0000000000000000 00000001 ffffffff 00000000 00000000
			00000000 00000000 00000000 00000000 53656e64546172676574733d416c6c00`},
		{"Logout Request", LogoutPDU{Reason: LogoutConnection, ITT: 6, CID: 3}.PDU(),
			`06810000 00000000 0000000000000000 00000006 00030000 00000000 00000000
			00000000 00000000 00000000 00000000`},
		{"SNACK", SNACKPDU{Type: SNACKRData, ITT: 1, TTT: 2, BegRun: 3, RunLength: 4}.PDU(),
			`10830000 00000000 0000000000000000 00000001 00000002 00000000 00000000
			00000000 00000000 00000003 00000004`},
	} {
		got := Encoding{}.Append(nil, c.pdu)
		require.Equal(t, hex.EncodeToString(unhex(t, c.want)), hex.EncodeToString(got), c.name)
	}
}

func newFramer(b []byte, header, data bool) *framer {
	return &framer{
		r: bufio.NewReader(bytes.NewReader(b)), headerDigest: header, dataDigest: data,
		maxData: 4096, soft: func(Rule, *PDU, string) {},
	}
}

func TestFrameRoundTrip(t *testing.T) {
	for _, digests := range []struct{ header, data bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
		for _, n := range []int{0, 1, 2, 3, 4, 5, 511, 4096} {
			for _, ahs := range []int{0, 4, 20} {
				p := TextPDU{Final: true, ITT: 9, Data: bytes.Repeat([]byte{0x5a}, n)}.PDU()
				p.AHS = bytes.Repeat([]byte{7}, ahs)
				b := Encoding{HeaderDigest: digests.header, DataDigest: digests.data}.Append(nil, p)
				require.Zero(t, len(b)%4)
				f := newFramer(append(b, b...), digests.header, digests.data)
				for range 2 {
					got := new(PDU)
					require.NoError(t, f.read(got, nil))
					require.Equal(t, p.BHS, got.BHS)
					require.True(t, bytes.Equal(p.AHS, got.AHS) && bytes.Equal(p.Data, got.Data))
				}
				require.ErrorIs(t, f.read(new(PDU), nil), io.EOF)
				// Every strict prefix but the empty one is a truncated PDU.
				for k := 1; k < len(b); k += max(1, len(b)/64) {
					require.ErrorIs(t, newFramer(b[:k], digests.header, digests.data).read(new(PDU), nil), io.ErrUnexpectedEOF)
				}
			}
		}
	}
}

func TestDigestsCatchEveryBitFlip(t *testing.T) {
	p := DataOutPDU{ITT: 1, Data: []byte("data of one block")}.PDU()
	b := Encoding{HeaderDigest: true, DataDigest: true}.Append(nil, p)
	for bit := range len(b) * 8 {
		bad := bytes.Clone(b)
		bad[bit/8] ^= 1 << (bit % 8)
		require.Error(t, newFramer(bad, true, true).read(new(PDU), nil), "bit %d", bit)
	}
}

func TestFaultsDamageWhatTheyName(t *testing.T) {
	text := func() *PDU { return TextPDU{Data: []byte("abcde")}.PDU() }
	plain := Encoding{HeaderDigest: true, DataDigest: true}
	good := plain.Append(nil, text())
	with := func(f Fault) []byte { e := plain; e.Fault = f; return e.Append(nil, text()) }

	require.NotEqual(t, good[48:52], with(CorruptHeaderDigest)[48:52])
	require.Equal(t, good[52:], with(CorruptHeaderDigest)[52:])
	require.Equal(t, good[:60], with(CorruptDataDigest)[:60])
	require.NotEqual(t, good[60:], with(CorruptDataDigest)[60:])
	require.Len(t, with(NoPadding), len(good)-3)
	require.Equal(t, []byte{0xff, 0xff, 0xff}, with(DirtyPadding)[57:60])
	p := text()
	p.SetDataLen(1 << 20)
	p.BHS[4] = 200
	b := Encoding{Fault: KeepLengths}.Append(nil, p)
	require.Equal(t, []byte{200, 0x10, 0, 0}, b[4:8])
}

func FuzzFrame(f *testing.F) {
	f.Add(Encoding{}.Append(nil, TextPDU{Data: []byte("A=b\x00")}.PDU()), false, false)
	f.Add(Encoding{HeaderDigest: true, DataDigest: true}.Append(nil, DataOutPDU{Data: make([]byte, 9)}.PDU()), true, true)
	f.Fuzz(func(t *testing.T, b []byte, header, data bool) {
		fr := newFramer(b, header, data)
		p := new(PDU)
		if fr.read(p, nil) != nil {
			return
		}
		again := Encoding{HeaderDigest: header, DataDigest: data}.Append(nil, p)
		q := new(PDU)
		require.NoError(t, newFramer(again, header, data).read(q, nil))
		require.Equal(t, p, q)
		checkLayout(p, func(Rule, *PDU, string) {})
	})
}
