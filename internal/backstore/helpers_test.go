package backstore_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// memoryDir is a directory on tmpfs where the machine has one.
func memoryDir(t testing.TB) string {
	const shm = "/dev/shm"
	if _, err := os.Stat(shm); err != nil {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(shm, "backstore")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
