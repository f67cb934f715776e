package pdu

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func withLengths(ahsWords uint8, data uint32) *BHS {
	h := new(BHS)
	putLengths(h, ahsWords, data)
	return h
}

func TestLayout(t *testing.T) {
	for _, c := range []struct {
		name string
		ahs  uint8
		data uint32
		d    Digests
		want Layout
	}{
		{"header alone", 0, 0, Digests{}, Layout{48, 48, 48, 48, 48, 48}},
		{"no data, so no data digest", 0, 0, Digests{Header: true, Data: true}, Layout{48, 48, 52, 52, 52, 52}},
		{"data without padding", 0, 8, Digests{}, Layout{48, 48, 48, 56, 56, 56}},
		{"one byte of data", 0, 1, Digests{}, Layout{48, 48, 48, 49, 52, 52}},
		{"data digest", 0, 3, Digests{Data: true}, Layout{48, 48, 48, 51, 52, 56}},
		{"all parts", 7, 5, Digests{Header: true, Data: true}, Layout{48, 76, 80, 85, 88, 92}},
		{
			"largest", 255, MaxDataSegmentLength, Digests{Header: true, Data: true},
			Layout{48, 1068, 1072, 1072 + 1<<24 - 1, 1072 + 1<<24, 1076 + 1<<24},
		},
	} {
		h := withLengths(c.ahs, c.data)
		require.Equal(t, c.want, h.Layout(c.d), c.name)
		require.Equal(t, c.want.End, h.Len(c.d), c.name)
	}
}

func TestFrame(t *testing.T) {
	h := withLengths(2, 5)
	ahs := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	data := []byte("hello")
	for _, d := range []Digests{{}, {Header: true}, {Data: true}, {Header: true, Data: true}} {
		wire := AppendFrame(nil, h, ahs, data, d)
		require.Len(t, wire, h.Len(d))

		f, rest, err := SplitFrame(append(wire, 0xee), d)
		require.NoError(t, err)
		require.Equal(t, []byte{0xee}, rest)
		require.Equal(t, h, f.Header)
		require.Equal(t, ahs, f.AHS)
		require.Equal(t, data, f.Data)
		require.Equal(t, make([]byte, 3), f.Padding)
		require.Len(t, f.HeaderDigest, len(wire[:bit(d.Header, 4)]))
		require.Len(t, f.DataDigest, len(wire[:bit(d.Data, 4)]))
		require.NoError(t, f.Verify())

		for n := range wire {
			_, rest, err := SplitFrame(wire[:n], d)
			require.ErrorIs(t, err, ErrShortFrame, "%d of %d bytes", n, len(wire))
			require.Len(t, rest, n)
		}
	}
}

// Any flipped bit under a digest is seen, and blamed on the right part.
func TestFrameVerify(t *testing.T) {
	both := Digests{Header: true, Data: true}
	h := withLengths(1, 5)
	wire := AppendFrame(nil, h, []byte{0, 1, 9, 9}, []byte("hello"), both)
	l := h.Layout(both)
	for i := range wire {
		if 4 <= i && i < 8 {
			continue // lengths: another frame altogether
		}
		bad := bytes.Clone(wire)
		bad[i] ^= 0x10
		f, _, err := SplitFrame(bad, both)
		require.NoError(t, err)
		want := ErrHeaderDigest
		if i >= l.Data {
			want = ErrDataDigest
		}
		require.ErrorIs(t, f.Verify(), want, "byte %d", i)
	}
}

func TestFrameWithoutDataHasNoDataDigest(t *testing.T) {
	wire := AppendFrame(nil, new(BHS), nil, nil, Digests{Data: true})
	require.Len(t, wire, BHSLen)
}

func FuzzFrame(f *testing.F) {
	f.Add(AppendFrame(nil, withLengths(2, 5), make([]byte, 8), []byte("hello"), Digests{true, true}), true, true)
	f.Add(make([]byte, BHSLen), false, true)
	f.Fuzz(func(t *testing.T, b []byte, hd, dd bool) {
		d := Digests{hd, dd}
		fr, rest, err := SplitFrame(b, d)
		if err != nil {
			return
		}
		require.Equal(t, len(b), fr.Header.Len(d)+len(rest))
		require.Len(t, fr.Data, fr.Header.DataSegmentLength())
		again := AppendFrame(nil, fr.Header, fr.AHS, fr.Data, d)
		g, _, err := SplitFrame(again, d)
		require.NoError(t, err)
		require.NoError(t, g.Verify())
		require.True(t, bytes.Equal(fr.Data, g.Data))
	})
}
