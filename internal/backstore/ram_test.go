package backstore_test

import (
	"sync"
	"testing"

	"nas-target/internal/backstore"

	"github.com/stretchr/testify/require"
)

func newRAM(t testing.TB, n int64) *backstore.RAM {
	t.Helper()
	r, err := backstore.NewRAM(backstore.RAMOptions{Size: n})
	require.NoError(t, err)
	return r
}

// Memory is taken as it is written, and extents see across the page table.
func TestRAMIsSparse(t *testing.T) {
	const page, leaf = 16 << 10, 16 << 20
	r := newRAM(t, 10<<40)
	for _, off := range []int64{leaf - 1, 5*leaf + page, 100*leaf - page/2} {
		_, err := r.WriteAt([]byte("xy"), off)
		require.NoError(t, err)
	}
	used, err := r.Allocated()
	require.NoError(t, err)
	require.Equal(t, int64(4*page), used, "the first write meets two pages")
	free, err := r.Free()
	require.NoError(t, err)
	require.Equal(t, r.Size()-used, free)

	type extent struct {
		off, n int64
		mapped bool
	}
	var got []extent
	for off := int64(0); off < r.Size(); {
		n, mapped, err := r.NextExtent(off)
		require.NoError(t, err)
		got = append(got, extent{off, n, mapped})
		off += n
	}
	require.Equal(t, []extent{
		{0, leaf - page, false},
		{leaf - page, 2 * page, true},
		{leaf + page, 4 * leaf, false},
		{5*leaf + page, page, true},
		{5*leaf + 2*page, 95*leaf - 3*page, false},
		{100*leaf - page, page, true},
		{100 * leaf, r.Size() - 100*leaf, false},
	}, got)
	n, mapped, err := r.NextExtent(leaf - page + 5)
	require.NoError(t, err)
	require.True(t, mapped)
	require.Equal(t, int64(2*page-5), n)
}

// Growing replaces the page table under running writers; none loses a page.
func TestRAMGrowsWhileInUse(t *testing.T) {
	const leaf = 16 << 20
	r := newRAM(t, 4*leaf)
	var wg sync.WaitGroup
	for w := range int64(4) {
		wg.Go(func() {
			for i := range int64(200) {
				off := w*leaf + i*4096
				if _, err := r.WriteAt([]byte{byte(w + 1)}, off); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range int64(50) {
			if err := r.Resize((5 + i) * leaf); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for w := range int64(4) {
		for i := range int64(200) {
			p := make([]byte, 1)
			_, err := r.ReadAt(p, w*leaf+i*4096)
			require.NoError(t, err)
			require.Equal(t, byte(w+1), p[0])
		}
	}
	require.ErrorIs(t, r.Resize(1<<60), backstore.ReasonTooLarge)
}
