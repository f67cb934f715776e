package load

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
)

func TestEveryWorkloadRuns(t *testing.T) {
	digests := initiator.Config{HeaderDigest: "CRC32C", DataDigest: "CRC32C"}
	for _, c := range []struct {
		name   string
		w      Workload
		cfg    initiator.Config
		change func(*Options)
		reads  bool
		writes bool
	}{
		{"random read", Workload{Kind: Read, Random: true}, initiator.Config{}, nil, true, false},
		{"sequential read", Workload{Kind: Read, Block: 65536}, initiator.Config{}, nil, true, false},
		{"long read", Workload{Kind: Read, Block: 1 << 20, Depth: 2}, initiator.Config{}, nil, true, false},
		{"write", Workload{Kind: Write, Random: true}, initiator.Config{}, nil, false, true},
		{"write of an odd size", Workload{Kind: Write, Block: 1536}, initiator.Config{}, nil, false, true},
		{"write with R2Ts", Workload{Kind: Write, Block: 1 << 20, Depth: 4}, initiator.Config{}, nil, false, true},
		{"write, everything solicited", Workload{Kind: Write, Block: 65536}, initiator.Config{Keys: keys("ImmediateData", "No", "InitialR2T", "Yes")}, nil, false, true},
		{"write, unsolicited Data-Out", Workload{Kind: Write, Block: 65536}, initiator.Config{Keys: keys("ImmediateData", "No")}, nil, false, true},
		{"mix", Workload{Kind: Mix, ReadPercent: 70, Random: true}, initiator.Config{}, nil, true, true},
		{"no data", Workload{Kind: NoData}, initiator.Config{}, nil, true, false},
		{"digests, read", Workload{Kind: Read, Random: true}, digests, func(o *Options) { o.CheckDigests = true }, true, false},
		{"digests, write", Workload{Kind: Write, Block: 1536}, digests, nil, false, true},
		{"polling", Workload{Kind: Read, Depth: 1}, initiator.Config{}, func(o *Options) { o.Poll = time.Millisecond }, true, false},
		{"FUA", Workload{Kind: Write, FUA: true}, initiator.Config{}, nil, false, true},
		{"many sessions, two workers", Workload{Kind: Mix, ReadPercent: 50, Random: true, Sessions: 24, Depth: 2}, initiator.Config{}, func(o *Options) { o.Workers = 2 }, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &medium{b: make([]byte, 16<<20)}
			cfg := serve(t, m)
			cfg.HeaderDigest, cfg.DataDigest, cfg.Keys = c.cfg.HeaderDigest, c.cfg.DataDigest, c.cfg.Keys
			o := options(cfg, c.w)
			if o.Block >= 1<<20 {
				o.Count = 30
			}
			if c.change != nil {
				c.change(&o)
			}
			r, err := Run(t.Context(), o)
			require.NoError(t, err)
			require.Equal(t, o.Count, r.IOs)
			require.Equal(t, c.reads, r.Reads > 0)
			require.Equal(t, c.writes, r.Writes > 0)
			require.Equal(t, c.writes, m.writes.Load() > 0)
			require.Equal(t, r.IOs, r.Reads+r.Writes)
			if c.w.Kind != NoData {
				require.Equal(t, r.IOs*uint64(o.Block), r.Bytes)
			}
			require.Len(t, r.Sessions, o.Sessions)
			require.Positive(t, r.Latency.P50)
			require.LessOrEqual(t, r.Latency.P50, r.Latency.P99)
			require.LessOrEqual(t, r.Latency.P99, r.Latency.Max)
			require.Positive(t, r.Client.PerIO)
			require.NotZero(t, r.Fairness.Min, "every session gets its turn")
			_, err = json.Marshal(r)
			require.NoError(t, err)
		})
	}
}

func TestVerifyFindsNothingOnAGoodDisk(t *testing.T) {
	for name, o := range map[string]func(*Options){
		"one session": func(o *Options) {},
		"64 sessions": func(o *Options) { o.Sessions, o.Depth = 64, 4 },
		"long blocks": func(o *Options) { o.Block, o.Region = 256<<10, 8<<20 },
		"digests": func(o *Options) {
			o.Target.HeaderDigest, o.Target.DataDigest, o.CheckDigests = "CRC32C", "CRC32C", true
		},
		"more than fit": func(o *Options) { o.Region = 4 * 4096 },
	} {
		t.Run(name, func(t *testing.T) {
			opt := options(serve(t, &medium{b: make([]byte, 16<<20)}), Workload{Kind: Verify, Seed: 7})
			o(&opt)
			opt.Count = uint64(20 * opt.Sessions)
			r, err := Run(t.Context(), opt)
			require.NoError(t, err)
			require.NotZero(t, r.Verified)
			require.Zero(t, r.Mismatches, r.Wrong)
		})
	}
}

