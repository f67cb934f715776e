package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/scsi"
)

func TestMemoryComesBackWhole(t *testing.T) {
	f := memoryFile(filepath.Join(t.TempDir(), memoryName))
	got, err := f.recall()
	require.NoError(t, err)
	require.Zero(t, got)
	for _, want := range []scsi.Memory{
		{Information: "\x00\xff\xfe any bytes \x80", Text: "Würfel"},
		{Erase: scsi.Erase{Kind: scsi.EraseOverwrite, Pattern: "\xff\x00\xc3", Passes: 3, Invert: true, Unrestricted: true, Failed: true}},
		{Erase: scsi.Erase{Kind: scsi.EraseFormat}},
		{},
	} {
		require.NoError(t, f.remember(want))
		got, err := f.recall()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestUnreadableMemoryKeepsTheLUNFromStarting(t *testing.T) {
	for name, text := range map[string]string{"garbage": "{", "a later version": `{"version":2}`, "empty": ""} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d, err := Start(t.Context(), parse(t, dir, openTarget), Options{})
			require.NoError(t, err)
			path := filepath.Join(d.dir.luns["a"].dir, memoryName)
			stopTest(t, d)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			d = startTest(t, parse(t, dir, openTarget))
			require.ErrorContains(t, d.now.Load().units["a"].absent, memoryName)
			require.NoError(t, d.now.Load().units["b"].absent)
		})
	}
}
