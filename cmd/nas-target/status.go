package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
)

func newStatus() *cobra.Command {
	return newQuery(&cobra.Command{
		Use:   "status",
		Short: "Is all well, who holds what, what is wrong",
		Args:  usage(cobra.NoArgs),
	}, overview, func(w io.Writer, o admin.Overview) { statusTable(w, o, time.Now()) })
}

// overview asks twice if nobody looked lately: a rate needs two looks.
func overview(ctx context.Context, c *admin.Client, _ []string) (admin.Overview, error) {
	o, err := c.Overview(ctx)
	if err != nil || len(o.LUNs) == 0 || o.LUNs[0].Traffic.Now != nil {
		return o, err
	}
	select {
	case <-time.After(300 * time.Millisecond):
	case <-ctx.Done():
		return o, ctx.Err()
	}
	return c.Overview(ctx)
}

func statusTable(w io.Writer, o admin.Overview, now time.Time) {
	state := "all is well"
	switch {
	case o.Health == admin.HealthCritical:
		state = "CRITICAL"
	case o.Health == admin.HealthWarning:
		state = "WARNING"
	case !o.Ready:
		state = "not ready"
	}
	fmt.Fprintf(w, "nas-target %s: %s. Up %s, process %d.\n", o.Version, state, ago(o.Started, now), o.PID)
	if len(o.Problems) > 0 {
		fmt.Fprintln(w)
		problemList(w, o.Problems, now, "")
	}
	fmt.Fprintln(w)
	t := newTable([]string{"LUN", "NAME", "SIZE", "HELD BY", "REG", "READ/S", "WRITE/S", "MB/S", "STATE"}, "NAME", "HELD BY", "STATE")
	for _, l := range o.LUNs {
		reads, writes, bytes := "-", "-", "-"
		if r := l.Traffic.Now; r != nil {
			reads, writes, bytes = short(r.Reads), short(r.Writes), short((r.ReadBytes+r.WriteBytes)/1e6)
		}
		t.row(fmt.Sprint(l.LUN), l.Name, size(l.Bytes), heldBy(l.Reservation), fmt.Sprint(l.Reservation.Registrations),
			reads, writes, bytes, lunState(l))
	}
	t.print(w, "")
	fmt.Fprintln(w)
	var down int
	for _, p := range o.Portals {
		if p.Error != "" {
			down++
		}
	}
	line := fmt.Sprintf("%s at %s", count(o.Sessions, "session", "sessions"), count(len(o.Portals), "portal", "portals"))
	if down > 0 {
		line += fmt.Sprintf(", %d of them down", down)
	}
	fmt.Fprintln(w, line+".")
}

// heldBy names who holds a LUN in one word or two.
func heldBy(r admin.Outline) string {
	switch {
	case r.HolderHost != "":
		return r.HolderHost
	case strings.HasSuffix(r.Type, "all-registrants"):
		return "all registrants"
	case r.Condition != "" && r.Condition != "normal":
		return "unknown"
	}
	return "-"
}

func lunState(l admin.LUN) string {
	switch {
	case l.Absent:
		return "NOT READY"
	case l.Failure != "":
		return "FAILED"
	case l.Reservation.Condition != "" && l.Reservation.Condition != "normal":
		return "RESERVATIONS " + strings.ToUpper(l.Reservation.Condition)
	case l.ReadOnly:
		return "read-only"
	}
	return "ok"
}

// problemList writes what is wrong and what can be done about it.
func problemList(w io.Writer, ps []admin.Problem, now time.Time, indent string) {
	mark := map[admin.Severity]string{admin.Critical: "!! ", admin.Warning: "!  ", admin.Info: "   "}
	for _, p := range ps {
		text := p.Text
		if !p.Since.IsZero() {
			text += " (" + when(p.Since, now) + ")"
		}
		wrap(w, indent+mark[p.Severity], text)
		if p.Advice != "" {
			wrap(w, indent+"   > ", p.Advice)
		}
	}
}
