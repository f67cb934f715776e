package backstore_test

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"

	"github.com/stretchr/testify/require"
)

const benchSize = 64 << 20

// benchStores are the stores whose path is hot, filled so that nothing is a
// hole.
func benchStores(b testing.TB) map[string]backstore.Volume {
	ram, err := backstore.NewRAM(backstore.RAMOptions{Size: benchSize})
	require.NoError(b, err)
	null, err := backstore.NewNull(backstore.NullOptions{Size: benchSize})
	require.NoError(b, err)
	stores := map[string]backstore.Volume{
		"ram":    ram,
		"null":   null,
		"tmpfs":  newFile(b, backstore.FileOptions{Size: benchSize}),
		"disk":   newFile(b, backstore.FileOptions{Path: filepath.Join(b.TempDir(), "d"), Size: benchSize}),
		"direct": newFile(b, backstore.FileOptions{Path: filepath.Join(b.TempDir(), "d"), Size: benchSize, Direct: true}),
	}
	for _, s := range stores {
		_, err := s.WriteAt(fillBytes('x', benchSize), 0)
		require.NoError(b, err)
	}
	return stores
}

// spread visits every 4 KiB block in an order without locality.
func spread(i int) int64 { return int64(uint(i)*7919%(benchSize/4096)) * 4096 }

func TestHotPathsDoNotAllocate(t *testing.T) {
	for name, s := range benchStores(t) {
		p := make([]byte, 4096)
		odd := make([]byte, 8192)[1 : 1+4096] // direct I/O cannot take this memory
		i := 0
		for op, f := range map[string]func() error{
			"read":          func() error { _, err := s.ReadAt(p, spread(i)); return err },
			"write":         func() error { _, err := s.WriteAt(p, spread(i)); return err },
			"read odd":      func() error { _, err := s.ReadAt(odd, spread(i)); return err },
			"write odd":     func() error { _, err := s.WriteAt(odd, spread(i)); return err },
			"try read":      func() error { _, err := s.TryReadAt(p, spread(i)); return err },
			"write durable": func() error { return s.WriteDurable(p, spread(i)) },
			"sync":          s.Sync,
		} {
			n := testing.AllocsPerRun(50, func() {
				i++
				require.NoError(t, f())
			})
			// A pool may be emptied by the collector in between.
			require.Less(t, n, 1.0, "%s: %s", name, op)
		}
	}
}

func BenchmarkReadAt4k(b *testing.B) {
	for name, s := range benchStores(b) {
		b.Run(name, func(b *testing.B) {
			p := make([]byte, 4096)
			b.ReportAllocs()
			b.SetBytes(4096)
			for i := 0; b.Loop(); i++ {
				if _, err := s.ReadAt(p, spread(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTryReadAt4k(b *testing.B) {
	for name, s := range benchStores(b) {
		b.Run(name, func(b *testing.B) {
			p := make([]byte, 4096)
			b.ReportAllocs()
			b.SetBytes(4096)
			for i := 0; b.Loop(); i++ {
				if _, err := s.TryReadAt(p, spread(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWriteAt4k(b *testing.B) {
	for name, s := range benchStores(b) {
		b.Run(name, func(b *testing.B) {
			p := make([]byte, 4096)
			b.ReportAllocs()
			b.SetBytes(4096)
			for i := 0; b.Loop(); i++ {
				if _, err := s.WriteAt(p, spread(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParallel4k shows what concurrent callers cost each other.
func BenchmarkParallel4k(b *testing.B) {
	for name, s := range benchStores(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(4096)
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				p := make([]byte, 4096)
				i := int(next.Add(1)) * 1000
				for ; pb.Next(); i++ {
					var err error
					if i%4 == 0 {
						_, err = s.WriteAt(p, spread(i))
					} else {
						_, err = s.ReadAt(p, spread(i))
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkWriteDurable4k reports flushes per write: what group commit saves.
func BenchmarkWriteDurable4k(b *testing.B) {
	for _, direct := range []bool{false, true} {
		for _, writers := range []int{1, 4, 32} {
			name := map[bool]string{false: "buffered", true: "direct"}[direct] + map[int]string{1: "/1", 4: "/4", 32: "/32"}[writers]
			b.Run(name, func(b *testing.B) {
				faults := &backtest.Faults{}
				s, err := backstore.OpenFile(context.Background(), backstore.FileOptions{
					Path: filepath.Join(b.TempDir(), "d"), Size: benchSize, Direct: direct, Preallocate: true, Files: faults})
				require.NoError(b, err)
				defer s.Close()
				_, err = s.WriteAt(fillBytes('x', benchSize), 0)
				require.NoError(b, err)
				require.NoError(b, s.Sync())
				before := faults.Calls(backtest.SysFdatasync) + faults.Calls(backtest.SysPwriteDsync)
				b.ReportAllocs()
				var next atomic.Int64
				b.ResetTimer()
				var wg sync.WaitGroup
				for range writers {
					wg.Go(func() {
						p := make([]byte, 4096)
						for {
							i := next.Add(1)
							if i > int64(b.N) {
								return
							}
							if err := s.WriteDurable(p, spread(int(i))); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				flushes := faults.Calls(backtest.SysFdatasync) + faults.Calls(backtest.SysPwriteDsync) - before
				b.ReportMetric(float64(flushes)/float64(b.N), "flushes/op")
			})
		}
	}
}
