package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSerialOrder(t *testing.T) {
	for _, c := range []struct {
		a, b   Serial
		before bool
		diff   int32 // a - b
	}{
		{0, 0, false, 0},
		{0, 1, true, -1},
		{1, 0, false, 1},
		{0xffffffff, 0, true, -1},
		{0, 0xffffffff, false, 1},
		{0xfffffff0, 0x0f, true, -31},
		{0x7fffffff, 0x80000000, true, -1},
		{0, 0x7fffffff, true, -0x7fffffff},
		{0x80000001, 0, true, -0x7fffffff},
		{0x7fffffff, 0, false, 0x7fffffff},
	} {
		require.Equal(t, c.before, c.a.Before(c.b), "%x %x", c.a, c.b)
		require.Equal(t, c.diff, c.a.Sub(c.b), "%x %x", c.a, c.b)
	}
}

func TestSerialAdd(t *testing.T) {
	require.Equal(t, Serial(0), Serial(0xffffffff).Add(1))
	require.Equal(t, Serial(0xffffffff), Serial(0).Add(-1))
	require.Equal(t, Serial(0x80000004), Serial(5).Add(0x7fffffff))
	require.Equal(t, Serial(7), Serial(7).Add(0))
}

func TestSerialWindow(t *testing.T) {
	for _, c := range []struct {
		name        string
		first, last Serial
		in, out     []Serial
	}{
		{"plain", 10, 12, []Serial{10, 11, 12}, []Serial{9, 13, 0, 0x8000000b}},
		{"one place", 5, 5, []Serial{5}, []Serial{4, 6}},
		{"closed: MaxCmdSN = ExpCmdSN-1", 5, 4, nil, []Serial{3, 4, 5, 6}},
		{"closed at the wrap", 0, 0xffffffff, nil, []Serial{0xfffffffe, 0xffffffff, 0, 1}},
		{"across the wrap", 0xfffffffe, 1, []Serial{0xfffffffe, 0xffffffff, 0, 1}, []Serial{0xfffffffd, 2}},
		{"last far before first", 5, 1, nil, []Serial{0, 1, 2, 3, 4, 5, 6}},
		{"largest", 0, 0x7fffffff, []Serial{0, 1, 0x7fffffff}, []Serial{0x80000000, 0xffffffff}},
	} {
		for _, s := range c.in {
			require.True(t, s.In(c.first, c.last), "%s: %x", c.name, s)
		}
		for _, s := range c.out {
			require.False(t, s.In(c.first, c.last), "%s: %x", c.name, s)
		}
	}
}

// Where the window starts must not matter.
func TestSerialWindowShifts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := Serial(rapid.Uint32().Draw(t, "first"))
		size := rapid.Uint32Max(1<<31-1).Draw(t, "size")
		offset := rapid.Int32().Draw(t, "offset")
		s := first + Serial(offset)
		want := offset >= 0 && uint32(offset) < size
		require.Equal(t, want, s.In(first, first+Serial(size)-1))
		if offset != -1<<31 {
			require.Equal(t, offset, s.Sub(first))
			require.Equal(t, offset < 0, s.Before(first))
		}
	})
}
