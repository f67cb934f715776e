package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A disk may take over a name from elsewhere, not from a disk that is served
// here under the name it was given.
func TestTakenOverFromHere(t *testing.T) {
	given := []byte{0x31, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88}
	held := func(lun string) ([]byte, string) {
		if lun == "old" {
			return given, "0123"
		}
		return nil, ""
	}
	merge := func(luns string) error {
		_, err := Merge(Source{"f.yaml", []byte("portals: [{group: 1, listen: [\"10.0.0.5:3260\"]}]\ntargets:\n  - name: iqn.2026-11.com.example:a\n    luns:\n" + luns)}, Source{}, held)
		return err
	}
	const copied = "      - {lun: 0, name: copy, size: 1M, naa: \"naa.3122334455667788\", serial: \"0123\"}\n"
	require.EqualError(t, merge(copied+"      - {lun: 1, name: old, size: 1M}\n"),
		"f.yaml:5: targets[0].luns[0].naa: naa.3122334455667788 is taken by the LUN old, which was given it, and hosts would take the two for one disk: give each its own, or leave the key out and it gets one\n"+
			"f.yaml:5: targets[0].luns[0].serial: 0123 is taken by the LUN old, which was given it, and hosts would take the two for one disk: give each its own, or leave the key out and it gets one")
	require.NoError(t, merge(copied), "the old one is not served any more")
	require.NoError(t, merge(copied+"      - {lun: 1, name: old, size: 1M, naa: \"3000000000000001\", serial: \"1\"}\n"), "it is known by another name")
	require.NoError(t, merge("      - {lun: 1, name: old, size: 1M, naa: \"3122334455667788\", serial: \"0123\"}\n"), "its own name, written out")
}
