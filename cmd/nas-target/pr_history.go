package main

import (
	"context"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
)

func newPRHistory() *cobra.Command {
	var q admin.HistoryQuery
	var since time.Duration
	c := newQuery(&cobra.Command{
		Use:   "history [LUN]",
		Short: "Every reservation command, granted or refused, oldest first",
		Long: `Every reservation command that came, granted or refused, with what it changed:
who preempted whom, and when. The trail is kept in the data directory; it also
holds logins (--kind login) and what operators changed (--kind admin).`,
		Args:              usage(cobra.MaximumNArgs(1)),
		ValidArgsFunction: names(lunNames),
	}, func(ctx context.Context, c *admin.Client, args []string) (admin.History, error) {
		if len(args) > 0 {
			q.LUN = args[0]
			if _, err := c.LUN(ctx, q.LUN); err != nil {
				return admin.History{}, err
			}
		}
		if since > 0 {
			q.Since = time.Now().Add(-since)
		}
		return c.History(ctx, q)
	}, func(w io.Writer, h admin.History) { historyTable(w, h, time.Now()) })
	f := c.Flags()
	f.StringVar(&q.Initiator, "initiator", "", "only what this host asked or lost")
	f.BoolVar(&q.Refused, "refused", false, "only what was refused")
	f.StringVar(&q.Kind, "kind", "pr", "pr, login, admin")
	f.DurationVar(&since, "since", 0, "only the last while, such as 2h")
	f.IntVarP(&q.Limit, "lines", "n", 50, "how many, at most 1000")
	f.Uint64Var(&q.Before, "before", 0, "only entries before this number, for the page before")
	_ = c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions([]string{"pr", "login", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func historyTable(w io.Writer, h admin.History, now time.Time) {
	if len(h.Entries) == 0 {
		fmt.Fprintln(w, "Nothing happened.")
		return
	}
	if h.More {
		fmt.Fprintf(w, "There is more: --before %d\n", h.Entries[len(h.Entries)-1].Entry)
	}
	longest := 0
	for _, e := range h.Entries {
		longest = max(longest, utf8.RuneCountInString(when(e.Time, now)))
	}
	for i := len(h.Entries) - 1; i >= 0; i-- {
		e := h.Entries[i]
		wrap(w, fmt.Sprintf("%-*s  ", longest, when(e.Time, now)), e.Text)
	}
}
