package pdu

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseNumber(t *testing.T) {
	for s, want := range map[string]uint64{
		"0": 0, "1": 1, "262144": 262144, "0x0": 0, "0xFf": 255, "0X10": 16, "0x00ff": 255,
		"18446744073709551615": math.MaxUint64, "0xffffffffffffffff": math.MaxUint64,
	} {
		n, err := ParseNumber(s, 0, math.MaxUint64)
		require.NoError(t, err, s)
		require.Equal(t, want, n, s)
	}
	for _, edge := range []string{"512", "16777215"} {
		_, err := ParseNumber(edge, 512, 1<<24-1)
		require.NoError(t, err, edge)
	}
}

// refusedValues checks every refusal of a value and returns the errors.
func refusedValues(t *testing.T) (errs []error) {
	refuse := func(err error, want TextReason, what string) {
		t.Helper()
		var ve *ValueError
		require.ErrorAs(t, err, &ve, what)
		require.Equal(t, want, ve.Reason, what)
		errs = append(errs, err)
	}
	for _, s := range []string{
		"", "0x", "-1", "+1", " 1", "1 ", "1.5", "012", "00", "0xg", "1a", "0b1", "Yes", "1,2", "1~2", "０",
	} {
		_, err := ParseNumber(s, 0, math.MaxUint64)
		refuse(err, ValueNotNumber, s)
	}
	for _, s := range []string{
		"511", "16777216", "0x1000000", "18446744073709551616", "0x10000000000000000",
		"99999999999999999999999999", "18446744073709552128", // 512 more than 1<<64
		"0x10000000000000200",
	} {
		_, err := ParseNumber(s, 512, 1<<24-1)
		refuse(err, ValueOutOfRange, s)
	}
	for _, s := range []string{"18446744073709551616", "30000000000000000000", "0x10000000000000000", "0x7ffffffffffffffff"} {
		_, err := ParseNumber(s, 0, math.MaxUint64)
		refuse(err, ValueOutOfRange, s)
	}
	for _, s := range []string{"", "yes", "no", "YES", "true", "1", "Yes ", "No,Yes"} {
		_, err := ParseBool(s)
		refuse(err, ValueNotBoolean, s)
	}
	for _, s := range []string{
		"", "0", "12", "x12", "0x", "0xgg", "0x1g", "0b", "0b=", "0bA", "0bAA", "0bAAA", "0bAA=", "0bA===",
		"0b====", "0bAB==", "0bAA==AA==", "0bAA\r\n==", "0bAAAA\n\n\n\n", "0bAA\n=", "0b-_==",
	} {
		_, err := ParseBinary(s, 1024)
		refuse(err, ValueNotBinary, s)
	}
	for _, s := range []string{"0x123456", "0x12345", "0bAAAA", "0x" + strings.Repeat("0", 1<<20)} {
		_, err := ParseBinary(s, 2)
		refuse(err, ValueTooLong, s)
	}
	return errs
}

func TestRefusedValues(t *testing.T) { refusedValues(t) }

func TestParseBool(t *testing.T) {
	for _, v := range []bool{true, false} {
		got, err := ParseBool(FormatBool(v))
		require.NoError(t, err)
		require.Equal(t, v, got)
	}
	require.Equal(t, "Yes", FormatBool(true))
	require.Equal(t, "No", FormatBool(false))
}

func TestParseBinary(t *testing.T) {
	for s, want := range map[string][]byte{
		"0x00":       {0},
		"0XaB":       {0xab},
		"0x123":      {0x01, 0x23}, // odd: a zero in front
		"0xf":        {0x0f},
		"0bAQ==":     {1},
		"0BAQI=":     {1, 2},
		"0bAQID":     {1, 2, 3},
		"0b+/+/":     {0xfb, 0xff, 0xbf},
		"0x01020304": {1, 2, 3, 4},
	} {
		got, err := ParseBinary(s, 4)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
}

// Both notations take exactly up to the limit.
func TestBinaryComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "bytes")
		for _, s := range []string{FormatHex(want), "0b" + base64.StdEncoding.EncodeToString(want)} {
			got, err := ParseBinary(s, len(want))
			require.NoError(t, err)
			require.Equal(t, want, got)
			_, err = ParseBinary(s, len(want)-1)
			require.ErrorIs(t, err, errValueTooBig)
		}
	})
}

func FuzzValue(f *testing.F) {
	for _, s := range []string{"0", "0x10", "0bAQ==", "0bAB==", "18446744073709551616", "Yes", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := ParseNumber(s, 3, 1000); err == nil && (n < 3 || n > 1000) {
			t.Fatal(n)
		}
		if b, err := ParseBinary(s, 8); err == nil && (len(b) == 0 || len(b) > 8) {
			t.Fatal(b)
		}
		_, _ = ParseBool(s)
	})
}
