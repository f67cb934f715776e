package pdu

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseText(t *testing.T) {
	long := strings.Repeat("v", 255)
	key63 := "K" + strings.Repeat("k", 62)
	for _, c := range []struct {
		name, in string
		lim      TextLimits
		want     Text
	}{
		{"nothing", "", TextLimits{}, nil},
		{"one pair", "A=b\x00", TextLimits{}, Text{{"A", "b"}}},
		{"order is kept", "B=2\x00A=1\x00", TextLimits{}, Text{{"B", "2"}, {"A", "1"}}},
		{"empty value", "SendTargets=\x00", TextLimits{}, Text{{"SendTargets", ""}}},
		{"equals sign in the value", "CHAP_C=0bAA==\x00", TextLimits{}, Text{{"CHAP_C", "0bAA=="}}},
		{"any byte but NUL in the value", "A=\x01\xff ,\n\x00", TextLimits{}, Text{{"A", "\x01\xff ,\n"}}},
		{"duplicates are the caller's business", "A=1\x00A=1\x00", TextLimits{}, Text{{"A", "1"}, {"A", "1"}}},
		{"padding counted as data", "A=1\x00\x00\x00", TextLimits{}, Text{{"A", "1"}}},
		{"padding alone", "\x00\x00", TextLimits{}, nil},
		{"longest key", key63 + "=1\x00", TextLimits{}, Text{{key63, "1"}}},
		{"longest value", "A=" + long + "\x00", TextLimits{}, Text{{"A", long}}},
		{"longer value allowed", "A=" + long + "v\x00", TextLimits{ValueLen: 256}, Text{{"A", long + "v"}}},
		{"vendor key", "X-com.example.k_1+2@3=v\x00", TextLimits{}, Text{{"X-com.example.k_1+2@3", "v"}}},
		{"public extension key", "X#NodeArchitecture=v\x00", TextLimits{}, Text{{"X#NodeArchitecture", "v"}}},
		{"keys named after the protocol", "iSCSIProtocolLevel=2\x00iSERHelloRequired=No\x00", TextLimits{}, Text{{"iSCSIProtocolLevel", "2"}, {"iSERHelloRequired", "No"}}},
		{"as many pairs as allowed", "A=1\x00B=2\x00", TextLimits{Pairs: 2}, Text{{"A", "1"}, {"B", "2"}}},
	} {
		got, err := ParseText([]byte(c.in), c.lim)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got, c.name)
	}
}

func TestTextRefusals(t *testing.T) {
	seen := map[TextReason]bool{}
	for _, c := range []struct {
		in     string
		lim    TextLimits
		reason TextReason
		offset int
	}{
		{"A=b", TextLimits{}, TextNoFinalNUL, 3},
		{"A=b\x00B=c", TextLimits{}, TextNoFinalNUL, 7},
		{"A=b\x00\x00\x00C=d\x00", TextLimits{}, TextEmptyPair, 4},
		{"\x00A=b\x00", TextLimits{}, TextEmptyPair, 0},
		{"A=b\x00NoValue\x00", TextLimits{}, TextNoEquals, 4},
		{"=v\x00", TextLimits{}, TextEmptyKey, 0},
		{"K" + strings.Repeat("k", 63) + "=v\x00", TextLimits{}, TextKeyTooLong, 0},
		{"key=v\x00", TextLimits{}, TextKeySyntax, 0},
		{"iKey=v\x00", TextLimits{}, TextKeySyntax, 0},
		{"1Key=v\x00", TextLimits{}, TextKeySyntax, 0},
		{"Ke y=v\x00", TextLimits{}, TextKeySyntax, 0},
		{"Y#Key=v\x00", TextLimits{}, TextKeySyntax, 0},
		{"XX#Key=v\x00", TextLimits{}, TextKeySyntax, 0},
		{"K\xc3\xa4=v\x00", TextLimits{}, TextKeySyntax, 0},
		{"A=" + strings.Repeat("v", 256) + "\x00", TextLimits{}, TextValueTooLong, 0},
		{"A=12\x00", TextLimits{ValueLen: 1}, TextValueTooLong, 0},
		{"A=1\x00B=2\x00C=3\x00", TextLimits{Pairs: 2}, TextTooManyPairs, 0},
		{strings.Repeat("\x00", 100) + "A", TextLimits{Pairs: 2}, TextNoFinalNUL, 101},
		{"A=1\x00" + strings.Repeat("\x00", 100) + "A=2\x00", TextLimits{Pairs: 50}, TextTooManyPairs, 0},
	} {
		got, err := ParseText([]byte(c.in), c.lim)
		var te *TextError
		require.ErrorAs(t, err, &te, "%q", c.in)
		require.Equal(t, TextError{c.reason, c.offset}, *te, "%q", c.in)
		require.Contains(t, err.Error(), string(c.reason))
		require.Nil(t, got)
		seen[c.reason] = true
	}
	for _, err := range refusedValues(t) {
		var ve *ValueError
		require.ErrorAs(t, err, &ve)
		require.Contains(t, err.Error(), string(ve.Reason))
		seen[ve.Reason] = true
	}
	for _, r := range TextReasons {
		require.True(t, seen[r], "no case for %s", r)
	}
	require.Len(t, seen, len(TextReasons))
}

