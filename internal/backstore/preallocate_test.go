package backstore

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// roomy has all the space there is, and takes none.
type roomy struct {
	Kernel
	asked []int64
	full  int64 // where the disk ends; 0: nowhere
}

func (r *roomy) Fallocate(fd int, mode uint32, off, n int64) error {
	if mode&unix.FALLOC_FL_PUNCH_HOLE != 0 {
		return r.Kernel.Fallocate(fd, mode, off, n)
	}
	r.asked = append(r.asked, n)
	if r.full != 0 && off+n > r.full {
		return unix.ENOSPC
	}
	return unix.Ftruncate(fd, off+n)
}

func TestPreallocationTellsHowFarItIs(t *testing.T) {
	var told [][2]int64
	ctx := WithProgress(t.Context(), func(done, total int64) { told = append(told, [2]int64{done, total}) })
	sys := &roomy{}
	open := func(ctx context.Context, name string, size int64) error {
		f, err := OpenFile(ctx, FileOptions{Path: filepath.Join(t.TempDir(), name), Size: size, Preallocate: true, Files: sys})
		if err == nil {
			require.NoError(t, f.Close())
		}
		return err
	}
	const total = 5<<30/2 + 512 // two steps and a bit
	require.NoError(t, open(ctx, "disk.img", total))
	require.Equal(t, [][2]int64{{0, total}, {1 << 30, total}, {2 << 30, total}, {total, total}}, told[:4])
	require.Equal(t, []int64{1 << 30, 1 << 30, total - 2<<30}, sys.asked[:3])
	require.Equal(t, [2]int64{total, total}, told[len(told)-1])
	told = nil
	require.NoError(t, open(ctx, "small.img", 1<<20))
	require.Empty(t, told, "who would see it")
	require.NoError(t, open(t.Context(), "quiet.img", total), "nobody asked")

	sys.full = 3 << 29
	require.ErrorIs(t, open(ctx, "full.img", total), unix.ENOSPC)
}
