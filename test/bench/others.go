package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"nas-target/test/peers"
)

// others lets clients we did not write measure. Both are built on libiscsi,
// which sleeps between answers and costs more than the targets do, so they show
// less of a target's own speed and more of what a user of them will see.
var others = scene{
	title: "Other clients",
	note: "Files in memory, one session. iscsi-perf (libiscsi-bin) reads, qemu-img bench (qemu-utils) writes one address after " +
		"the other. At 32 outstanding commands the client is the limit.",
	columns: []string{"", "nas-target IOPS", "tgt IOPS", "IOPS against tgt"},
	play:    func(ctx context.Context, s *stage) ([][]string, error) { return s.othersPlay(ctx) },
}

// byOther is one workload of another client.
type byOther struct {
	row  row
	goal float64 // IOPS against tgt
}

var byOthers = []byOther{
	{row{4 * k, false, true, 1, 1, false}, 2.2},
	{row{4 * k, false, true, 1, 4, false}, 6},
	{row{4 * k, false, true, 1, 32, false}, 5},
	{row{256 * k, false, false, 1, 8, false}, 2},
	{row{1 * m, false, false, 1, 8, false}, 2.2},
	{row{4 * k, true, false, 1, 1, false}, 3},
	{row{4 * k, true, false, 1, 32, false}, 3.4},
	{row{256 * k, true, false, 1, 8, false}, 2.5},
	{row{1 * m, true, false, 1, 8, false}, 3},
}

func (b byOther) name() string {
	if b.row.Write {
		return "qemu-img: " + b.row.Name()
	}
	return "iscsi-perf: " + b.row.Name()
}

func (s *stage) othersPlay(ctx context.Context) ([][]string, error) {
	kinds := []peers.Kind{peers.NAS, peers.TGT}
	disks, err := s.disks(s.dir, len(kinds), 256)
	if err != nil {
		return nil, err
	}
	var urls []string
	for i, kind := range kinds {
		t, _, err := s.start(ctx, kind, peers.Disk{Path: disks[i]})
		if err != nil {
			return nil, err
		}
		urls = append(urls, fmt.Sprintf("iscsi://%s/%s/%d", t.Addr, t.IQN, t.LUN))
	}
	var lines [][]string
	for _, b := range byOthers {
		iops := make([][]float64, len(urls))
		for round := range s.rounds {
			for i := range urls {
				i = (i + round) % len(urls) // who goes first changes
				got, err := b.measure(ctx, urls[i], s.time)
				if err != nil {
					return lines, fmt.Errorf("%s: %w", b.name(), err)
				}
				iops[i] = append(iops[i], got)
			}
		}
		ours, theirs := median(iops[0]), median(iops[1])
		s.seen[b.name()] = ours / theirs
		fmt.Fprintf(s.progress, "%s: %.0f, tgt %.0f\n", b.name(), ours, theirs)
		lines = append(lines, []string{b.name(), f0(ours), f0(theirs), fmt.Sprintf("%.2f", ours/theirs)})
	}
	return lines, nil
}

// measure returns IOPS.
func (b byOther) measure(ctx context.Context, url string, d time.Duration) (float64, error) {
	if !b.row.Write {
		return readByISCSIPerf(ctx, url, b.row, d)
	}
	// The number of requests is what can be asked for, so a short run finds out
	// how many fill the time.
	n := max(16, 2<<20/b.row.Block)
	took, err := writeByQEMU(ctx, url, b.row, n)
	if err != nil {
		return 0, err
	}
	n = max(n, int(float64(n)*d.Seconds()/took))
	took, err = writeByQEMU(ctx, url, b.row, n)
	return float64(n) / took, err
}

var iscsiPerfAverage = regexp.MustCompile(`iops average (\d+)`)

func readByISCSIPerf(ctx context.Context, url string, r row, d time.Duration) (float64, error) {
	seconds := int(max(d.Round(time.Second), time.Second) / time.Second)
	args := []string{"-m", strconv.Itoa(r.Depth), "-b", strconv.Itoa(r.Block / 512), "-t", strconv.Itoa(seconds)}
	if r.Random {
		args = append(args, "-r")
	}
	out, err := runOther(ctx, time.Duration(seconds)*time.Second, "iscsi-perf", append(args, url)...)
	if err != nil {
		return 0, err
	}
	all := iscsiPerfAverage.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return 0, fmt.Errorf("iscsi-perf told no figure: %s", oneLine(string(out)))
	}
	return strconv.ParseFloat(string(all[len(all)-1][1]), 64)
}

var qemuTook = regexp.MustCompile(`Run completed in ([0-9.]+) seconds`)

// writeByQEMU makes n requests and returns how many seconds they took.
func writeByQEMU(ctx context.Context, url string, r row, n int) (float64, error) {
	out, err := runOther(ctx, time.Minute, "qemu-img", "bench", "-w", "-t", "none", "-f", "raw",
		"-c", strconv.Itoa(n), "-d", strconv.Itoa(r.Depth), "-s", strconv.Itoa(r.Block), url)
	if err != nil {
		return 0, err
	}
	took := qemuTook.FindSubmatch(out)
	if took == nil {
		return 0, fmt.Errorf("qemu-img told no figure: %s", oneLine(string(out)))
	}
	return strconv.ParseFloat(string(took[1]), 64)
}

func runOther(ctx context.Context, d time.Duration, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, oneLine(out.String()))
	}
	return out.Bytes(), nil
}