func TestVerifyFindsWhatADiskDoesWrong(t *testing.T) {
	for name, c := range map[string]struct {
		bend func(m *medium)
		says string
	}{
		"lost write": {func(m *medium) {
			m.write = func(p []byte, off int64) ([]byte, int64) {
				if m.writes.Load()%50 == 0 {
					return nil, off
				}
				return p, off
			}
		}, ""},
		"misplaced write": {func(m *medium) {
			m.write = func(p []byte, off int64) ([]byte, int64) {
				if m.writes.Load()%50 == 0 {
					return p, (off + 4096) % int64(len(m.b))
				}
				return p, off
			}
		}, "LBA"},
		"flipped bit": {func(m *medium) {
			m.write = func(p []byte, off int64) ([]byte, int64) {
				if m.writes.Load()%50 == 0 {
					p = append([]byte(nil), p...)
					p[700] ^= 4
				}
				return p, off
			}
		}, "torn or damaged"},
		"torn write": {func(m *medium) {
			m.write = func(p []byte, off int64) ([]byte, int64) {
				if m.writes.Load()%50 == 0 {
					p = p[:1024]
				}
				return p, off
			}
		}, ""},
		"all zeros": {func(m *medium) {
			m.read = func(p []byte, off int64) { clear(p) }
		}, "zeros"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &medium{b: make([]byte, 1<<20)}
			c.bend(m)
			o := options(serve(t, m), Workload{Kind: Verify, Seed: 9})
			o.Count = 1000
			r, err := Run(t.Context(), o)
			require.NoError(t, err)
			require.NotZero(t, r.Mismatches)
			require.NotEmpty(t, r.Wrong)
			require.Contains(t, r.Wrong[0], c.says)
		})
	}
}

func TestProgressIsTold(t *testing.T) {
	var samples []Sample
	o := options(serve(t, &medium{b: make([]byte, 1<<20)}), Workload{Kind: Read, Duration: 300 * time.Millisecond, Warmup: 300 * time.Millisecond})
	o.Every = 10 * time.Millisecond
	o.Progress = func(s Sample) { samples = append(samples, s) }
	r, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.NotEmpty(t, samples)
	require.True(t, samples[0].Warmup)
	last := samples[len(samples)-1]
	require.False(t, last.Warmup)
	require.NotZero(t, last.IOs)
	require.Equal(t, last.Bytes, last.IOs*4096)
	require.Equal(t, 300*time.Millisecond, r.Elapsed)
}

func TestCancelledRunReturnsWhatItHas(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := options(serve(t, &medium{b: make([]byte, 1<<20)}), Workload{Kind: Read, Duration: time.Hour})
	o.Every = 10 * time.Millisecond
	o.Progress = func(s Sample) {
		if s.IOs > 0 {
			cancel()
		}
	}
	r, err := Run(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	require.NotZero(t, r.IOs)
	require.Less(t, r.Elapsed, time.Minute)
}

func TestImpossibleWorkloadsAreRefused(t *testing.T) {
	cfg := serve(t, &medium{b: make([]byte, 1<<20)})
	good := options(cfg, Workload{Kind: Read})
	for name, spoil := range map[string]func(*Options){
		"kind":           func(o *Options) { o.Kind = "sing" },
		"no block":       func(o *Options) { o.Block = 0 },
		"huge block":     func(o *Options) { o.Block = 1 << 30 },
		"odd block":      func(o *Options) { o.Block = 700 },
		"depth":          func(o *Options) { o.Depth = 0 },
		"sessions":       func(o *Options) { o.Sessions = 0 },
		"duration":       func(o *Options) { o.Duration = 0 },
		"warmup":         func(o *Options) { o.Warmup = -1 },
		"percent":        func(o *Options) { o.Kind, o.ReadPercent = Mix, 101 },
		"unit too small": func(o *Options) { o.Block = 2 << 20 },
		"region":         func(o *Options) { o.Region = 512 },
		"shared places":  func(o *Options) { o.Kind, o.Sessions, o.Region = Verify, 2, 4096 },
	} {
		o := good
		spoil(&o)
		_, err := Run(t.Context(), o)
		require.ErrorIs(t, err, ErrWorkload, name)
	}
}

func TestLoginFailureNamesTheSession(t *testing.T) {
	cfg := serve(t, &medium{b: make([]byte, 1<<20)})
	cfg.Target = "iqn.2026-11.test:nobody"
	_, err := Run(t.Context(), options(cfg, Workload{Kind: Read}))
	var le *initiator.LoginError
	require.True(t, errors.As(err, &le))
	require.ErrorContains(t, err, "session 0")
}
