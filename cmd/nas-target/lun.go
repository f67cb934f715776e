package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
	"nas-target/internal/config"
)

func newLUN() *cobra.Command {
	return newNoun("lun", "The disks", newLUNList(), newLUNShow(), newLUNResize(), newLUNRetry(), newLUNClearFailure(),
		newCreate(lunNoun), newSet(lunNoun), newDelete(lunNoun))
}

func newLUNList() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "list", Short: "Logical units", Args: usage(cobra.NoArgs),
	}, func(ctx context.Context, c *admin.Client, _ []string) ([]admin.LUN, error) { return c.LUNs(ctx) }, lunTable)
}

func lunTable(w io.Writer, all []admin.LUN) {
	t := newTable([]string{"LUN", "NAME", "SIZE", "USED", "ON", "CACHE", "HELD BY", "STATE", "TARGET"}, "NAME", "HELD BY", "STATE", "TARGET")
	for _, l := range all {
		used := "-"
		if l.Allocated > 0 {
			used = size(l.Allocated)
		}
		t.row(fmt.Sprint(l.LUN), l.Name, size(l.Bytes), used, l.Backstore, cache(l), heldBy(l.Reservation), lunState(l), l.Target)
	}
	t.print(w, "")
}

func cache(l admin.LUN) string {
	switch {
	case l.Volatile:
		return "volatile"
	case l.WriteCache:
		return "write"
	}
	return "none"
}

func newLUNShow() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "show NAME", Short: "One logical unit", Args: usage(cobra.ExactArgs(1)), ValidArgsFunction: names(lunNames),
	}, func(ctx context.Context, c *admin.Client, args []string) (admin.LUN, error) {
		return c.LUN(ctx, args[0])
	}, lunShow)
}

func lunShow(w io.Writer, l admin.LUN) {
	durable := "none: every write is durable before it is answered (WCE=0)"
	if l.WriteCache {
		durable = "on: SYNCHRONIZE CACHE and FUA make writes durable (WCE=1)"
	}
	if l.Volatile {
		durable = "nothing survives the daemon"
	}
	used := ""
	if l.Allocated > 0 {
		used = size(l.Allocated)
	}
	now := "unknown"
	if r := l.Traffic.Now; r != nil {
		now = fmt.Sprintf("%s reads/s at %s, %s writes/s at %s, %s/s", short(r.Reads), latency(r.ReadLatency), short(r.Writes), latency(r.WriteLatency), size(int64(r.ReadBytes+r.WriteBytes)))
	}
	fields(w,
		"name", l.Name,
		"target", l.Target,
		"LUN", fmt.Sprint(l.LUN),
		"state", lunState(l),
		"failure", l.Failure,
		"size", fmt.Sprintf("%s, %d bytes in blocks of %d", size(l.Bytes), l.Bytes, l.BlockSize),
		"used", used,
		"backstore", l.Backstore,
		"write cache", durable,
		"held by", heldBy(l.Reservation),
		"UUID", l.UUID,
		"NAA", l.NAA,
		"serial", l.Serial,
		"traffic", fmt.Sprintf("%s reads, %s; %s writes, %s; %d errors, %d conflicts", short(float64(l.Traffic.Reads)), size(int64(l.Traffic.ReadBytes)),
			short(float64(l.Traffic.Writes)), size(int64(l.Traffic.WriteBytes)), l.Traffic.Errors, l.Traffic.Conflicts),
		"now", now,
	)
}

// latency writes seconds in the unit that fits.
func latency(s float64) string {
	switch {
	case s == 0:
		return "-"
	case s < 0.001:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 1:
		return fmt.Sprintf("%.1f ms", s*1e3)
	}
	return fmt.Sprintf("%.1f s", s)
}

func newLUNResize() *cobra.Command {
	return newAction(&cobra.Command{
		Use:   "resize NAME SIZE",
		Short: "Make a LUN larger and tell its initiators",
		Long: `Make a LUN larger, such as: nas-target lun resize shared 20GiB

Initiators learn of it at once (CAPACITY DATA HAS CHANGED). A LUN never gets
smaller. The size is kept over restarts; change it in the configuration too when
you edit that next.`,
		Args: usage(cobra.ExactArgs(2)), ValidArgsFunction: names(lunNames),
	}, func(ctx context.Context, client *admin.Client, args []string) (after admin.LUN, said string, err error) {
		n, err := config.ParseSize(args[1])
		if err != nil {
			return after, "", &codedError{exitUsage, err}
		}
		before, err := client.LUN(ctx, args[0])
		if err != nil {
			return after, "", err
		}
		if err := client.Resize(ctx, before.Name, before.Version, n); err != nil {
			return after, "", err
		}
		after, err = client.LUN(ctx, args[0])
		return after, fmt.Sprintf("%s has %s now, it had %s.", before.Name, size(n), size(before.Bytes)), err
	})
}

func newLUNClearFailure() *cobra.Command {
	return newAction(&cobra.Command{
		Use:   "clear-failure NAME",
		Short: "Let a LUN take writes again after a flush failed",
		Long: `Let a LUN take writes again after a flush failed. What was acknowledged and not
yet flushed may be gone: look at the storage and at the data first.`,
		Args: usage(cobra.ExactArgs(1)), ValidArgsFunction: names(lunNames),
	}, func(ctx context.Context, client *admin.Client, args []string) (after admin.LUN, said string, err error) {
		if err := client.ClearFailure(ctx, args[0]); err != nil {
			return after, "", err
		}
		after, err = client.LUN(ctx, args[0])
		return after, args[0] + " takes writes again.", err
	})
}

func newLUNRetry() *cobra.Command {
	return newAction(&cobra.Command{
		Use:   "retry NAME",
		Short: "Open a LUN that could not be opened",
		Long: `Open a LUN that could not be opened, once what is behind it was mended. Until
then its initiators find it not ready (MANUAL INTERVENTION REQUIRED).`,
		Args: usage(cobra.ExactArgs(1)), ValidArgsFunction: names(lunNames),
	}, func(ctx context.Context, client *admin.Client, args []string) (after admin.LUN, said string, err error) {
		if err := client.RetryLUN(ctx, args[0]); err != nil {
			return after, "", err
		}
		after, err = client.LUN(ctx, args[0])
		return after, args[0] + " is open.", err
	})
}
