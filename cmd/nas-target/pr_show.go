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

func newPRShow() *cobra.Command {
	return newQuery(&cobra.Command{
		Use:   "show [LUN]",
		Short: "Who holds a LUN, who is registered, and what is wrong with it",
		Long: `Who holds a LUN, since when and by which command; who is registered, from
where, and whether its session lives; and what does not look right, explained.

An asterisk marks the holder. MAY tells what the reservation lets a machine do
now. Names are shortened to fit; -o json has them whole.`,
		Args:              usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: names(lunNames),
	}, func(ctx context.Context, c *admin.Client, args []string) ([]admin.Reservations, error) {
		if len(args) == 0 {
			return c.Reservations(ctx)
		}
		r, err := c.ReservationsOf(ctx, args[0])
		return []admin.Reservations{r}, err
	}, func(w io.Writer, rs []admin.Reservations) { reservationsTable(w, rs, time.Now()) })
}

func reservationsTable(w io.Writer, rs []admin.Reservations, now time.Time) {
	for i, r := range rs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		wrap(w, "", r.LUN+": "+holding(r, now))
		if r.Condition == "normal" {
			wrap(w, "  ", facts(r))
		}
		if len(r.Registrations)+len(r.Others) > 0 {
			fmt.Fprintln(w)
			registrants(w, r, now)
		}
		if len(r.Findings) > 0 {
			fmt.Fprintln(w)
			problemList(w, r.Findings, now, "  ")
		}
	}
	if len(rs) == 0 {
		fmt.Fprintln(w, "There are no LUNs.")
	}
}

// holding answers the question that people come with.
func holding(r admin.Reservations, now time.Time) string {
	switch r.Condition {
	case "information-lost":
		return "RESERVATIONS LOST, nobody can use it"
	case "not-ready":
		return "RESERVATIONS CANNOT BE READ, nobody can use it"
	}
	since := ""
	if !r.Made.Since.IsZero() {
		by := ""
		if r.Made.By != r.HolderHost {
			by = " by " + r.Made.By
		}
		since = fmt.Sprintf(" since %s (%s%s)", when(r.Made.Since, now), r.Made.Command, by)
	}
	switch {
	case r.Holder != "" && !r.HolderLive:
		return "held by " + r.HolderHost + since + ", which has no session"
	case r.Holder != "":
		return "held by " + r.HolderHost + since
	case r.AllRegistrants:
		return "held by every registrant" + since
	case r.Legacy != "":
		return "held the SPC-2 way by " + r.Legacy
	}
	return "nobody holds it"
}

func facts(r admin.Reservations) string {
	durable := "ends with a power cycle"
	if r.APTPL {
		durable = "survives a power cycle"
	}
	f := fmt.Sprintf("%s, generation %d", count(len(r.Registrations), "registration", "registrations"), r.Generation)
	if r.Type != "" {
		f = r.Type + ", " + f
	}
	if len(r.Registrations) > 0 {
		f += ", " + durable
	}
	return f
}

func registrants(w io.Writer, r admin.Reservations, now time.Time) {
	t := newTable([]string{"", "HOST", "KEY", "PATH", "SESSION", "MAY", "SINCE"}, "HOST")
	for _, g := range r.Registrations {
		holder, session := " ", "none"
		if g.Holder {
			holder = "*"
		}
		if g.Live {
			session = g.Session
		}
		t.row(holder, g.Host, g.Key, path(g.Group, g.ISID), session, string(g.Access), when(g.Made.Since, now))
	}
	for _, o := range r.Others {
		t.row(" ", o.Host, "not registered", path(groupIn(o.Target), o.ISID), o.Session, string(o.Access), "")
	}
	t.print(w, " ")
}

// path names the way a machine comes: the portal group, and the end of its
// ISID, which tells its sessions apart.
func path(group uint16, isid string) string {
	return fmt.Sprintf("%d/…%s", group, isid[max(0, len(isid)-6):])
}

func groupIn(port string) (group uint16) {
	if _, tag, ok := strings.Cut(port, ",t,"); ok {
		_, _ = fmt.Sscanf(tag, "0x%x", &group)
	}
	return group
}
