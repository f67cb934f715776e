package backstore_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSize = 1 << 20

func TestRAMContract(t *testing.T) {
	backtest.Run(t, func(t testing.TB) backstore.Store {
		return open(t, "ram", backstore.RAMOptions{Size: testSize + 4096})
	}, backtest.Traits{})
}

func TestNullContract(t *testing.T) {
	backtest.Run(t, func(t testing.TB) backstore.Store {
		return open(t, "null", backstore.NullOptions{Size: testSize})
	}, backtest.Traits{Forgets: true})
}

func TestFileContract(t *testing.T) {
	for name, o := range map[string]backstore.FileOptions{
		"sparse":       {Size: testSize + 512},
		"preallocated": {Size: testSize, Preallocate: true},
		"direct":       {Size: testSize, Direct: true},
	} {
		for where, dir := range map[string]func() string{"disk": t.TempDir, "memory": func() string { return memoryDir(t) }} {
			t.Run(name+"/"+where, func(t *testing.T) { fileContract(t, o, dir()) })
		}
	}
}

func fileContract(t *testing.T, o backstore.FileOptions, dir string) {
	n := 0
	backtest.Run(t, func(t testing.TB) backstore.Store {
		n++
		o.Path = filepath.Join(dir, string(rune('a'+n)))
		return open(t, "file", o)
	}, backtest.Traits{
		Exclusive: true,
		Reopen: func(t testing.TB) (backstore.Store, error) {
			again := o
			again.Size = 0
			again.LockWait = time.Millisecond
			return backstore.Open(context.Background(), "file", &again)
		},
	})
}

func open(t testing.TB, kind string, opts any) backstore.Store {
	t.Helper()
	s, err := backstore.Open(context.Background(), kind, opts)
	require.NoError(t, err)
	return s
}
