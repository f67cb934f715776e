package pdu

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The examples of RFC 7143 Appendix A.4, digest bytes as they are sent.
func TestDigestExamples(t *testing.T) {
	var zero, ones, up, down [32]byte
	for i := range 32 {
		ones[i], up[i], down[i] = 0xff, byte(i), byte(31-i)
	}
	for _, c := range []struct {
		name string
		data []byte
		want [4]byte
	}{
		{"zeros", zero[:], [4]byte{0xaa, 0x36, 0x91, 0x8a}},
		{"ones", ones[:], [4]byte{0x43, 0xab, 0xa8, 0x62}},
		{"incrementing", up[:], [4]byte{0x4e, 0x79, 0xdd, 0x46}},
		{"decrementing", down[:], [4]byte{0x5c, 0xdb, 0x3f, 0x11}},
	} {
		require.Equal(t, c.want, DataDigest(c.data).Wire(), c.name)
	}
	h := header(t, `01 c0 0000 00 000000 0000000000000000 14000000 00000400
		00000014 00000018 28000000 00000000 02000000 00000000`)
	require.Equal(t, [4]byte{0x56, 0x3a, 0x96, 0xd9}, HeaderDigest(&h, nil).Wire())
}

func TestDigestCoversPadding(t *testing.T) {
	for n := range 9 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i + 1)
		}
		padded := append(append([]byte{}, data...), make([]byte, Pad(n))...)
		require.Equal(t, Digest(0).Update(padded), DataDigest(data), "%d bytes", n)
	}
}

func TestDigestIsIncremental(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
		whole := Digest(0).Update(data)
		require.Equal(t, whole, Digest(0).Update(data[:cut]).Update(data[cut:]))
		require.Equal(t, whole, WireDigest(whole.Wire()))
		wire := whole.Wire()
		require.Equal(t, wire[:], whole.Append(nil))
	})
}

func TestHeaderDigestCoversAHS(t *testing.T) {
	h := BHS{1, 2, 3}
	ahs := []byte{9, 8, 7, 6}
	require.Equal(t, Digest(0).Update(append(h[:], ahs...)), HeaderDigest(&h, ahs))
	require.NotEqual(t, HeaderDigest(&h, nil), HeaderDigest(&h, ahs))
}
