package pdu

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// vector is one header written down from the layout in RFC 7143 §11, the value
// it stands for and the line that describes it.
type vector struct {
	name string
	hex  string
	want PDU
	line string
}

func checkVectors(t *testing.T, vectors []vector) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			h := header(t, v.hex)
			require.Equal(t, v.want.Opcode(), h.Opcode())

			got := New(h.Opcode())
			got.Decode(&h)
			require.Equal(t, v.want, got)
			require.Equal(t, v.line, Dump(&h))

			dirty := allOnes()
			v.want.Encode(&dirty)
			require.Equal(t, h, dirty, "every byte is written")
		})
	}
}

func header(t testing.TB, s string) BHS {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	require.Len(t, b, BHSLen)
	return BHS(b)
}

func allOnes() (h BHS) {
	for i := range h {
		h[i] = 0xff
	}
	return h
}

// meaning has a one for each bit of a header that carries a field; all others
// are reserved or fixed and must not change what is decoded. The opcode is
// left out.
var meaning = map[Opcode]string{
	OpNOPOut: `40000000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           ffffffff ffffffff 00000000 00000000 00000000 00000000`,
	OpSCSICommand: `40e7f000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff`,
	OpTMFRequest: `407f0000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           ffffffff ffffffff ffffffff ffffffff 00000000 00000000`,
	OpLoginRequest: `40cfffff ffffffff ffffffff ffffffff ffffffff ffff0000
	           ffffffff ffffffff 00000000 00000000 00000000 00000000`,
	OpTextRequest: `40c00000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           ffffffff ffffffff 00000000 00000000 00000000 00000000`,
	OpDataOut: `00800000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           00000000 ffffffff 00000000 ffffffff ffffffff 00000000`,
	OpLogoutRequest: `407f0000 ffffffff 00000000 00000000 ffffffff ffff0000
	           ffffffff ffffffff 00000000 00000000 00000000 00000000`,
	OpSNACKRequest: `000f0000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           00000000 ffffffff 00000000 00000000 ffffffff ffffffff`,
	OpNOPIn: `00000000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           ffffffff ffffffff ffffffff 00000000 00000000 00000000`,
	OpSCSIResponse: `001effff ffffffff ffff0000 00000000 ffffffff ffffffff
	           ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff`,
	OpTMFResponse: `0000ff00 ffffffff ffffff00 00000000 ffffffff 00000000
	           ffffffff ffffffff ffffffff 00000000 00000000 00000000`,
	OpLoginResponse: `00cfffff ffffffff ffffffff ffffffff ffffffff 00000000
	           ffffffff ffffffff ffffffff ffff0000 00000000 00000000`,
	OpTextResponse: `00c00000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           ffffffff ffffffff ffffffff 00000000 00000000 00000000`,
	OpDataIn: `00c700ff ffffffff ffffffff ffffffff ffffffff ffffffff
	           ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff`,
	OpLogoutResponse: `0000ff00 ffffffff 00000000 00000000 ffffffff 00000000
	           ffffffff ffffffff ffffffff 00000000 ffffffff 00000000`,
	OpR2T: `00000000 ffffffff ffffffff ffffffff ffffffff ffffffff
	           ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff`,
	OpAsyncMessage: `00000000 ffffffff ffffffff ffffffff 00000000 00000000
	           ffffffff ffffffff ffffffff ffffffff ffffffff 00000000`,
	OpReject: `0000ff00 ffffffff 00000000 00000000 00000000 00000000
	           ffffffff ffffffff ffffffff ffffffff 00000000 00000000`,
}