// A prefix of a text is a text only if it ends where a pair ends.
func TestTextPrefixes(t *testing.T) {
	wire := Text{{"A", "1"}, {"InitiatorName", "iqn.2026-11.local:x"}, {"C", ""}}.Append(nil)
	for n := 1; n < len(wire); n++ {
		_, err := ParseText(wire[:n], TextLimits{})
		if wire[n-1] == 0 {
			require.NoError(t, err)
		} else {
			require.Error(t, err, "%q", wire[:n])
		}
	}
}

func TestTextDoesNotAliasItsInput(t *testing.T) {
	wire := []byte("Key=value\x00")
	got, err := ParseText(wire, TextLimits{})
	require.NoError(t, err)
	for i := range wire {
		wire[i] = 'x'
	}
	require.Equal(t, Text{{"Key", "value"}}, got)
}

func TestTextAccess(t *testing.T) {
	var text Text
	text.Add("A", "1")
	text.Add("B", "")
	v, ok := text.Get("A")
	require.True(t, ok)
	require.Equal(t, "1", v)
	v, ok = text.Get("B")
	require.True(t, ok)
	require.Empty(t, v)
	_, ok = text.Get("a")
	require.False(t, ok, "keys are case sensitive")

	_, dup := text.Duplicate()
	require.False(t, dup)
	text.Add("B", "2")
	text.Add("A", "2")
	key, dup := text.Duplicate()
	require.True(t, dup)
	require.Equal(t, "B", key)

	require.Equal(t, "A=1\x00B=\x00B=2\x00A=2\x00", string(text.Append(nil)))
	require.Equal(t, 4+3+4+4, text.Len())
}

func TestTextString(t *testing.T) {
	require.Equal(t, `A=1 B="a b" C="\xff" D= CHAP_R=*** E="\""`, Text{
		{"A", "1"}, {"B", "a b"}, {"C", "\xff"}, {"D", ""}, {"CHAP_R", "0x1234"}, {"E", `"`},
	}.String())
}

func TestRandomTextComesBack(t *testing.T) {
	key := rapid.StringMatching(`[A-Z][A-Za-z0-9.+@_\-]{0,62}`)
	value := rapid.StringMatching(`[^\x00]{0,60}`)
	rapid.Check(t, func(t *rapid.T) {
		var want Text
		for range rapid.IntRange(1, 20).Draw(t, "pairs") {
			want.Add(key.Draw(t, "key"), value.Draw(t, "value"))
		}
		wire := want.Append(nil)
		require.Len(t, wire, want.Len())
		got, err := ParseText(wire, TextLimits{})
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func FuzzText(f *testing.F) {
	f.Add([]byte("InitiatorName=iqn.1993-08.org.debian:01:abc\x00SessionType=Discovery\x00AuthMethod=CHAP,None\x00"))
	f.Add([]byte("CHAP_A=5\x00"))
	f.Add([]byte("A=1\x00\x00"))
	f.Add([]byte("=\x00"))
	f.Add([]byte("A"))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := ParseText(b, TextLimits{})
		if err != nil {
			var te *TextError
			if !errors.As(err, &te) || te.Offset > len(b) {
				t.Fatalf("%v", err)
			}
			return
		}
		if text.Len() > len(b) || len(text) > DefaultPairs {
			t.Fatal("more text than bytes")
		}
		again, err := ParseText(text.Append(nil), TextLimits{})
		require.NoError(t, err)
		require.Equal(t, text, again)
		_ = text.String()
		_, _ = text.Duplicate()
	})
}
