package backstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tree writes files below a directory, as sysfs shows a disk with a partition.
func tree(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
	}
	return dir
}

func TestSysfsGeometry(t *testing.T) {
	dir := tree(t, map[string]string{
		"devices/sda/queue/logical_block_size":     "512",
		"devices/sda/queue/physical_block_size":    "4096",
		"devices/sda/queue/minimum_io_size":        "65536",
		"devices/sda/queue/optimal_io_size":        "131072",
		"devices/sda/queue/discard_granularity":    "4096",
		"devices/sda/queue/discard_max_bytes":      "2147450880",
		"devices/sda/queue/write_zeroes_max_bytes": "1048576",
		"devices/sda/queue/rotational":             "1",
		"devices/sda/queue/write_cache":            "write back",
		"devices/sda/alignment_offset":             "0",
		"devices/sda/discard_alignment":            "0",
		"devices/sda/sda1/alignment_offset":        "3584",
		"devices/sda/sda1/discard_alignment":       "1024",
		"devices/sdb/queue/rotational":             "0",
		"devices/sdb/queue/write_cache":            "write through",
		"devices/sdb/queue/optimal_io_size":        "garbage",
		"devices/sdb/alignment_offset":             "-1",
	})
	for number, device := range map[string]string{"8:0": "sda", "8:1": "sda/sda1", "8:16": "sdb"} {
		require.NoError(t, os.Symlink(filepath.Join("devices", device), filepath.Join(dir, number)))
	}
	disk := readGeometry(dir + "/8:0")
	want := sysDevice{Geometry{
		LogicalBlock: 512, PhysicalBlock: 4096, MinIO: 65536, OptimalIO: 131072, DiscardGranularity: 4096,
		MaxDiscard: 2147450880, Rotational: true, WriteCache: true,
	}, 1048576}
	require.Equal(t, want, disk)
	want.Alignment, want.DiscardAlignment = 3584, 1024
	require.Equal(t, want, readGeometry(dir+"/8:1"), "a partition has its own offsets and its disk's queue")
	require.Equal(t, sysDevice{}, readGeometry(dir+"/8:16"), "misaligned, garbage and absent are nothing")
	require.Equal(t, sysDevice{}, readGeometry(dir+"/9:9"))
}

func TestDeviceIsThinOnlyIfDiscardReadsAsZeros(t *testing.T) {
	d := sysDevice{Geometry{DiscardGranularity: 65536, DiscardAlignment: 512, MaxDiscard: 1 << 30}, 0}
	g := describeDevice(d, 512, 4096, false)
	require.Equal(t, Geometry{LogicalBlock: 512, PhysicalBlock: 4096}, g)
	g = describeDevice(d, 512, 4096, true)
	require.True(t, g.Thin)
	require.Equal(t, int64(65536), g.DiscardGranularity)
	d.writeZeroes = 1 << 20
	require.True(t, describeDevice(d, 512, 4096, false).Thin)
	d.MaxDiscard = 0
	require.False(t, describeDevice(d, 512, 4096, true).Thin)
}

func TestInner(t *testing.T) {
	for _, c := range []struct{ off, n, unit, phase, first, last int64 }{
		{0, 100, 1, 0, 0, 100},
		{0, 0, 512, 0, 0, 0},
		{10, 0, 512, 0, 10, 10},
		{0, 512, 512, 0, 0, 512},
		{1, 511, 512, 0, 512, 512},
		{1, 1023, 512, 0, 512, 1024},
		{1, 1022, 512, 0, 1023, 1023},
		{511, 514, 512, 0, 512, 1024},
		{0, 4096, 1024, 512, 512, 3584},
		{0, 100, 4096, 512, 100, 100},
		{0, 600, 4096, 512, 600, 600},
		{600, 4096, 4096, 512, 4696, 4696},
		{512, 4096, 4096, 512, 512, 4608},
		{0, 196608, 65536 * 3, 0, 0, 196608},
	} {
		first, last := inner(c.off, c.n, c.unit, c.phase)
		require.Equal(t, [2]int64{c.first, c.last}, [2]int64{first, last}, "%+v", c)
	}
}

func TestRangeLock(t *testing.T) {
	var l rangeLock
	l.init()
	a := l.lock(0, 512, false)
	b := l.lock(0, 512, false) // shared
	require.True(t, l.taken(0, 1, true))
	require.False(t, l.taken(512, 1024, true))
	a()
	require.True(t, l.taken(0, 1, true))
	b()
	x := l.lock(0, 1024, true)
	require.True(t, l.taken(1000, 2000, false))
	require.False(t, l.taken(1024, 2000, false))
	done := make(chan struct{})
	go func() {
		l.lock(512, 600, false)()
		close(done)
	}()
	x()
	<-done
	require.Empty(t, l.held)
	require.Len(t, l.spare, 2, "no more than were ever held at once")
}
