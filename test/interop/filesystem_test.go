package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/test/peers"
)

// makeFilesystem builds an ext4 image of n bytes with a few thousand files,
// without mounting anything.
func makeFilesystem(t *testing.T, n int64) string {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	tree := filepath.Join(t.TempDir(), "tree")
	for i := range 3000 {
		dir := filepath.Join(tree, fmt.Sprintf("d%02d", i%60))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		data := make([]byte, random.IntN(16<<10))
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%04d", i)), data, 0o644))
	}
	image := filepath.Join(t.TempDir(), "ext4.img")
	require.NoError(t, os.WriteFile(image, nil, 0o644))
	require.NoError(t, os.Truncate(image, n))
	run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image)
	return image
}

func requireClean(t *testing.T, image string) {
	t.Helper()
	run(t, "e2fsck", "-f", "-n", image)
}

// fetch reads the whole LUN into a file through QEMU's driver.
func fetch(t *testing.T, tgt *peers.Target) string {
	t.Helper()
	back := filepath.Join(t.TempDir(), "back.img")
	run(t, "qemu-img", "convert", "-f", "raw", "-O", "raw", tgt.URL(), back)
	return back
}

// A file system written through QEMU's initiator comes back whole: at once,
// and after the daemon was killed and started again.
func TestFilesystemSurvivesTheDaemon(t *testing.T) {
	const size = 256 * mib
	image := makeFilesystem(t, size)
	want := sha(t, image)
	tgt := start(t, size)

	run(t, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, tgt.URL())
	back := fetch(t, tgt)
	require.Equal(t, want, sha(t, back))
	requireClean(t, back)
	run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", image, tgt.URL())

	tgt.Kill()
	require.NoError(t, tgt.Restart(t.Context()))
	back = fetch(t, tgt)
	require.Equal(t, want, sha(t, back), "after kill -9")
	requireClean(t, back)
}
