package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/test/peers"
)

func TestLibiscsiToolsSeeTheDisk(t *testing.T) {
	tgt := start(t, 64*mib)
	portal := "iscsi://" + tgt.Addr

	list := run(t, "iscsi-ls", "-s", portal)
	require.Contains(t, list, "Target:"+tgt.IQN+" Portal:"+tgt.Addr+",1")
	require.Regexp(t, `Lun:1 +Type:DIRECT_ACCESS`, list)

	inquiry := run(t, "iscsi-inq", tgt.URL())
	require.Contains(t, inquiry, "Peripheral Device Type:DIRECT_ACCESS")

	capacity := run(t, "iscsi-readcapacity16", tgt.URL())
	require.Contains(t, capacity, "Total size:67108864")
	if tgt.Kind != peers.NAS.Name {
		return
	}
	require.Contains(t, inquiry, "Vendor:NAS-TGT")
	serial := run(t, "iscsi-inq", "-e", "1", "-c", "128", tgt.URL())
	require.Regexp(t, `[0-9a-f]{32}`, serial)
	id := run(t, "iscsi-inq", "-e", "1", "-c", "131", tgt.URL())
	require.Contains(t, id, "Designator Type:(3) NAA")
}
