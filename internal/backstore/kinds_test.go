package backstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
	}
	goleak.VerifyTestMain(m)
}

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

func TestKindsDescribeThemselves(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range backstore.Kinds() {
		require.NotEmpty(t, k.Summary)
		require.False(t, seen[k.Name])
		seen[k.Name] = true
		opts := reflect.ValueOf(k.NewOptions()).Elem()
		for _, f := range k.Fields {
			require.NotEmpty(t, f.Name, k.Name)
			require.NotEmpty(t, f.Doc, "%s.%s", k.Name, f.Name)
			value := reflect.Value{}
			for i := range opts.NumField() {
				if opts.Type().Field(i).Tag.Get("json") == f.Name {
					value = opts.Field(i)
				}
			}
			require.True(t, value.IsValid())
			if f.Default == "" {
				require.True(t, value.IsZero(), "%s.%s has a default that is not documented", k.Name, f.Name)
				continue
			}
			require.Equal(t, f.Default, fmt.Sprint(value.Interface()), "%s.%s", k.Name, f.Name)
		}
	}
	require.Equal(t, map[string]bool{"file": true, "block": true, "ram": true, "null": true}, seen)
}

func TestKindsAreACopy(t *testing.T) {
	backstore.Kinds()[0].Name = "other"
	_, err := backstore.Lookup("file")
	require.NoError(t, err)
}
