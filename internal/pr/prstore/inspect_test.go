package prstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr/prstore/prstoretest"
)

func TestInspectPrintsWhatLoadWouldFind(t *testing.T) {
	d := acknowledged(t, small, prstoretest.Sample(false), prstoretest.Sample(true))
	path := filepath.Join(t.TempDir(), "x.pr")
	show := func(b []byte) (Report, string) {
		require.NoError(t, os.WriteFile(path, b, 0o600))
		rep, err := Inspect(path)
		require.NoError(t, err)
		var out strings.Builder
		n, err := rep.WriteTo(&out)
		require.NoError(t, err)
		require.EqualValues(t, out.Len(), n)
		return rep, out.String()
	}

	rep, out := show(d.bytes())
	require.True(t, rep.Healthy())
	require.Equal(t, `file size 8192, slot size 4096
*slot 0: sequence 3, version 1, unit "7c0e5b1e-7d1c-4f5e-9d42-0123456789ab", boot "boot-a"
   generation 7, APTPL true, reservation write-exclusive-registrants-only, 3 registrations
   0x00000000000000a1 "iqn.1993-08.org.debian:01:1,i,0x00023d000001" → "iqn.2026-11.local.nas-target:lab,t,0x0001"
   0xffffffffffffffff "iqn.1993-08.org.debian:01:2,i,0x00023d000002" → "iqn.2026-11.local.nas-target:lab,t,0x0001" ALL_TG_PT holder
   0x00000000000000a1 "iqn.1993-08.org.debian:01:3,i,0x00023d000003" → "iqn.2026-11.local.nas-target:lab,t,0x0001"
 slot 1: sequence 3, version 1, unit "7c0e5b1e-7d1c-4f5e-9d42-0123456789ab", boot "boot-a"
   generation 7, APTPL true, reservation write-exclusive-registrants-only, 3 registrations
   0x00000000000000a1 "iqn.1993-08.org.debian:01:1,i,0x00023d000001" → "iqn.2026-11.local.nas-target:lab,t,0x0001"
   0xffffffffffffffff "iqn.1993-08.org.debian:01:2,i,0x00023d000002" → "iqn.2026-11.local.nas-target:lab,t,0x0001" ALL_TG_PT holder
   0x00000000000000a1 "iqn.1993-08.org.debian:01:3,i,0x00023d000003" → "iqn.2026-11.local.nas-target:lab,t,0x0001"
verdict: good
`, out)

	b := d.bytes()
	b[headerSize] ^= 2
	rep, out = show(b)
	require.False(t, rep.Healthy())
	require.NoError(t, rep.Err)
	require.Equal(t, 1, rep.InForce)
	require.Contains(t, out, " slot 0: slot is damaged\n*slot 1: sequence 3")
	require.Contains(t, out, "verdict: usable, will be mended")

	b[blockSize] ^= 1
	rep, out = show(b)
	require.Error(t, rep.Err)
	require.Contains(t, out, "verdict: lost: no slot is intact")

	lost := newSimDisk()
	attachSim(t, lost, small)
	rep, out = show(lost.bytes())
	require.Error(t, rep.Err)
	require.True(t, rep.Slots[0].Lost)
	require.Contains(t, out, "information lost, waiting for REPLACE LOST RESERVATION")

	_, err := Inspect(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
