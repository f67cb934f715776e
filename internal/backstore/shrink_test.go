package backstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"nas-target/internal/backstore"

	"github.com/stretchr/testify/require"
)

func mediumGone(err error) bool {
	var g interface{ MediumGone() bool }
	return errors.As(err, &g) && g.MediumGone()
}

// C11: a backing file that shrank is an error, never zeros; and it stays one
// whatever is written afterwards.
func TestShrunkFile(t *testing.T) {
	ops := map[string]func(f *backstore.File) error{
		"read beyond":    func(f *backstore.File) error { _, err := f.ReadAt(make([]byte, 4096), testSize/2); return err },
		"read across":    func(f *backstore.File) error { _, err := f.ReadAt(make([]byte, testSize), 0); return err },
		"write beyond":   func(f *backstore.File) error { _, err := f.WriteAt(make([]byte, 4096), testSize/2); return err },
		"write before":   func(f *backstore.File) error { _, err := f.WriteAt(make([]byte, 4096), 0); return err },
		"write the end":  func(f *backstore.File) error { _, err := f.WriteAt(make([]byte, 4096), testSize-4096); return err },
		"durable":        func(f *backstore.File) error { return f.WriteDurable(make([]byte, 4096), testSize-4096) },
		"durable long":   func(f *backstore.File) error { return f.WriteDurable(make([]byte, 128<<10), 0) },
		"sync":           (*backstore.File).Sync,
		"discard":        func(f *backstore.File) error { return f.Discard(testSize-8192, 8192) },
		"write zeros":    func(f *backstore.File) error { return f.WriteZeros(testSize-8192, 8192) },
		"copy to end":    func(f *backstore.File) error { _, err := f.CopyRange(testSize-4096, 0, 4096); return err },
		"copy from gone": func(f *backstore.File) error { _, err := f.CopyRange(0, testSize-4096, 4096); return err },
		"extent":         func(f *backstore.File) error { _, _, err := f.NextExtent(testSize - 4096); return err },
		"resize":         func(f *backstore.File) error { return f.Resize(2 * testSize) },
	}
	for _, direct := range []bool{false, true} {
		for name, op := range ops {
			t.Run(name, func(t *testing.T) {
				for _, length := range []int64{0, 4096, 5000, testSize / 4} {
					path := filepath.Join(t.TempDir(), "d")
					f := newFile(t, backstore.FileOptions{Path: path, Direct: direct})
					data := fillBytes('x', testSize)
					_, err := f.WriteAt(data, 0)
					require.NoError(t, err)
					require.NoError(t, os.Truncate(path, length))
					err = op(f)
					require.True(t, mediumGone(err), "%v", err)
					require.ErrorIs(t, err, backstore.ErrShrunk)
					require.ErrorContains(t, err, path)
					require.Equal(t, err, f.Failure())
					_, again := f.ReadAt(make([]byte, 1), 0)
					require.Equal(t, err, again, "latched for reads too")

					require.NoError(t, os.WriteFile(path, data, 0o600)) // somebody puts it back
					_, again = f.ReadAt(make([]byte, 1), 0)
					require.Equal(t, err, again, "whether it is right only an operator knows")
					f.ClearFailure()
					require.Equal(t, data, readAll(t, f))
				}
			})
		}
	}
}

func TestDeletedOrReplacedFile(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"deleted":  os.Remove,
		"replaced": func(path string) error { return os.Rename(path+".new", path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(memoryDir(t), "d")
			require.NoError(t, os.WriteFile(path+".new", make([]byte, testSize), 0o600))
			f := newFile(t, backstore.FileOptions{Path: path})
			require.NoError(t, lose(path))
			_, err := f.WriteAt([]byte("lost on Close"), 0)
			require.True(t, mediumGone(err), "%v", err)
			require.ErrorContains(t, err, "deleted or replaced")
			require.Equal(t, err, f.Sync())
		})
	}
}

// A read that fits into what is left says nothing wrong.
func TestShrunkFileReadsWhatIsLeft(t *testing.T) {
	path := filepath.Join(memoryDir(t), "d")
	f := newFile(t, backstore.FileOptions{Path: path})
	_, err := f.WriteAt(fillBytes('x', testSize), 0)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, 8192))
	p := make([]byte, 4096)
	_, err = f.ReadAt(p, 0)
	require.NoError(t, err)
	require.Equal(t, fillBytes('x', 4096), p)
	n, err := f.ReadAt(p, 6000)
	require.True(t, mediumGone(err))
	require.LessOrEqual(t, n, 8192-6000)
}
