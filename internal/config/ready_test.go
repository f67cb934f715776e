package config

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/configs"
	"nas-target/internal/backstore"
)

func ready(t *testing.T, name string) *Config {
	t.Helper()
	data, err := configs.Files.ReadFile(name)
	require.NoError(t, err)
	c, err := Parse(name, data)
	require.NoError(t, err)
	return c
}

// A ready configuration lets in whom it lists, by name and network, on
// addresses that it names.
func TestReadyConfigurationsAreClosed(t *testing.T) {
	names, err := fs.Glob(configs.Files, "*.yaml")
	require.NoError(t, err)
	for _, name := range []string{"windows-cluster.yaml", "pacemaker.yaml", "proxmox.yaml", "vmware.yaml"} {
		require.Contains(t, names, name)
		c := ready(t, name)
		require.Len(t, c.Portals, 2, "%s: two networks", name)
		for _, p := range c.Portals {
			for _, a := range p.Listen {
				require.False(t, a.Addr().IsUnspecified(), name)
			}
		}
		for _, target := range c.Targets {
			require.Equal(t, AccessListed, target.Access, name)
			require.GreaterOrEqual(t, len(target.Initiators), 2, "%s: a cluster", name)
			for _, i := range target.Initiators {
				require.NotEqual(t, AnyInitiator, i.Name, name)
				require.NotEmpty(t, i.Networks, name)
			}
			for _, l := range target.LUNs {
				require.Equal(t, 512, l.BlockSize, "%s: not every initiator takes blocks of 4096 bytes", name)
			}
		}
	}
}

func TestWindowsCluster(t *testing.T) {
	c := ready(t, "windows-cluster.yaml")
	require.Contains(t, c.CHAP.Algorithms, "md5", "Windows has no other")
	target := c.Targets[0]
	for _, i := range target.Initiators {
		require.NotEmpty(t, i.CHAP.User)
	}
	witness := target.LUNs[0]
	require.Equal(t, "witness", witness.Name)
	require.EqualValues(t, 1<<30, witness.Options.(*backstore.FileOptions).Size)
	require.True(t, witness.Options.(*backstore.FileOptions).Preallocate)
}
