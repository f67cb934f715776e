package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"nas-target/test/peers"
)

// sample is one measurement of one subject on one row.
type sample struct {
	Subject string  `json:"subject"`
	Row     string  `json:"row"`
	Round   int     `json:"round"`
	Error   string  `json:"error,omitempty"` // why there are no figures
	IOPS    float64 `json:"iops"`
	MBs     float64 `json:"mb_per_s"`       // 10^6 bytes
	P50     float64 `json:"p50_us"`         // microseconds
	P99     float64 `json:"p99_us"`         // microseconds
	CPU     float64 `json:"target_cpu_us"`  // of the target's process, per I/O
	Client  float64 `json:"client_cpu_us"`  // of this process, per I/O
	RSS     float64 `json:"target_rss_mib"` // after the row
}

// measure runs one subject on one row, starting it first if it is down.
func measure(ctx context.Context, s subject, up map[subject]bool, r row, d time.Duration, progress io.Writer) sample {
	out := sample{Subject: s.name(), Row: r.Name()}
	if !up[s] {
		if err := s.start(ctx); err != nil {
			out.Error = "does not start: " + err.Error()
			return out
		}
		up[s] = true
	}
	target0, err := peers.UsageOf(s.pid())
	client0 := selfCPU()
	var l measured
	if err == nil {
		l, err = s.load(ctx, r, d)
	}
	client1 := selfCPU()
	var target1 peers.Usage
	if err == nil {
		target1, err = peers.UsageOf(s.pid())
	}
	if err == nil && l.IOs == 0 {
		err = fmt.Errorf("not one I/O was answered")
	}
	if err != nil {
		out.Error = err.Error()
		fmt.Fprintf(progress, "%s wrote:\n%s\n", s.name(), s.log())
		s.stop()
		up[s] = false
		return out
	}
	n, seconds := float64(l.IOs), l.Took.Seconds()
	out.IOPS = n / seconds
	out.MBs = out.IOPS * float64(r.Block) / 1e6
	out.P50, out.P99 = us(l.P50), us(l.P99)
	out.CPU = us(target1.CPU-target0.CPU) / n
	out.Client = us(client1-client0) / n
	out.RSS = float64(target1.RSS) / (1 << 20)
	return out
}

// runAll interleaves: every round visits every row, every row every subject.
func runAll(ctx context.Context, subjects []subject, rows []row, rounds int, d time.Duration, progress io.Writer) []sample {
	up := map[subject]bool{}
	defer func() {
		for s, running := range up {
			if running {
				s.stop()
			}
		}
	}()
	var all []sample
	for round := 1; round <= rounds; round++ {
		for _, r := range rows {
			for i := range subjects {
				// Who goes first changes from round to round.
				s := subjects[(i+round)%len(subjects)]
				if ctx.Err() != nil {
					return all
				}
				if r.Digests && !s.digests() {
					continue
				}
				x := measure(ctx, s, up, r, d, progress)
				x.Round = round
				all = append(all, x)
				fmt.Fprintf(progress, "round %d  %-26s %-12s %s\n", round, r.Name(), s.name(), x.brief())
			}
		}
	}
	return all
}

func (s sample) brief() string {
	if s.Error != "" {
		return s.Error
	}
	return fmt.Sprintf("%8.0f IOPS %7.0f MB/s  p50 %6.0f us  p99 %7.0f us  CPU %5.1f us", s.IOPS, s.MBs, s.P50, s.P99, s.CPU)
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// selfCPU is the CPU time of this process, the client.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// medians condenses the rounds of each subject and row. What failed in any
// round is shown as failed: a target that sometimes crashes has no median.
func medians(all []sample, subjects []string, rows []row) map[string]map[string]sample {
	table := map[string]map[string]sample{}
	for _, r := range rows {
		table[r.Name()] = map[string]sample{}
		for _, name := range subjects {
			var of []sample
			for _, s := range all {
				if s.Row == r.Name() && s.Subject == name {
					of = append(of, s)
				}
			}
			if len(of) > 0 {
				table[r.Name()][name] = medianOf(of)
			}
		}
	}
	return table
}

func medianOf(of []sample) sample {
	out := sample{Subject: of[0].Subject, Row: of[0].Row}
	for _, s := range of {
		if s.Error != "" {
			out.Error = s.Error
			return out
		}
	}
	for _, f := range []func(*sample) *float64{
		func(s *sample) *float64 { return &s.IOPS }, func(s *sample) *float64 { return &s.MBs },
		func(s *sample) *float64 { return &s.P50 }, func(s *sample) *float64 { return &s.P99 },
		func(s *sample) *float64 { return &s.CPU }, func(s *sample) *float64 { return &s.Client },
		func(s *sample) *float64 { return &s.RSS },
	} {
		values := make([]float64, len(of))
		for i := range of {
			values[i] = *f(&of[i])
		}
		*f(&out) = median(values)
	}
	return out
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
