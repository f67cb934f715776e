package pdu

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func sequence(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestExtendedCDB(t *testing.T) {
	// 32-byte CDB: AHSLength 17, type 1, reserved, 16 bytes, no padding.
	wire := AppendExtendedCDB(nil, sequence(32))
	require.Equal(t, append([]byte{0, 17, 1, 0}, sequence(32)[16:]...), wire)

	a, rest, err := NextAHS(wire)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, AHSExtendedCDB, a.Type)
	cdb, err := a.AppendCDB(nil, (*[16]byte)(sequence(16)))
	require.NoError(t, err)
	require.Equal(t, sequence(32), cdb)

	// 17 bytes: one byte and three of padding.
	require.Equal(t, []byte{0, 2, 1, 0, 16, 0, 0, 0}, AppendExtendedCDB(nil, sequence(17)))
	require.Empty(t, AppendExtendedCDB(nil, sequence(16)))

	for n := 17; n < 60; n++ {
		a, rest, err := NextAHS(AppendExtendedCDB(nil, sequence(n)))
		require.NoError(t, err)
		require.Empty(t, rest)
		cdb, err := a.AppendCDB(nil, (*[16]byte)(sequence(16)))
		require.NoError(t, err)
		require.Equal(t, sequence(n), cdb)
	}
	require.Len(t, AppendExtendedCDB(nil, make([]byte, 70000)), Padded(3+0xffff))
}

func TestBidiReadLength(t *testing.T) {
	wire := AppendBidiReadLength(nil, 0x01020304)
	require.Equal(t, []byte{0, 5, 2, 0, 1, 2, 3, 4}, wire)
	a, rest, err := NextAHS(wire)
	require.NoError(t, err)
	require.Empty(t, rest)
	n, err := a.BidiReadLength()
	require.NoError(t, err)
	require.Equal(t, uint32(0x01020304), n)
}

func TestAHSOfTheWrongForm(t *testing.T) {
	for _, a := range []AHS{{}, {Type: AHSExtendedCDB}, {Type: AHSExtendedCDB, Content: []byte{0}}, {Type: AHSBidiReadLength, Content: make([]byte, 17)}} {
		dst, err := a.AppendCDB([]byte{1}, new([16]byte))
		require.ErrorIs(t, err, ErrAHSForm)
		require.Equal(t, []byte{1}, dst)
	}
	for _, a := range []AHS{{}, {Type: AHSBidiReadLength, Content: make([]byte, 4)}, {Type: AHSBidiReadLength, Content: make([]byte, 6)}, {Type: AHSExtendedCDB, Content: make([]byte, 5)}} {
		_, err := a.BidiReadLength()
		require.ErrorIs(t, err, ErrAHSForm)
	}
}

func TestAHSPrefixesAreRefused(t *testing.T) {
	wire := AppendExtendedCDB(nil, sequence(33)) // 3 bytes of padding
	for n := range wire {
		_, rest, err := NextAHS(wire[:n])
		require.ErrorIs(t, err, ErrAHSLength, "%d of %d bytes", n, len(wire))
		require.Len(t, rest, n)
	}
	// AHSLength beyond the announced header segments.
	_, _, err := NextAHS([]byte{0xff, 0xff, 1, 0, 0, 0, 0, 0})
	require.ErrorIs(t, err, ErrAHSLength)
}

func TestAHSList(t *testing.T) {
	wire := AppendAHS(AppendBidiReadLength(AppendExtendedCDB(nil, sequence(20)), 7), 0x3f, nil)
	var types []AHSType
	for len(wire) > 0 {
		a, rest, err := NextAHS(wire)
		require.NoError(t, err)
		types = append(types, a.Type)
		wire = rest
	}
	require.Equal(t, []AHSType{AHSExtendedCDB, AHSBidiReadLength, 0x3f}, types)
	require.Len(t, AppendAHS(nil, 1, make([]byte, 70000)), Padded(3+0xffff))
}

func TestAHSReservedBits(t *testing.T) {
	a, _, err := NextAHS([]byte{0, 5, 0xc2, 0xff, 0, 0, 0, 9})
	require.NoError(t, err)
	n, err := a.BidiReadLength()
	require.NoError(t, err)
	require.Equal(t, uint32(9), n)
}

func TestAHSNames(t *testing.T) {
	require.Equal(t, "extended CDB", AHSExtendedCDB.String())
	require.Equal(t, "bidirectional read length", AHSBidiReadLength.String())
	require.Equal(t, "AHS type(3)", AHSType(3).String())
}

func FuzzAHS(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 1, 0})
	f.Add(AppendExtendedCDB(nil, sequence(32)))
	f.Add(AppendBidiReadLength(AppendExtendedCDB(nil, sequence(17)), 512))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		for len(b) > 0 {
			a, rest, err := NextAHS(b)
			if err != nil {
				require.Equal(t, b, rest)
				return
			}
			if len(b)-len(rest) < 4 {
				t.Fatal("no progress")
			}
			again = AppendAHS(again[:0], a.Type, a.Content)
			c, tail, err := NextAHS(again)
			require.NoError(t, err)
			require.Empty(t, tail)
			require.Equal(t, a.Type, c.Type)
			require.True(t, bytes.Equal(a.Content, c.Content))
			if cdb, err := a.AppendCDB(nil, new([16]byte)); err == nil {
				require.Greater(t, len(cdb), 16)
			}
			b = rest
		}
	})
}