func TestEachBitIsAFieldOrIgnored(t *testing.T) {
	for op, s := range meaning {
		mask := header(t, s)
		t.Run(op.String(), func(t *testing.T) {
			base := BHS{byte(op)}
			plain := New(op)
			plain.Decode(&base)
			var clean BHS
			plain.Encode(&clean)

			for i := range base {
				for b := byte(1); b != 0; b <<= 1 {
					if i == 0 && b < 0x40 {
						continue // opcode
					}
					h := base
					h[i] |= b
					got := New(op)
					got.Decode(&h)
					if mask[i]&b == 0 {
						require.Equal(t, plain, got, "byte %d bit %02x is reserved", i, b)
						continue
					}
					require.NotEqual(t, plain, got, "byte %d bit %02x is a field", i, b)
					want := clean
					want[i] |= b
					var out BHS
					got.Encode(&out)
					require.Equal(t, want, out, "byte %d bit %02x comes back", i, b)
				}
			}
		})
	}
}

// bits holds the fields that are narrower on the wire than in Go.
var bits = map[string]int{
	"DataSegmentLength": 24, "Attr": 3, "Pri": 4, "CSG": 2, "NSG": 2,
	"TMFRequest.Function": 7, "LogoutRequest.Reason": 7, "SNACKRequest.Type": 4,
}

// draw fills every field of a PDU with a value that fits its place.
func draw(t *rapid.T, p PDU) {
	v := reflect.ValueOf(p).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		width, narrow := bits[name]
		if !narrow {
			width, narrow = bits[v.Type().Name()+"."+name]
		}
		f := v.Field(i)
		switch f.Kind() {
		case reflect.Bool:
			f.SetBool(rapid.Bool().Draw(t, name))
		case reflect.Array:
			for j := range f.Len() {
				f.Index(j).SetUint(uint64(rapid.Byte().Draw(t, name)))
			}
		default:
			if !narrow {
				width = f.Type().Bits()
			}
			f.SetUint(rapid.Uint64Max(1<<width-1).Draw(t, name))
		}
	}
}

func TestRandomValuesComeBack(t *testing.T) {
	for op := range meaning {
		t.Run(op.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := New(op)
				draw(t, p)
				h := allOnes()
				p.Encode(&h)
				got := New(op)
				got.Decode(&h)
				require.Equal(t, p, got)
				require.Equal(t, op, h.Opcode())
			})
		})
	}
}

// A value too wide for its place must not spill into its neighbours.
func TestWideValuesAreCut(t *testing.T) {
	for op, s := range meaning {
		mask := header(t, s)
		t.Run(op.String(), func(t *testing.T) {
			p := New(op)
			var zero BHS
			p.Encode(&zero)
			v := reflect.ValueOf(p).Elem()
			for i := range v.NumField() {
				switch f := v.Field(i); f.Kind() {
				case reflect.Bool:
					f.SetBool(true)
				case reflect.Array:
					for j := range f.Len() {
						f.Index(j).SetUint(0xff)
					}
				default:
					f.SetUint(1<<f.Type().Bits() - 1)
				}
			}
			var h BHS
			p.Encode(&h)
			for i := range h {
				require.Equal(t, zero[i]|mask[i], h[i], "byte %d", i)
			}
		})
	}
}

func TestOpcodes(t *testing.T) {
	known := 0
	for n := range 0x40 {
		op := Opcode(n)
		p := New(op)
		require.Equal(t, op.Known(), p != nil, op)
		require.Equal(t, n < 0x20, op.FromInitiator(), op)
		if p == nil {
			require.Equal(t, "opcode "+hex.EncodeToString([]byte{byte(n)})+"h", op.String())
			h := BHS{byte(n)}
			require.Equal(t, op.String()+" "+hex.EncodeToString(h[:]), Dump(&h))
			continue
		}
		known++
		require.Equal(t, op, p.Opcode())
		require.Contains(t, meaning, op)
		require.True(t, strings.HasPrefix(p.String(), op.String()), "%s", p)
	}
	require.Equal(t, 18, known)
	require.Len(t, meaning, known)
	require.False(t, Opcode(0x41).Known())
}

