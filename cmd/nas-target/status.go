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
	shown, rest := firstLUNs(o.LUNs)
	for _, l := range shown {
		reads, writes, bytes := "-", "-", "-"
		if r := l.Traffic.Now; r != nil {
			reads, writes, bytes = short(r.Reads), short(r.Writes), short((r.ReadBytes+r.WriteBytes)/1e6)
		}
		t.row(fmt.Sprint(l.LUN), l.Name, size(l.Bytes), heldBy(l.Reservation), fmt.Sprint(l.Reservation.Registrations),
			reads, writes, bytes, lunState(l))
	}
	t.print(w, "")
	if rest > 0 {
		fmt.Fprintf(w, "and %d more that are ok: nas-target lun list\n", rest)
	}
	fmt.Fprintln(w)
	for _, x := range o.Work {
		wrap(w, "", fmt.Sprintf("Preallocating %s: %d%%, %s of %s, since %s.", x.LUN, 100*x.Done/max(1, x.Total), size(x.Done), size(x.Total), when(x.Since, now)))
	}
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

// maxStatusLUNs fit on a screen with the rest.
const maxStatusLUNs = 12

// firstLUNs keeps the table to one screen: LUNs that are not well come first,
// and what is left out is well.
func firstLUNs(all []admin.LUN) (shown []admin.LUN, rest int) {
	if len(all) <= maxStatusLUNs {
		return all, 0
	}
	unwell := func(l admin.LUN) bool { return lunState(l) != "ok" && lunState(l) != "read-only" }
	for _, l := range all {
		if unwell(l) {
			shown = append(shown, l)
		}
	}
	for _, l := range all {
		if !unwell(l) && len(shown) < maxStatusLUNs {
			shown = append(shown, l)
		}
	}
	return shown, len(all) - len(shown)
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
