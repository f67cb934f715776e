package backtest

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// testModel runs random operations against a byte slice.
func testModel(t *testing.T, s *subject) {
	const window = 50_000 // small enough that operations meet
	model, got := make([]byte, window), make([]byte, window)
	rapid.Check(t, func(r *rapid.T) {
		span := func() (int64, int64) {
			off := rapid.Int64Range(0, window).Draw(r, "off")
			return off, rapid.Int64Range(0, window-off).Draw(r, "len")
		}
		actions := map[string]func(*rapid.T){
			"": func(r *rapid.T) {
				_, err := s.ReadAt(got, 0)
				require.NoError(r, err)
				same(r, s.want(model), got, "whole window")
			},
			"write": func(r *rapid.T) {
				off, n := span()
				p := pattern(rapid.Uint64().Draw(r, "seed"), int(n))
				_, err := s.WriteAt(p, off)
				require.NoError(r, err)
				copy(model[off:], p)
			},
			"read": func(r *rapid.T) {
				off, n := span()
				p := make([]byte, n)
				_, err := s.ReadAt(p, off)
				require.NoError(r, err)
				same(r, s.want(model[off:off+n]), p, "%d at %d", n, off)
			},
			"sync": func(r *rapid.T) {
				if rapid.IntRange(0, 7).Draw(r, "really") == 0 { // real disks are slow
					require.NoError(r, s.Sync())
				}
			},
		}
		if s.durable != nil {
			actions["write durable"] = func(r *rapid.T) {
				if rapid.IntRange(0, 7).Draw(r, "really") != 0 {
					return
				}
				off, n := span()
				p := pattern(rapid.Uint64().Draw(r, "seed"), int(n))
				require.NoError(r, s.durable.WriteDurable(p, off))
				copy(model[off:], p)
			}
		}
		if s.discard != nil {
			actions["discard"] = func(r *rapid.T) {
				off, n := span()
				require.NoError(r, s.discard.Discard(off, n))
				clear(model[off : off+n])
			}
		}
		if s.zero != nil {
			actions["write zeros"] = func(r *rapid.T) {
				off, n := span()
				require.NoError(r, s.zero.WriteZeros(off, n))
				clear(model[off : off+n])
			}
		}
		if s.copier != nil {
			actions["copy"] = func(r *rapid.T) {
				dst, n := span()
				src := rapid.Int64Range(0, window-n).Draw(r, "src")
				_, err := s.copier.CopyRange(dst, src, n)
				require.NoError(r, err)
				copy(model[dst:dst+n], append([]byte(nil), model[src:src+n]...))
			}
		}
		if s.extent != nil {
			actions["extent"] = func(r *rapid.T) {
				off := rapid.Int64Range(0, window-1).Draw(r, "off")
				n, mapped, err := s.extent.NextExtent(off)
				require.NoError(r, err)
				require.Positive(r, n)
				if !mapped {
					n = min(n, window-off)
					same(r, make([]byte, n), s.want(model[off:off+n]), "unmapped at %d", off)
				}
			}
		}
		r.Repeat(actions)
	})
}

// testNeighbours lets many writers own interleaved pieces that share sectors
// and pages: none may undo another's write (read-modify-write without a lock
// does).
func testNeighbours(t *testing.T, s *subject) {
	const writers, piece, pieces, rounds = 8, 200, 40, 30
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			mine := make([]uint64, pieces) // the stamp each piece must carry
			for round := range uint64(rounds) {
				for range pieces {
					i := rnd.IntN(pieces)
					off := int64((i*writers + w) * piece)
					p := make([]byte, piece)
					if _, err := s.ReadAt(p, off); err != nil {
						t.Errorf("read: %v", err)
						return
					}
					if got := binary.LittleEndian.Uint64(p); !s.traits.Forgets && got != mine[i] {
						t.Errorf("writer %d piece %d: read %#x, wrote %#x", w, i, got, mine[i])
						return
					}
					if s.discard != nil && rnd.IntN(8) == 0 {
						mine[i] = 0
						if err := s.discard.Discard(off, piece); err != nil {
							t.Errorf("discard: %v", err)
							return
						}
						continue
					}
					mine[i] = round<<32 | uint64(w)<<16 | uint64(i) | 1<<63
					for k := 0; k+8 <= piece; k += 8 {
						binary.LittleEndian.PutUint64(p[k:], mine[i])
					}
					var err error
					if s.durable != nil && rnd.IntN(64) == 0 {
						err = s.durable.WriteDurable(p, off)
					} else {
						_, err = s.WriteAt(p, off)
					}
					if err != nil {
						t.Errorf("write: %v", err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// testOverlap: whatever the order, every byte is one that somebody wrote.
func testOverlap(t *testing.T, s *subject) {
	const writers, n = 6, 20_000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(w + 1)
			}
			for range 20 {
				if _, err := s.WriteAt(p, 1000+int64(w)*100); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if s.traits.Forgets {
		return
	}
	for i, b := range s.read(t, 1000+(writers-1)*100, n-(writers-1)*100) {
		require.True(t, b >= 1 && b <= writers, "byte %d is %d, which nobody wrote", i, b)
	}
}

// testStorm runs everything at once; the race detector and the error checks
// are the test, and each worker's own area must hold what it wrote last.
func testStorm(t *testing.T, s *subject) {
	const workers, area = 6, 100_000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 2))
			base := int64(w) * area
			model := make([]byte, area)
			fail := func(op string, err error) {
				if err != nil {
					t.Errorf("worker %d: %s: %v", w, op, err)
				}
			}
			for range 150 {
				off := rnd.Int64N(area)
				n := rnd.Int64N(min(area-off, 9000) + 1)
				switch rnd.IntN(7) {
				case 0, 1:
					p := pattern(rnd.Uint64(), int(n))
					_, err := s.WriteAt(p, base+off)
					fail("write", err)
					copy(model[off:], p)
				case 2:
					if s.discard != nil {
						fail("discard", s.discard.Discard(base+off, n))
						clear(model[off : off+n])
					}
				case 3:
					if s.zero != nil {
						fail("zero", s.zero.WriteZeros(base+off, n))
						clear(model[off : off+n])
					}
				case 4:
					if s.copier != nil {
						src := rnd.Int64N(area - n + 1)
						_, err := s.copier.CopyRange(base+off, base+src, n)
						fail("copy", err)
						copy(model[off:off+n], append([]byte(nil), model[src:src+n]...))
					}
				case 5:
					if s.extent != nil {
						_, _, err := s.extent.NextExtent(base + off)
						fail("extent", err)
					}
				case 6:
					if rnd.IntN(10) == 0 {
						fail("sync", s.Sync())
					}
					p := make([]byte, n)
					_, err := s.ReadAt(p, base+off)
					fail("read", err)
					if want := s.want(model[off : off+n]); string(p) != string(want) {
						t.Errorf("worker %d: %d bytes at %d differ from what it wrote", w, n, off)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