func TestRawHeader(t *testing.T) {
	h := header(t, `41 80 00 00 02 01 02 03 0001000000000000 0a0b0c0d 00000000
		11121314 21222324 00000000 00000000 00000000 00000000`)
	require.Equal(t, OpSCSICommand, h.Opcode())
	require.True(t, h.Immediate())
	require.True(t, h.Final())
	require.Equal(t, 8, h.AHSLength())
	require.Equal(t, 0x010203, h.DataSegmentLength())
	require.Equal(t, uint32(0x0a0b0c0d), h.ITT())
	require.Equal(t, Serial(0x11121314), h.CmdSN())
	require.Equal(t, Serial(0x21222324), h.ExpStatSN())

	var zero BHS
	require.False(t, zero.Immediate())
	require.False(t, zero.Final())

	ones := allOnes()
	require.Equal(t, OpReject, ones.Opcode())
	require.Equal(t, MaxAHSLen, ones.AHSLength())
	require.Equal(t, MaxDataSegmentLength, ones.DataSegmentLength())
}

func TestPad(t *testing.T) {
	for n, want := range []int{0, 3, 2, 1, 0, 3, 2, 1, 0} {
		require.Equal(t, want, Pad(n), "%d", n)
		require.Equal(t, n+want, Padded(n), "%d", n)
	}
}

func TestLUNString(t *testing.T) {
	for _, c := range []struct {
		lun  LUN
		want string
	}{
		{0, "0"},
		{0x0005_0000_0000_0000, "5"},
		{0x00ff_0000_0000_0000, "255"},
		{0x4000_0000_0000_0000, "0"},
		{0x4101_0000_0000_0000, "257"},
		{0x7fff_0000_0000_0000, "16383"},
		{0x0100_0000_0000_0000, "0100000000000000"}, // bus 1
		{0x8000_0000_0000_0000, "8000000000000000"},
		{0xc101_0000_0000_0000, "c101000000000000"}, // REPORT LUNS well-known unit
		{0x0005_0000_0000_0001, "0005000000000001"},
		{0x0005_0001_0000_0000, "0005000100000000"},
	} {
		require.Equal(t, c.want, c.lun.String())
	}
}

func FuzzHeader(f *testing.F) {
	for op := range meaning {
		h := allOnes()
		h[0] = byte(op)
		f.Add(h[:])
		p := New(op)
		p.Encode(&h)
		f.Add(h[:])
	}
	f.Add(make([]byte, BHSLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < BHSLen {
			return
		}
		h := BHS(b)
		if Dump(&h) == "" {
			t.Fatal("no description")
		}
		first := New(h.Opcode())
		if first == nil {
			return
		}
		first.Decode(&h)
		wire := allOnes()
		first.Encode(&wire)
		second := New(wire.Opcode())
		second.Decode(&wire)
		require.Equal(t, first, second)
		require.Equal(t, h.Len(Digests{true, true}), wire.Len(Digests{true, true}))
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	h, out := new(BHS), new(BHS)
	ahs := AppendBidiReadLength(AppendExtendedCDB(nil, make([]byte, 32)), 512)
	data := make([]byte, 5)
	var cmd SCSICommand
	var in DataIn
	var resp SCSIResponse
	var dataOut DataOut
	var r2t R2T
	for name, run := range map[string]func(){
		"SCSI Command":  func() { cmd.Decode(h); cmd.Encode(out) },
		"Data-In":       func() { in.Decode(h); in.Encode(out) },
		"SCSI Response": func() { resp.Decode(h); resp.Encode(out) },
		"Data-Out":      func() { dataOut.Decode(h); dataOut.Encode(out) },
		"R2T":           func() { r2t.Decode(h); r2t.Encode(out) },
		"layout":        func() { _ = h.Layout(Digests{true, true}) },
		"digests":       func() { _ = HeaderDigest(h, ahs).Wire(); _ = DataDigest(data).Wire() },
		"AHS": func() {
			for rest := ahs; len(rest) > 0; {
				_, next, err := NextAHS(rest)
				if err != nil {
					t.Fatal(err)
				}
				rest = next
			}
		},
	} {
		require.Zero(t, testing.AllocsPerRun(100, run), name)
	}
}
