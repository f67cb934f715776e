package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const decodeSample = "../../internal/decode/testdata/session.pcap"

// inUTC prints times as they are in UTC, wherever the test runs.
func inUTC(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = zone })
}

// What decode prints of a whole session stands in testdata; UPDATE=1 writes it
// anew, after the sample was taken anew (go test ./internal/decode).
func TestDecode(t *testing.T) {
	inUTC(t)
	code, out, stderr := run(t, "decode", decodeSample)
	require.Equal(t, exitOK, code, stderr)
	const golden = "testdata/decode.golden"
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(golden, []byte(out), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out)
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len([]rune(line)), 81, line)
	}

	code, out, _ = run(t, "decode", "-o", "json", decodeSample)
	require.Equal(t, exitOK, code)
	n := 0
	for line := range strings.Lines(out) {
		var v map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &v))
		require.NotEmpty(t, v["pdu"])
		n++
	}
	require.Contains(t, string(want), "40 PDUs, 0 complaints.\n")
	require.Equal(t, 40, n)

	code, out, _ = run(t, "decode", "--complaints", decodeSample)
	require.Equal(t, exitOK, code)
	require.Equal(t, "40 PDUs, 0 complaints.\n", out)
	code, out, _ = run(t, "decode", "--digests", "none", "--complaints", decodeSample)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "\n  ! ", "with digests taken for none, nothing is where it should be")
}

func TestDecodeRefusals(t *testing.T) {
	for _, x := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--digests", "crc", decodeSample}, exitUsage, "header, data, header,data or none"},
		{[]string{"-o", "yaml", decodeSample}, exitUsage, "a stream is a table or json"},
		{[]string{"--port", "80", decodeSample}, exitNotFound, "no iSCSI traffic of this port"},
		{[]string{"testdata/none"}, exitError, "no such file"},
		{[]string{"main.go"}, exitError, "neither a capture (pcap, pcapng) nor hexadecimal text"},
	} {
		code, _, stderr := run(t, append([]string{"decode"}, x.args...)...)
		require.Equal(t, x.code, code, stderr)
		require.Contains(t, stderr, x.want)
	}
}
