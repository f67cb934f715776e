package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

func benchTable(w io.Writer, all []benchResult) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "URL\tROUNDS\tIOPS\tMB/s\tMEAN\tP50\tP90\tP99\tP99.9\tMAX\tCLIENT CPU/IO\tRATIO")
	var first float64
	for _, name := range urlsOf(all) {
		rounds, r := medianRound(all, name)
		if first == 0 {
			first = r.IOPS
		}
		l := r.Latency
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%.1f\t%s\t%s\t%s\t%s\t%s\t%s\t%.1f µs\t%.2f\n", name, rounds, r.IOPS, r.MBps,
			micros(l.Mean), micros(l.P50), micros(l.P90), micros(l.P99), micros(l.P999), micros(l.Max), r.Client.PerIO, r.IOPS/first)
	}
	_ = t.Flush() // w remembers its own errors
}

func micros(us float64) string {
	d := time.Duration(us * float64(time.Microsecond))
	if d >= time.Millisecond {
		return d.Round(10 * time.Microsecond).String()
	}
	return fmt.Sprintf("%.0fµs", us)
}

// urlsOf lists the URLs in the order of their first result.
func urlsOf(all []benchResult) []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range all {
		if !seen[r.URL] {
			seen[r.URL] = true
			names = append(names, r.URL)
		}
	}
	return names
}

// medianRound returns the round of the URL with the median IOPS, whole: its
// figures belong together.
func medianRound(all []benchResult, url string) (rounds int, r benchResult) {
	var of []benchResult
	for _, x := range all {
		if x.URL == url {
			of = append(of, x)
		}
	}
	slices.SortFunc(of, func(a, b benchResult) int { return cmp.Compare(a.IOPS, b.IOPS) })
	return len(of), of[(len(of)-1)/2]
}
