package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/config"
	"nas-target/internal/initiator"
	"nas-target/internal/load"
)

// benchFlags are the command line of bench.
type benchFlags struct {
	load.Workload
	kind, block, region string
	sequential          bool
	headerDigest        bool
	dataDigest          bool
	workers             int
	poll                time.Duration
	initiator           string
	secrets             string
	rounds              int
	destructive         bool
}

func newBench() *cobra.Command {
	f := benchFlags{}
	c := &cobra.Command{
		Use:   "bench URL…",
		Short: "Put load on a LUN of any target and measure what comes back",
		Long: `Put load on a LUN of any iSCSI target and measure what comes back.

A URL is iscsi://[user@]host[:port]/target/lun. With several URLs each is measured
in turn, --rounds times, and the table shows medians and the ratio to the first.
The secret of the user comes from a file (--secrets), from
$NAS_TARGET_CHAP_SECRETS or from a systemd credential, never from the command
line.

Everything but --kind read and nodata overwrites the LUN, and needs --destructive.`,
		Example: "  nas-target bench iscsi://127.0.0.1/iqn.2026-11.local.nas-target:lab/1 --depth 32 --sessions 4",
		Args:    usage(cobra.MinimumNArgs(1)),
	}
	fl := c.Flags()
	fl.StringVar(&f.kind, "kind", "read", "read, write, mix, verify (stamped writes, read back and compared) or nodata")
	fl.IntVar(&f.ReadPercent, "read-percent", 70, "share of reads with --kind mix")
	fl.BoolVar(&f.sequential, "sequential", false, "one address after the other instead of random ones")
	fl.StringVar(&f.block, "block", "4KiB", "size of one I/O")
	fl.IntVar(&f.Depth, "depth", 1, "outstanding commands of each session")
	fl.IntVar(&f.Sessions, "sessions", 1, "sessions at once")
	fl.DurationVar(&f.Duration, "time", 10*time.Second, "how long to measure")
	fl.DurationVar(&f.Warmup, "warmup", time.Second, "load before that, which does not count")
	fl.StringVar(&f.region, "region", "0", "use the first bytes of the LUN only; 0: all of it")
	fl.Uint64Var(&f.Seed, "seed", 1, "of the random addresses")
	fl.BoolVar(&f.FUA, "fua", false, "writes are durable before they are answered")
	fl.BoolVar(&f.headerDigest, "header-digest", false, "CRC32C over headers")
	fl.BoolVar(&f.dataDigest, "data-digest", false, "CRC32C over data")
	fl.IntVar(&f.workers, "workers", 0, "threads of the generator; 0: half of the processors")
	fl.DurationVar(&f.poll, "poll", 0, "look at the sockets for so long before sleeping")
	fl.StringVar(&f.initiator, "initiator", "", "initiator name (default "+initiator.DefaultInitiatorName+")")
	secretsFlag(c, &f.secrets)
	fl.IntVar(&f.rounds, "rounds", 1, "measure each URL so many times, interleaved")
	fl.BoolVar(&f.destructive, "destructive", false, "the data on the LUN may be overwritten")
	form := outputFlag(c)
	c.RunE = func(c *cobra.Command, urls []string) error {
		runs, err := f.options(urls)
		if err != nil {
			return err
		}
		results, err := benchAll(c.Context(), runs, f.rounds, newProgress(c.ErrOrStderr()))
		if err != nil {
			return err
		}
		return form.print(c.OutOrStdout(), results, func(w io.Writer) { benchTable(w, results) })
	}
	return c
}

// options turns the flags into one run per URL.
func (f *benchFlags) options(urls []string) ([]benchRun, error) {
	w := f.Workload
	w.Kind, w.Random = load.Kind(f.kind), !f.sequential
	block, err := config.ParseSize(f.block)
	if err != nil {
		return nil, &codedError{exitUsage, fmt.Errorf("--block: %w", err)}
	}
	region, err := config.ParseSize(f.region)
	if err != nil {
		return nil, &codedError{exitUsage, fmt.Errorf("--region: %w", err)}
	}
	w.Block, w.Region = int(block), uint64(region)
	if f.rounds < 1 {
		return nil, &codedError{exitUsage, errors.New("--rounds: at least 1")}
	}
	if w.Kind != load.Read && w.Kind != load.NoData && !f.destructive {
		return nil, &codedError{exitRefused, fmt.Errorf("--kind %s overwrites the LUN: add --destructive if its data may go", w.Kind)}
	}
	var runs []benchRun
	all, err := lunURLs(urls, f.secrets)
	if err != nil {
		return nil, &codedError{exitUsage, err}
	}
	for _, u := range all {
		c := u.login
		c.InitiatorName, c.Tolerant = f.initiator, true
		if f.headerDigest {
			c.HeaderDigest = "CRC32C"
		}
		if f.dataDigest {
			c.DataDigest = "CRC32C"
		}
		runs = append(runs, benchRun{
			name:    u.name,
			options: load.Options{Target: c, LUN: u.lun, Workload: w, Workers: f.workers, Poll: f.poll},
		})
	}
	return runs, nil
}

type benchRun struct {
	name    string
	options load.Options
}

// benchResult is one measurement.
type benchResult struct {
	URL   string `json:"url"`
	Round int    `json:"round"`
	load.Result
}

// benchAll measures every URL in every round. Ctrl-C keeps what there is.
func benchAll(ctx context.Context, runs []benchRun, rounds int, p *progress) ([]benchResult, error) {
	var all []benchResult
	for round := 1; round <= rounds; round++ {
		for _, r := range runs {
			p.begin(r, round, rounds)
			r.options.Progress, r.options.Every = p.sample, p.every
			res, err := load.Run(ctx, r.options)
			p.end()
			if errors.Is(err, load.ErrWorkload) {
				return nil, &codedError{exitUsage, err}
			}
			stopped := ctx.Err() != nil && errors.Is(err, ctx.Err())
			if err != nil && !stopped {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			if res.IOs > 0 {
				all = append(all, benchResult{r.name, round, res})
			}
			if stopped {
				return all, nil
			}
			if res.Mismatches > 0 {
				return nil, fmt.Errorf("%s: %d blocks came back wrong; the first: %v", r.name, res.Mismatches, res.Wrong)
			}
		}
	}
	return all, nil
}
