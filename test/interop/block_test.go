package interop

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"nas-target/test/conformance"
	"nas-target/test/peers"
)

// A block device through the daemon: libiscsi's tests of what depends on the
// medium, and a file system written and read back by QEMU.
func TestBlockDevice(t *testing.T) {
	if *targetKind != peers.NAS.Name {
		return // peers are not told of block devices
	}
	const size = 100 * mib
	tgt := serve(t, peers.Disk{Path: loop(t, sparse(t, t.TempDir(), size)), Block: true, PhysicalBlock: 4096})
	tool, err := conformance.Find()
	require.NoError(t, err)
	tests, err := tool.List(t.Context())
	require.NoError(t, err)
	ofTheMedium := regexp.MustCompile(`^(Read(10|16|Capacity16)|Write(10|16|Same16|Verify16)|Unmap|GetLBAStatus|CompareAndWrite|OrWrite|Verify16|Inquiry|Prefetch16|ExtendedCopy)\.`)
	expected, err := conformance.Load("../conformance/libiscsi.expected")
	require.NoError(t, err)
	ran := 0
	for _, test := range tests {
		if !ofTheMedium.MatchString(test) || conformance.NeedsOwnDisk(test) {
			continue
		}
		r := tool.Run(t.Context(), test, tgt.URL(), tgt.Path2())
		assert.Equal(t, expected[test], r.Line())
		ran++
	}
	require.Greater(t, ran, 60)
	t.Logf("libiscsi: %d tests, as on a file", ran)

	image := makeFilesystem(t, size)
	run(t, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, tgt.URL())
	back := fetch(t, tgt)
	require.Equal(t, sha(t, image), sha(t, back))
	requireClean(t, back)
}
